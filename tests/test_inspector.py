from __future__ import annotations

import dataclasses
import re
import threading
import time

import numpy as np
import pytest
from opened import install_models, noisy_file
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QMainWindow,
    QPushButton,
    QScrollArea,
)

from app.display import Display
from app.inspector import inspector as module
from app.inspector import measuring
from app.inspector.chart import Chart
from app.inspector.dock import InspectorDock
from app.inspector.histogram_page import LEVELS_REST_MS
from app.inspector.inspector import PAGES, Inspector
from app.inspector.measuring import Measured
from app.inspector.region_page import number_rows
from app.inspector.table import Table
from app.jobs import Numbers
from app.settings import Settings
from app.shown import Shown
from app.workspace import Workspace
from conftest import picture
from engine.blend import Blend
from engine.encode import save_image
from engine.image import Image
from engine.metrics import Estimate, psnr, shift_of, ssim
from engine.noise import measure_noise
from engine.residual import Residual
from engine.statistics import statistics
from engine.tiles import Rect

PATIENCE_MS = 20_000

REGION = Rect(10, 20, 74, 68)


class Denoised:
    """Stands in for a denoising: a result that is there, in threads that are remembered."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.threads, self.reads = pixels, set(), 0
        self.gate: threading.Event | None = None
        self.begun = True

    def is_begun(self, area: Rect) -> bool:
        return self.begun

    def passes_made(self, passes: int, area: Rect) -> int:
        return min(passes, 4)

    def has(self, passes: int, area: Rect) -> bool:
        return passes in (1, 2, 4)

    def blended(self, passes: int, blend: Blend, area: Rect) -> np.ndarray:
        self.threads.add(threading.current_thread().name)
        self.reads += 1
        if self.gate is not None:
            self.gate.wait(10)
        return self.pixels[area.slices] + np.float32(0.02 * (4 - min(passes, 4)))

    def spread(self, area: Rect) -> None:
        return None

    def estimate(self, passes: int, blend: Blend, report: object, area: Rect | None = None) -> Estimate:
        fewer = 0.1 * (4 - min(passes, 4))
        is_whole = area is None or (area.height, area.width) == self.pixels.shape[:2]
        return Estimate(31.5 - fewer, 0.25) if is_whole else Estimate(30.5 - fewer, 0.5)


class Stand(QObject):
    """Stands in for a workspace."""

    current_changed = Signal()
    picture_ready = Signal()
    region_ready = Signal(object, int, int)
    result_cleared = Signal()
    estimate_changed = Signal()
    reference_changed = Signal()
    noise_ready = Signal()
    params_changed = Signal()
    display_changed = Signal()

    def __init__(self, shown: Shown | None) -> None:
        super().__init__()
        self.shown, self.numbers, self.display = shown, Numbers(), Display()
        self.opened = self.proposal = None

    def set_levels(self, levels: tuple[float, float] | None) -> None:
        self.display = dataclasses.replace(self.display, levels=levels)
        self.display_changed.emit()


def pictures(height: int = 100, width: int = 140, channels: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noisy, denoised and clean (height, width, channels) float32."""
    clean = picture(height, width)[..., :channels].astype(np.float32)
    noise = np.random.default_rng(0).standard_normal(clean.shape).astype(np.float32)
    return clean + 0.1 * noise, clean + 0.02 * noise + np.float32(0.03), clean


def shown_of(*, reference: bool = False, channels: int = 3, **details) -> Shown:
    noisy, denoised, clean = pictures(channels=channels)
    image = Image(noisy, **({"bits": 32, "is_float": True} | details))
    return Shown(image, None, Image(clean) if reference else None, Denoised(denoised), 4)


def run(steps):
    """What a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def iter_of(value):
    """A generator that returns this."""
    yield
    return value


@pytest.fixture
def shown() -> Shown:
    return shown_of(reference=True)


@pytest.fixture
def workspace(shown) -> Stand:
    return Stand(shown)


@pytest.fixture
def inspector(qtbot, workspace):
    made = Inspector(workspace)
    yield made
    made.close()


@pytest.fixture
def dock(qtbot, inspector):
    window = QMainWindow()
    qtbot.addWidget(window)
    made = InspectorDock(inspector)
    window.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, made)
    window.setCentralWidget(QPushButton("elsewhere"))
    window.resize(700, 500)
    window.show()
    made.show()
    qtbot.waitExposed(window)
    yield made
    window.close()


class Heard:
    """The answers of one kind."""

    def __init__(self, signal) -> None:
        self.all: list[tuple] = []
        signal.connect(lambda *told: self.all.append(told))

    @property
    def answers(self) -> list:
        return [told[0] for told in self.all if told[0] is not None]


# ---- What is measured ----


@pytest.mark.parametrize(("details", "unit"), [({"bits": 8}, 255), ({"bits": 16}, 65535), ({"bits": 32}, 1)])
def test_values_are_in_the_units_of_the_file(details, unit):
    shown = shown_of(reference=True, is_float=details["bits"] == 32, **details)
    found = measuring.values(shown, 30, 40)
    np.testing.assert_allclose(found.before, shown.image.pixels[40, 30].astype(float) * unit)
    np.testing.assert_allclose(found.after, shown.denoising.pixels[40, 30].astype(float) * unit)
    np.testing.assert_allclose(found.reference, shown.reference.pixels[40, 30].astype(float) * unit)
    np.testing.assert_allclose(found.difference, np.subtract(found.after, found.before))


def test_there_are_no_values_outside_and_none_of_what_is_not_there(shown):
    assert measuring.values(shown, -1, 0) is None
    assert measuring.values(shown, 140, 0) is None
    shown.denoising.begun = False
    bare = dataclasses.replace(shown, reference=None)
    found = measuring.values(bare, 139, 99)
    assert (found.after, found.reference, found.difference) == (None, None, None)


def test_the_numbers_of_a_region_are_those_of_its_pixels(shown):
    found = run(measuring.measure(shown, REGION))
    noisy, after, clean = (read(REGION) for read in (shown.noisy, shown.result, shown.clean))
    assert not found.is_sampled
    assert found.psnr_db == pytest.approx(psnr(after, clean), abs=1e-6)
    assert found.noisy_psnr_db == pytest.approx(psnr(noisy, clean), abs=1e-6)
    assert found.ssim == pytest.approx(ssim(after, clean), abs=1e-9)
    assert found.estimate == Estimate(30.5, 0.5)
    np.testing.assert_allclose(found.after.mean, after.astype(float).mean((0, 1)))
    np.testing.assert_allclose(found.reference.deviation, clean.astype(float).std((0, 1)))


def test_a_region_in_many_steps_has_the_numbers_of_one(shown, monkeypatch):
    whole = run(measuring.measure(shown, REGION, True))
    monkeypatch.setattr(measuring, "_STEP", 7 * 64)
    parts = run(measuring.measure(shown, REGION, True))
    for name in ("psnr_db", "ssim", "noisy_psnr_db"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), abs=1e-6)


def test_the_brightness_of_the_region_is_taken_out_when_asked(shown):
    plain, found = run(measuring.measure(shown, REGION)), run(measuring.measure(shown, REGION, shift_free=True))
    after, clean = shown.result(REGION), shown.clean(REGION)
    assert found.psnr_db == pytest.approx(psnr(after, clean, shift=shift_of(after, clean)), abs=1e-4)
    assert found.psnr_db > plain.psnr_db + 1
    assert found.is_shift_free
    known = np.array([-0.03, -0.02, 0.01], np.float32)
    of_the_whole = run(measuring.measure(shown, REGION, True, known))
    assert of_the_whole.psnr_db == pytest.approx(psnr(after, clean, shift=known), abs=1e-6)
    assert of_the_whole.ssim == pytest.approx(ssim(after, clean, shift=known), abs=1e-9)
    assert found.estimate == plain.estimate


def test_without_a_reference_only_the_estimate_is_told():
    found = run(measuring.measure(shown_of(), REGION))
    assert (found.psnr_db, found.ssim, found.noisy_psnr_db, found.reference) == (None, None, None, None)
    assert found.estimate.psnr_db == 30.5
    assert run(measuring.measure(shown_of(), Rect(0, 0, 140, 100))).estimate.psnr_db == 31.5


def test_a_region_without_a_whole_result_has_no_numbers_of_one(shown):
    shown.denoising.begun = False
    found = run(measuring.measure(shown, REGION))
    assert (found.after, found.psnr_db, found.ssim) == (None, None, None)
    assert found.before is not None
    assert found.noisy_psnr_db is not None


def test_blocks_cover_what_is_small_and_sample_evenly_what_is_large(monkeypatch):
    monkeypatch.setattr(measuring, "_STEP", 1000)
    area = Rect(3, 5, 93, 65)
    covered = np.zeros((80, 100), int)
    pieces, is_sampled = measuring.blocks(area, 90 * 60)
    for piece in pieces:
        covered[piece.slices] += 1
    assert not is_sampled
    assert (covered[area.slices] == 1).all()
    assert covered.sum() == 90 * 60
    # 36 and 24 blocks a side: a step that fits into a row would take columns.
    large = Rect(0, 0, 36 * 256, 24 * 256)
    pieces, is_sampled = measuring.blocks(large, 200 * 256**2)
    assert is_sampled
    assert len(set(pieces)) == 200
    for rows, columns in ((12, 36), (24, 9), (8, 12)):
        shares = np.zeros((24 // rows, 36 // columns))
        for piece in pieces:
            shares[piece.top // 256 // rows, piece.left // 256 // columns] += 1
        assert shares.min() > 0.8 * shares.mean()


def test_what_is_too_large_is_sampled_and_says_so(shown, monkeypatch):
    monkeypatch.setattr(measuring, "_BLOCK", 16)
    monkeypatch.setattr(measuring, "MOST", 4000)
    monkeypatch.setattr(measuring, "MOST_COUNTED", 4000)
    found, whole = run(measuring.measure(shown, shown.whole)), psnr(shown.denoising.pixels, shown.reference.pixels)
    assert found.is_sampled
    assert found.before.count <= 4000
    assert found.psnr_db == pytest.approx(whole, abs=0.5)
    assert found.ssim is not None
    counted = run(measuring.count(shown, shown.whole))
    assert counted.is_sampled
    assert counted.before.counts.sum() <= 3 * 4000


def test_a_histogram_counts_every_sample_and_takes_over_what_holds_still(shown):
    first = run(measuring.count(shown, REGION))
    for histogram in (first.before, first.after, first.reference):
        assert histogram.counts.sum() + histogram.below.sum() + histogram.above.sum() == 64 * 48 * 3
    again = run(measuring.count(shown, REGION, first))
    assert again.before is first.before
    assert again.reference is first.reference
    assert again.after is not first.after


def test_automatic_points_are_percentiles_of_the_noisy_picture(shown):
    found = run(measuring.count(shown, shown.whole))
    np.testing.assert_allclose(found.auto, np.percentile(shown.image.pixels, (0.1, 99.9)), rtol=1e-6)
    assert found.has_levels
    assert found.is_whole
    assert not run(measuring.count(shown_of(bits=8, is_float=False), REGION)).has_levels


def test_a_picture_of_one_value_has_automatic_points_apart():
    shown = Shown(Image(np.full((30, 30, 1), 7.0, np.float32), bits=32, is_float=True, levels=(0.0, 8.0)))
    found = run(measuring.count(shown, shown.whole))
    assert found.auto[1] > found.auto[0]


def test_a_profile_has_the_units_of_the_file(shown):
    whole = dataclasses.replace(shown, image=dataclasses.replace(shown.image, bits=8, is_float=False))
    found = run(measuring.trace(whole, (0.5, 9.5, 139.5, 9.5), 1))
    np.testing.assert_allclose(found.before, 255 * shown.image.pixels[9].astype(float))
    np.testing.assert_allclose(found.after, 255 * shown.denoising.pixels[9].astype(float))


# ---- Who asks, and who answers ----


def test_only_visible_pages_are_answered(qtbot, inspector, shown):
    heard = {page: Heard(inspector._answers[page]) for page in PAGES}
    inspector.set_region(REGION)
    inspector.set_line((0, 0, 50, 50))
    inspector.set_viewport((0, 0, 100, 90))
    qtbot.wait(150)
    assert not any(kind.all for kind in heard.values())
    assert not shown.denoising.reads
    inspector.set_visible({"region", "profile"})
    qtbot.waitUntil(lambda: bool(heard["region"].answers and heard["profile"].answers), timeout=PATIENCE_MS)
    qtbot.wait(100)
    assert not any(heard[page].all for page in ("residual", "noise", "histogram", "passes"))


def test_everything_is_read_by_the_worker(qtbot, inspector, shown):
    heard = [Heard(inspector._answers[page]) for page in ("residual", "histogram", "profile", "region", "passes")]
    values = Heard(inspector.values_ready)
    inspector.set_region(REGION)
    inspector.set_line((0, 0, 50, 50))
    inspector.set_viewport((0, 0, 100, 90))
    inspector.set_visible(PAGES)
    inspector.set_cursor((7, 8))
    qtbot.waitUntil(lambda: all(kind.answers for kind in heard) and bool(values.answers), timeout=PATIENCE_MS)
    assert shown.denoising.threads == {"inspecting"}


def test_the_newest_wish_wins_and_older_answers_are_dropped(qtbot, inspector, shown):
    heard = Heard(inspector.region_ready)
    inspector.set_visible({"region"})
    shown.denoising.gate = threading.Event()
    regions = [Rect(0, 0, 20 + 10 * step, 30) for step in range(5)]
    for region in regions:
        inspector.set_region(region)
        qtbot.wait(2 * module.REST_MS)
    shown.denoising.gate.set()
    qtbot.waitUntil(lambda: bool(heard.answers), timeout=PATIENCE_MS)
    qtbot.wait(100)
    assert {answer.area for answer in heard.answers} == {regions[-1]}


def test_one_job_at_a_time_answers_a_page_while_passes_arrive(qtbot, inspector, workspace, shown):
    heard = Heard(inspector.region_ready)
    inspector.set_region(REGION)
    inspector.set_visible({"region"})
    qtbot.waitUntil(lambda: bool(heard.answers), timeout=PATIENCE_MS)
    began, before = time.monotonic(), len(heard.answers)
    while time.monotonic() - began < 1.4:
        workspace.region_ready.emit(np.zeros((4, 4, 3), np.uint8), 0, 0)
        qtbot.wait(15)
    assert 1 <= len(heard.answers) - before <= 3
    # What came last is measured in the end.
    shown.denoising.pixels = shown.denoising.pixels + np.float32(0.1)
    workspace.region_ready.emit(np.zeros((4, 4, 3), np.uint8), 0, 0)
    mean = shown.result(REGION).astype(float).mean((0, 1))[0]
    qtbot.waitUntil(lambda: heard.answers[-1].after.mean[0] == pytest.approx(mean), timeout=PATIENCE_MS)


def test_the_cursor_does_not_wait_for_a_long_measurement(qtbot, inspector, shown, monkeypatch):
    held = threading.Event()

    def endless(*told):
        while not held.is_set():
            time.sleep(0.002)
            yield

    monkeypatch.setattr(measuring, "measure", endless)
    values = Heard(inspector.values_ready)
    inspector.set_region(REGION)
    inspector.set_visible({"region"})
    qtbot.waitUntil(lambda: inspector._questions["region"].job is not None, timeout=PATIENCE_MS)
    for place in ((3, 4), (5, 6)):
        inspector.set_cursor(place)
        qtbot.waitUntil(
            lambda place=place: bool(values.answers) and (values.answers[-1].x, values.answers[-1].y) == place,
            timeout=PATIENCE_MS,
        )
    held.set()


def test_another_picture_makes_void_what_was_measured(qtbot, inspector, workspace, shown):
    heard = Heard(inspector.histogram_ready)
    inspector.set_visible({"histogram"})
    qtbot.waitUntil(lambda: bool(heard.answers), timeout=PATIENCE_MS)
    workspace.shown = None
    workspace.current_changed.emit()
    qtbot.waitUntil(lambda: heard.all[-1] == (None, False), timeout=PATIENCE_MS)
    workspace.shown = shown_of(channels=1)
    workspace.picture_ready.emit()
    qtbot.waitUntil(lambda: len(heard.answers) == 2, timeout=PATIENCE_MS)
    assert len(heard.answers[-1].before.counts) == 1
    assert heard.answers[-1].reference is None


def test_a_failed_measurement_is_not_repeated_for_ever(qtbot, inspector, monkeypatch):
    tries = []

    def failing(*told):
        tries.append(told)
        yield
        raise ValueError("it cannot be measured")

    monkeypatch.setattr(measuring, "measure", failing)
    heard = Heard(inspector.region_ready)
    inspector.set_region(REGION)
    inspector.set_visible({"region"})
    qtbot.waitUntil(lambda: bool(heard.all) and heard.all[-1] == (None, False) and bool(tries), timeout=PATIENCE_MS)
    qtbot.wait(200)
    assert len(tries) == 1


def test_nothing_is_asked_after_closing(qtbot, inspector, workspace):
    inspector.set_visible({"histogram"})
    inspector.close()
    inspector.set_visible(PAGES)
    inspector.set_cursor((1, 1))
    inspector.set_region(REGION)
    workspace.region_ready.emit(None, 0, 0)
    qtbot.wait(2 * module.REST_MS)


# ---- The pages ----


def text(widget) -> str:
    return widget.text()


def settle(qtbot, dock: InspectorDock, page: str, signal) -> None:
    """Show a page and wait for its answer."""
    heard = Heard(signal)
    dock.show_page(page)
    qtbot.waitUntil(lambda: bool(heard.answers), timeout=PATIENCE_MS)


def test_the_inspector_is_hidden_at_first_and_then_measures_nothing(qtbot, inspector, shown):
    dock = InspectorDock(inspector)
    qtbot.addWidget(dock)
    assert dock.isHidden()
    assert inspector.visible == frozenset()


def test_only_the_page_that_is_shown_asks(qtbot, dock, inspector):
    for page in dock.pages:
        dock.show_page(page)
        assert inspector.visible == {page}
    dock.hide()
    assert inspector.visible == frozenset()


def test_pages_are_reached_by_keyboard(qtbot, dock):
    pages = list(dock.pages)
    dock.show_page(pages[0])
    button = dock.buttons[pages[0]]
    button.setFocus()
    QTest.keyClick(button, Qt.Key.Key_Right)
    assert dock.page == pages[1]
    QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab, Qt.KeyboardModifier.ControlModifier)
    assert dock.page == pages[2]
    modifiers = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Backtab, modifiers)
    assert dock.page == pages[1]


def test_a_large_font_leaves_room_for_the_pages(qtbot, dock):
    font = dock.font()
    font.setPointSizeF(2.5 * font.pointSizeF())
    dock.setFont(font)
    dock.parentWidget().resize(500, 500)
    qtbot.waitUntil(lambda: dock.list.isVisible(), timeout=PATIENCE_MS)
    assert not any(button.isVisible() for button in dock.buttons.values())
    dock.list.setFocus()
    QTest.keyClick(dock.list, Qt.Key.Key_End)
    assert dock.page == list(dock.pages)[-1]
    dock.show_page("region")
    assert dock.list.currentText() == "Region"


def test_every_control_has_a_name(dock):
    for kind in (QPushButton, QComboBox, QAbstractSpinBox, QCheckBox):
        for widget in dock.findChildren(kind):
            assert widget.accessibleName() or (isinstance(widget, QPushButton) and widget.text()), widget


def test_nothing_is_wider_than_the_narrowest_dock(qtbot, dock, inspector, workspace):
    workspace.shown = dataclasses.replace(workspace.shown, report=measure_noise(workspace.shown.image))
    inspector.set_region(REGION)
    inspector.set_line((0, 0, 50, 50))
    inspector.set_viewport((0, 0, 100, 90))
    inspector.set_cursor((3, 4))
    dock.parentWidget().resize(600, 400)
    for page, widget in dock.pages.items():
        settle(qtbot, dock, page, inspector._answers[page])
        qtbot.wait(20)
        area = widget.parentWidget().parentWidget()
        assert isinstance(area, QScrollArea)
        assert dock.width() <= 300
        assert widget.minimumSizeHint().width() <= area.viewport().width(), page
        assert not any(table._is_list for table in widget.findChildren(Table)), page


def test_a_table_without_room_puts_its_columns_below_each_other(qtbot):
    table = Table("numbers")
    qtbot.addWidget(table)
    table.fill(["Before", "After"], [("Red", []), ("Mean", ["0.1234", "0.5678"])])
    table.resize(400, 100)
    table.show()
    assert not table._is_list
    table.resize(90, 200)
    assert table._is_list
    assert "0.5678" in table.text()
    assert table.minimumSizeHint().width() <= 90
    assert table.accessibleDescription() == "Red. Mean: Before 0.1234, After 0.5678"


def test_blocks_are_marked_while_it_is_wanted_whatever_page_is_shown(qtbot, dock, inspector, workspace):
    told = []
    dock.marks_changed.connect(lambda rects, text: told.append((rects, text)))
    dock.show_page("region")
    found = Residual(1.0, None, np.eye(13), None, 0.1, (Rect(16, 32, 32, 48),), 40, 16, 1.0, 0.01, "Some.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "judge", lambda shown, area: iter_of(found))
        dock.set_marks(True)
        qtbot.waitUntil(lambda: bool(told), timeout=PATIENCE_MS)
        dock.hide()
        assert told[-1][0] == [(16, 32, 32, 48)]
        assert "1 of 40 blocks" in told[-1][1]
        assert "1 %" in told[-1][1]
        assert dock.residual.marks.isChecked()
        # What was marked in another picture is no longer marked.
        workspace.shown = None
        workspace.current_changed.emit()
        assert told[-1] == ([], "")
        workspace.shown = shown_of()
        workspace.picture_ready.emit()
        qtbot.waitUntil(lambda: bool(told[-1][0]), timeout=PATIENCE_MS)
    dock.set_marks(False)
    assert told[-1] == ([], "")
    assert not inspector._asking


def test_the_pages_show_how_the_view_shows_the_picture(dock, workspace):
    wanted = []
    dock.layer_wanted.connect(wanted.append)
    dock.gain_changed.connect(wanted.append)
    dock.residual.layer.click()
    dock.residual.gain.setValue(0)
    assert wanted == ["removed", 1.0]
    workspace.display = Display("removed", 16.0, (0.25, 0.75))
    workspace.display_changed.emit()
    assert dock.residual.layer.isChecked()
    assert dock.residual.amplification == 16.0
    assert dock.histogram._levels == (0.25, 0.75)
    assert wanted == ["removed", 1.0]


def test_a_picture_too_small_says_so(qtbot, dock, inspector, workspace):
    report = measure_noise(workspace.shown.image)
    workspace.shown = Shown(Image(np.full((8, 8, 3), 0.5, np.float32)), report)
    heard = Heard(inspector.curve_ready)
    dock.show_page("noise")
    workspace.picture_ready.emit()
    qtbot.waitUntil(lambda: bool(inspector.why["noise"]), timeout=PATIENCE_MS)
    assert heard.all[-1] == (None, False)
    assert dock.noise.waiting.text() == inspector.why["noise"]


def test_the_page_of_the_region_tells_true_and_estimated_apart(qtbot, dock, inspector, workspace):
    inspector.set_region(REGION)
    settle(qtbot, dock, "region", inspector.region_ready)
    rows = dict(dock.region.numbers.rows)
    expected = psnr(workspace.shown.result(REGION), workspace.shown.clean(REGION))
    assert rows["PSNR against the reference"] == [f"{expected:.2f} dB"]
    assert rows["Estimated PSNR"] == ["30.50 ± 0.50 dB"]
    workspace.shown = shown_of()
    workspace.reference_changed.emit()
    qtbot.waitUntil(lambda: list(dict(dock.region.numbers.rows)) == ["Estimated PSNR"], timeout=PATIENCE_MS)
    inspector.set_region(None)
    qtbot.waitUntil(lambda: dock.region.numbers.isHidden(), timeout=PATIENCE_MS)
    assert "Draw a region" in dock.region.state.text()


def test_the_page_of_the_histogram_shows_the_values_under_the_cursor(qtbot, dock, inspector, workspace):
    settle(qtbot, dock, "histogram", inspector.histogram_ready)
    inspector.set_cursor((12, 34))
    qtbot.waitUntil(lambda: not dock.histogram.values.isHidden(), timeout=PATIENCE_MS)
    rows = dict(dock.histogram.values.rows)
    assert rows["Before"][0] == f"{workspace.shown.image.pixels[34, 12, 0]:.4g}".replace("-", "−")
    assert list(rows) == ["Before", "After", "Reference", "Difference"]
    assert "Before" in dock.histogram.values.accessibleDescription()
    inspector.set_cursor(None)
    assert dock.histogram.values.isHidden()


def test_black_and_white_points_follow_each_other_and_are_told_once(qtbot, dock, inspector):
    settle(qtbot, dock, "histogram", inspector.histogram_ready)
    points, told = dock.histogram.points, []
    dock.levels_changed.connect(told.append)
    points.black.setValue(0.2)
    points.white.setValue(0.6)
    qtbot.waitUntil(lambda: bool(told), timeout=PATIENCE_MS)
    assert told == [(pytest.approx(0.2), pytest.approx(0.6))]
    assert [line.value() for line in points._lines] == [pytest.approx(0.2), pytest.approx(0.6)]
    points.black.setValue(0.9)
    assert points.white.value() > points.black.value()
    points._lines[1].setValue(1.3)
    points._lines[1].sigDragged.emit(points._lines[1])
    assert points.white.value() == pytest.approx(1.3)
    points.auto.click()
    qtbot.waitUntil(lambda: len(told) == 2, timeout=PATIENCE_MS)
    np.testing.assert_allclose(told[-1], dock.histogram._histograms.auto, atol=0.01)
    points.reset.click()
    assert told[-1] is None
    assert points.levels == pytest.approx(inspector.workspace.shown.image.levels)


def test_points_that_were_just_being_set_are_not_given_to_the_next_picture(qtbot, dock, inspector):
    settle(qtbot, dock, "histogram", inspector.histogram_ready)
    told = []
    dock.levels_changed.connect(told.append)
    dock.histogram.points.black.setValue(0.2)
    inspector.workspace.current_changed.emit()
    qtbot.wait(2 * LEVELS_REST_MS)
    assert told == []


def test_the_pixels_of_an_estimate_are_said_where_they_are_not_those_of_the_region():
    statistic = statistics(np.zeros((4, 4, 1), np.float32))
    measured = Measured(REGION, False, 1.0, statistic, statistic, None, Estimate(30.0, 0.5, area=Rect(0, 0, 96, 96)))
    assert "96 × 96 pixels at 0, 0" in number_rows(measured)[1]
    exact = dataclasses.replace(measured, area=Rect(0, 0, 96, 96))
    assert "blocks" not in number_rows(exact)[1]


def test_8_bit_pictures_have_no_points_to_choose(qtbot, dock, inspector, workspace):
    workspace.shown = shown_of(bits=8, is_float=False)
    settle(qtbot, dock, "histogram", inspector.histogram_ready)
    assert dock.histogram.points.isHidden()
    assert not any(line.isVisible() for line in dock.histogram.points._lines)


def test_points_of_16_bits_are_in_units_of_the_file(qtbot, dock, inspector, workspace):
    workspace.shown = shown_of(bits=16, is_float=False, levels=(0.0, 0.5))
    settle(qtbot, dock, "histogram", inspector.histogram_ready)
    points, told = dock.histogram.points, []
    dock.levels_changed.connect(told.append)
    assert (points.black.text(), points.white.text()) == ("0", str(round(0.5 * 65535)))
    points.white.setValue(30000)
    qtbot.waitUntil(lambda: bool(told), timeout=PATIENCE_MS)
    assert told == [(0.0, pytest.approx(30000 / 65535))]


@pytest.mark.parametrize("channel", [0, 1, 3])
def test_the_histogram_can_be_logarithmic_and_of_one_channel(qtbot, dock, inspector, channel):
    settle(qtbot, dock, "histogram", inspector.histogram_ready)
    page = dock.histogram
    page.channel.setCurrentIndex(channel)
    page.logarithmic.setChecked(True)
    found = page._histograms.before
    counts = found.counts.sum(0) if not channel else found.counts[channel - 1]
    total = 140 * 100 * (1 if channel else 3)
    heights = page.chart._curves["before"].getData()[1]
    held = counts > 0
    np.testing.assert_allclose(heights[held], np.log10(100 * counts[held] / total))
    assert page.chart.view.accessibleDescription()


def test_the_profile_shows_luminance_or_a_channel(qtbot, dock, inspector):
    inspector.set_line((0.5, 9.5, 99.5, 9.5))
    settle(qtbot, dock, "profile", inspector.profile_ready)
    page, row = dock.profile, inspector.workspace.shown.image.pixels[9, :100].astype(float)
    np.testing.assert_allclose(page.chart._curves["before"].getData()[1], row @ [0.2126, 0.7152, 0.0722])
    page.channel.setCurrentIndex(3)
    np.testing.assert_allclose(page.chart._curves["before"].getData()[1], row[:, 2])
    page.width_box.setValue(5)
    qtbot.waitUntil(lambda: page._profiles.width == 5, timeout=PATIENCE_MS)


def test_a_long_profile_is_painted_at_once_and_keeps_its_extremes(qtbot):
    chart = Chart("a profile")
    qtbot.addWidget(chart)
    heights = np.random.default_rng(0).random(14_000)
    heights[7000], heights[9000:9100] = 5.0, np.nan
    for role in ("before", "after", "reference"):
        chart.draw(role, (np.arange(len(heights)), heights))
    chart.show_range((0, len(heights)), (0, 5))
    chart.show()
    chart.grab()
    began = time.thread_time()
    chart.grab()
    assert time.thread_time() - began < 0.05
    drawn = chart._curves["after"].getData()[1]
    assert len(drawn) <= 1000
    assert np.nanmax(drawn) == 5.0


def test_buttons_say_what_is_wanted(dock):
    wanted = []
    dock.tool_wanted.connect(wanted.append)
    dock.region_wanted.connect(wanted.append)
    dock.line_wanted.connect(wanted.append)
    dock.region.draw.click()
    dock.region.visible.click()
    dock.profile.draw.click()
    dock.profile.horizontal.click()
    dock.profile.vertical.click()
    dock.profile.show_profiles(None, True)
    dock.profile.none.click()
    assert wanted == ["region", "visible", "line", "horizontal", "vertical", None]


def points(dock: InspectorDock, role: str) -> list[tuple[float, float]]:
    curve = dock.passes.chart._curves[role]
    return list(zip(*curve.getData(), strict=True)) if curve.isVisible() else []


VISIBLE = Rect(0, 0, 90, 80)


def test_with_a_reference_the_psnr_of_one_and_the_same_part_is_plotted_over_the_passes(
    qtbot, dock, inspector, workspace
):
    workspace.estimate_changed.emit()
    inspector.set_viewport(VISIBLE)
    settle(qtbot, dock, "passes", inspector.visible_ready)
    shown = workspace.shown
    expected = []
    for passes in (1, 2, 4):
        result = dataclasses.replace(shown, passes=passes).result(VISIBLE)
        expected.append((passes, psnr(result, shown.clean(VISIBLE), shown.reference.peak)))
    np.testing.assert_allclose(points(dock, "true"), expected, atol=1e-5)
    assert points(dock, "estimate") == []
    assert "visible part against the reference" in dock.passes.title.text()


def test_without_a_reference_the_estimate_is_plotted_and_called_so(qtbot, dock, inspector, workspace):
    workspace.shown = shown_of()
    workspace.estimate_changed.emit()
    inspector.set_viewport(VISIBLE)
    settle(qtbot, dock, "passes", inspector.visible_ready)
    assert points(dock, "true") == []
    np.testing.assert_allclose(points(dock, "estimate"), [(1, 30.2), (2, 30.3), (4, 30.5)])
    assert "Estimated" in dock.passes.title.text()
    assert "30.50 dB ± 0.50" in dock.passes.chart.view.accessibleDescription()


def test_of_other_values_nothing_is_plotted_until_they_were_measured(qtbot, dock, inspector, workspace):
    workspace.estimate_changed.emit()
    inspector.set_viewport(VISIBLE)
    settle(qtbot, dock, "passes", inspector.visible_ready)
    assert len(points(dock, "true")) == 3
    workspace.shown = dataclasses.replace(workspace.shown, blend=Blend(strength=0.5))
    workspace.estimate_changed.emit()
    assert points(dock, "true") == []
    qtbot.waitUntil(lambda: len(points(dock, "true")) == 3, timeout=PATIENCE_MS)


def test_why_nothing_is_plotted_is_told_without_waiting_for_the_engine(qtbot, dock, workspace, monkeypatch):
    asked = []
    monkeypatch.setattr(Denoised, "estimate", lambda *_, **__: asked.append(threading.current_thread()))
    workspace.shown, workspace.numbers = shown_of(), Numbers(estimate=Estimate(None, None, "there are reasons"))
    workspace.estimate_changed.emit()
    assert "No PSNR is estimated: there are reasons." in dock.passes.chart.view.accessibleDescription()
    assert threading.main_thread() not in asked


def test_of_which_pixels_the_estimate_of_the_visible_part_is_is_said(qtbot, dock, inspector, workspace, monkeypatch):
    monkeypatch.setattr(Denoised, "estimate", lambda *_, **__: Estimate(30.0, 0.5, area=Rect(0, 0, 96, 96)))
    workspace.estimate_changed.emit()
    inspector.set_viewport(VISIBLE)
    settle(qtbot, dock, "passes", inspector.visible_ready)
    assert "whole blocks: 96 × 96 pixels at 0, 0" in dock.passes.note.text()


def test_beside_a_psnr_it_is_said_why_there_is_no_estimate(qtbot, dock, inspector, workspace, monkeypatch):
    monkeypatch.setattr(Denoised, "estimate", lambda *_: Estimate(None, None, "the noise is no noise"))
    workspace.estimate_changed.emit()
    inspector.set_viewport(VISIBLE)
    settle(qtbot, dock, "passes", inspector.visible_ready)
    assert len(points(dock, "true")) == 3
    assert "No PSNR is estimated: the noise is no noise." in dock.passes.note.text()


def test_the_axis_of_passes_has_no_number_between_two_of_few_and_some_of_many(qtbot, dock, inspector, workspace):
    axis = dock.passes.chart.plot.getAxis("bottom")
    dock.passes._mark_whole_passes(2)
    shown = [value for _, values in axis.tickValues(0, 2.5, 300) for value in values]
    assert shown == [0, 1, 2]
    dock.passes._mark_whole_passes(64)
    assert len(axis.tickValues(0, 64.5, 300)[0][1]) < 20


def test_where_fewer_passes_are_kept_fewer_are_plotted(qtbot, dock, inspector, workspace, monkeypatch):
    monkeypatch.setattr(Denoised, "has", lambda self, passes, area: passes == 4)
    workspace.estimate_changed.emit()
    inspector.set_viewport(VISIBLE)
    settle(qtbot, dock, "passes", inspector.visible_ready)
    assert [passes for passes, _ in points(dock, "true")] == [4]


def test_a_difference_in_brightness_is_removed_only_with_a_reference(qtbot, dock, inspector, workspace):
    told = []
    dock.shift_free_changed.connect(told.append)
    inspector.set_viewport((0, 0, 90, 80))
    workspace.estimate_changed.emit()
    settle(qtbot, dock, "passes", inspector.visible_ready)
    dock.passes.shift_free.click()
    assert told == [True]
    qtbot.waitUntil(
        lambda: dock.passes._measured is not None and dock.passes._measured.is_shift_free, timeout=PATIENCE_MS
    )
    workspace.shown = shown_of()
    workspace.reference_changed.emit()
    assert dock.passes.shift_free.isHidden()


# ---- With a real workspace ----


def test_a_picture_is_inspected_while_it_is_denoised(qtbot, tmp_path, monkeypatch):
    install_models()
    path = noisy_file(tmp_path / "x_noisy.tif", 120, 200)
    save_image(Image(picture(120, 200).astype(np.float32), bits=32, is_float=True), tmp_path / "x_clean.tif")
    workspace = Workspace(Settings())
    errors = []
    workspace.failed.connect(lambda *told: errors.append(told))
    inspector = Inspector(workspace)
    dock = InspectorDock(inspector)
    qtbot.addWidget(dock)
    try:
        dock.show()
        dock.show_page("region")
        inspector.set_region(REGION)
        heard = Heard(inspector.region_ready)
        workspace.open([path])
        qtbot.waitUntil(lambda: workspace.is_done or bool(errors), timeout=PATIENCE_MS)
        assert not errors
        shown = workspace.shown
        expected = psnr(shown.result(REGION), shown.clean(REGION), shown.reference.peak)
        qtbot.waitUntil(lambda: heard.answers[-1].psnr_db == pytest.approx(expected, abs=1e-6), timeout=PATIENCE_MS)
        residual = Heard(inspector.residual_ready)
        inspector.set_visible({"residual"})
        qtbot.waitUntil(lambda: bool(residual.answers), timeout=PATIENCE_MS)
    finally:
        inspector.close()
        workspace.close()


def test_what_is_said_of_an_8_bit_histogram_are_values_that_the_file_has(qtbot, dock, inspector, workspace):
    for value in (0, 7, 128, 250, 255):
        pixels = np.full((40, 40, 1), value / 255, np.float32)
        workspace.shown = Shown(image=Image(pixels))
        workspace.picture_ready.emit()
        settle(qtbot, dock, "histogram", inspector.histogram_ready)
        said = f"median {value}, 90 % from {value} to {value}"
        qtbot.waitUntil(
            lambda said=said: said in dock.histogram.chart.view.accessibleDescription(), timeout=PATIENCE_MS
        )


def test_what_is_said_of_a_histogram_of_floats_is_no_finer_than_its_bins(qtbot, dock, inspector, workspace):
    pixels = np.linspace(0, 1.4, 1600, dtype=np.float32).reshape(40, 40, 1)
    workspace.shown = Shown(image=Image(pixels, bits=32, is_float=True))
    workspace.picture_ready.emit()
    settle(qtbot, dock, "histogram", inspector.histogram_ready)
    said = re.compile(r"median (\d\.\d+), 90 % from (\d\.\d+) to (\d\.\d+)")
    qtbot.waitUntil(
        lambda: said.search(dock.histogram.chart.view.accessibleDescription()) is not None, timeout=PATIENCE_MS
    )
    found = said.search(dock.histogram.chart.view.accessibleDescription()).groups()
    assert [float(value) for value in found] == pytest.approx([0.7, 0.07, 1.33], abs=0.005)
    assert all(len(value.partition(".")[2]) <= 3 for value in found)
