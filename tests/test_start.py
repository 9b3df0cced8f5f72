"""The window is there and takes keys soon after the program is started, before torch is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 100

MOST = 12.0
"""The window may take so many times as long as numpy and Qt alone; measured: about 5."""

ALONE = "import time, numpy; from PySide6 import QtWidgets; QtWidgets.QApplication([]); print(time.time())"

WINDOW = """
import json, sys, time
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from app import __main__ as program
from app.window import MainWindow

def began(*_):
    window = next(w for w in QApplication.topLevelWidgets() if isinstance(w, MainWindow))
    window.grab()
    slider = window.controls.strength.slider
    values = [slider.value()]
    QTest.keyClick(slider, Qt.Key.Key_Left)
    values.append(slider.value())
    sys.stdout.write(json.dumps({"at": time.time(), "values": values, "loaded": sorted(sys.modules)}) + "\\n")
    sys.stdout.flush()
    window.close()
    return 0

QApplication.exec = began
sys.exit(program.main([]))
"""


def started(program: str) -> tuple[float, str]:
    """When a Python program was started, and what it wrote."""
    begun = time.time()
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    return begun, done.stdout


def test_the_window_takes_a_key_before_torch_is_loaded(home):
    _, told = started(WINDOW)
    seen = json.loads(told.splitlines()[-1])
    assert seen["values"][1] < seen["values"][0]
    for name in ("torch", "scipy", "rawpy", "matplotlib"):
        assert name not in seen["loaded"], name


def test_the_window_is_there_almost_as_soon_as_qt(home):
    def seconds(program: str) -> float:
        measured = []
        for _ in range(3):
            begun, told = started(program)
            last = told.splitlines()[-1]
            measured.append((json.loads(last)["at"] if last.startswith("{") else float(last)) - begun)
        return min(measured)

    least = seconds(ALONE)
    assert seconds(WINDOW) < MOST * least, f"numpy and Qt alone take {least:.2f} s"
