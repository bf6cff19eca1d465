import numpy as np
import pytest

from sktally.datasets._glyphs import BLOCK, BOX_FILLERS, CLASSES, HAND
from sktally.datasets._strokes import (
    Stroke,
    draw_strokes,
    draw_writer,
    follow_dots,
    write_symbol,
)


def test_every_class_has_forms():
    for forms in (HAND, BLOCK):
        assert set(forms) == set(CLASSES) - {"_"}
    assert all(len(HAND[digit]) >= 5 for digit in "0123456789")


@pytest.mark.parametrize("forms", [HAND, BLOCK, {"fillers": BOX_FILLERS}])
def test_paths_start_and_end_at_their_control_points(forms):
    for glyph in [g for glyphs in forms.values() for g in glyphs]:
        for path in glyph.paths:
            np.testing.assert_allclose(path.basis.sum(axis=1), 1)
            points = path.basis @ path.control
            np.testing.assert_allclose(points[[0, -1]], path.control[[0, -1]])


def test_corners_stay_and_curves_round_off():
    seven = HAND["7"][0].paths[0]
    drawn = seven.basis @ seven.control
    distance = np.abs(drawn - seven.control[1]).sum(axis=1)
    assert distance.min() < 1e-12


@pytest.mark.parametrize("at", range(12))
def test_a_skip_is_as_short_as_the_pen_skips(at):
    canvas = np.zeros((100, 100), np.uint8)
    points = np.linspace([0.1, 0.5], [0.9, 0.5], 13)
    darkness = np.where(np.arange(13) == at, 0.15, 1.0)
    stroke = Stroke(points, np.full(13, 0.02), darkness)
    draw_strokes(canvas, [stroke], np.array([[100, 0, 0], [0, 100, 0.0]]))
    pale = (canvas[50, 10:91] < 128).sum()
    assert 0 < pale <= 80 / 12 + 3


def test_a_straight_stroke_covers_what_it_should():
    canvas = np.zeros((100, 100), np.uint8)
    points = np.linspace([0.2, 0.5], [0.8, 0.5], 13)
    stroke = Stroke(points, np.full(13, 0.1), np.ones(13))
    draw_strokes(canvas, [stroke], np.array([[100, 0, 0], [0, 100, 0.0]]))
    assert canvas[50, 20:81].min() == 255
    assert (canvas[:, 50] > 0).sum() == pytest.approx(10, abs=1)
    assert (canvas[50] > 0).sum() == pytest.approx(70, abs=2)
    assert not canvas[:40].any() and not canvas[60:].any()


def test_empty_has_no_strokes_and_stay_near_the_box_otherwise():
    rng = np.random.default_rng(0)
    assert write_symbol("_", draw_writer(rng), rng) == []
    for _ in range(300):
        writer = draw_writer(rng)
        label = "0123456789"[rng.integers(10)]
        points = np.vstack([s.points for s in write_symbol(label, writer, rng)])
        assert np.abs(points - 0.5).max() < 1.2


def test_one_writer_is_more_alike_than_many():
    def heights(writers):
        rng = np.random.default_rng(1)
        return np.std(
            [np.ptp(write_symbol("0", w, rng)[0].points[:, 1]) for w in writers]
        )

    rng = np.random.default_rng(2)
    one = draw_writer(rng, "handwritten")
    many = [draw_writer(rng, "handwritten") for _ in range(60)]
    assert heights([one] * 60) < 0.7 * heights(many)


def test_blocks_follow_the_dots():
    rng = np.random.default_rng(0)
    grid = (0.25, 0.2, 0.75, 0.8)
    ends = []
    for _ in range(80):
        writer = follow_dots(draw_writer(rng, "seven-segment"), grid, 0.8)
        writer.habits["8"] = BLOCK["8"][0]
        points = np.vstack(
            [s.points for s in write_symbol("8", writer, rng, aspect=0.8)]
        )
        ends.append([*points.min(axis=0), *points.max(axis=0)])
    np.testing.assert_allclose(np.median(ends, axis=0), [0.2, 0.2, 0.6, 0.8], atol=0.05)
