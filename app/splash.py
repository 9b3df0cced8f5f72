"""The name of the program on the screen while torch is loaded, where that has to come before Qt: on Windows.

Qt cannot show it, and tkinter is not part of every Python: it is a window of the system's own, whose messages a thread
of its own handles.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import threading
from collections.abc import Iterator
from typing import Any

log = logging.getLogger(__name__)

_TEXT = "Pellucid"
_SIZE = (360, 120)
_PATIENCE_S = 2.0

# Of winuser.h and wingdi.h.
_POPUP, _BORDER, _VISIBLE, _CENTERED = 0x80000000, 0x00800000, 0x10000000, 0x00000201
_TOOL_WINDOW = 0x00000080
_SET_FONT, _QUIT = 0x0030, 0x0012
_SCREEN_WIDTH, _SCREEN_HEIGHT = 0, 1
_SEMI_BOLD = 600
_PER_MONITOR_V2 = -4


@contextlib.contextmanager
def splash(libraries: Any = None) -> Iterator[None]:
    """Show the name while the body runs; where it cannot be shown the body runs without.

    Args:
        libraries: has user32, gdi32 and kernel32; that of ctypes where nothing is given.
    """
    started = threading.Event()
    thread_id: list[int] = []

    def show() -> None:
        try:
            _show(libraries or ctypes.windll, started, thread_id)  # pyright: ignore[reportAttributeAccessIssue]
        except (AttributeError, OSError, ctypes.ArgumentError):
            log.warning("The name of the program could not be shown while it is loaded", exc_info=True)
        finally:
            started.set()

    thread = threading.Thread(target=show, name="splash", daemon=True)
    thread.start()
    started.wait(_PATIENCE_S)
    try:
        yield
    finally:
        if thread_id:
            (libraries or ctypes.windll).user32.PostThreadMessageW(  # pyright: ignore[reportAttributeAccessIssue]
                thread_id[0], _QUIT, 0, 0
            )
        thread.join(_PATIENCE_S)


def _show(libraries: Any, started: threading.Event, thread_id: list[int]) -> None:
    """Open the window and handle its messages until it is told to quit."""
    user, gdi, kernel = libraries.user32, libraries.gdi32, libraries.kernel32
    # What Qt asks for later. After the first window it could not be set any more, and all of Qt's would be blurred.
    user.SetProcessDpiAwarenessContext(ctypes.c_void_p(_PER_MONITOR_V2))
    scale = user.GetDpiForSystem() / 96
    width, height = (round(side * scale) for side in _SIZE)
    left = (user.GetSystemMetrics(_SCREEN_WIDTH) - width) // 2
    top = (user.GetSystemMetrics(_SCREEN_HEIGHT) - height) // 2
    user.CreateWindowExW.restype = ctypes.c_void_p
    gdi.CreateFontW.restype = ctypes.c_void_p
    style = _POPUP | _BORDER | _VISIBLE | _CENTERED
    place = (left, top, width, height)
    window = ctypes.c_void_p(
        user.CreateWindowExW(_TOOL_WINDOW, "STATIC", _TEXT, ctypes.c_uint32(style), *place, None, None, None, None)
    )
    if not window:
        return
    font = ctypes.c_void_p(gdi.CreateFontW(-round(32 * scale), 0, 0, 0, _SEMI_BOLD, *(0,) * 8, "Segoe UI"))
    user.SendMessageW(window, _SET_FONT, font, ctypes.c_ssize_t(1))
    user.UpdateWindow(window)
    thread_id.append(kernel.GetCurrentThreadId())
    started.set()
    message = ctypes.create_string_buffer(64)  # MSG takes 48 bytes
    while user.GetMessageW(message, None, 0, 0) > 0:
        user.DispatchMessageW(message)
    user.DestroyWindow(window)
    gdi.DeleteObject(font)
