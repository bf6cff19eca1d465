"""Boxes snap onto printed frames: known shifts, ink, noise, neighbours, cut-offs."""

import cv2
import numpy as np
import pytest

from sktally import load_form, make_tally_pages
from sktally.form import TallyForm
from sktally.pages._registration import apply_homography, form_quads
from sktally.pages._snap import snap_fields


def form_of(*fields, width=600, height=500):
    """Build a form of the given fields, located by three squares."""
    anchors = [
        {"name": str(i), "kind": "square", "center": [x, y], "size": [9, 9]}
        for i, (x, y) in enumerate([(20, 20), (580, 20), (20, 480)])
    ]
    return TallyForm.from_dict(
        {
            "name": "t",
            "page": {"width": width, "height": height},
            "anchors": anchors,
            "fields": list(fields),
        }
    )


SEPARATE = {
    "name": "separate",
    "start": [150, 200],
    "box": [60, 60],
    "pitch": 75,
    "places": 3,
    "frame": 3,
}


def draw(form, dx=0.0, dy=0.0, level=60, paper=230):
    page = np.full((int(form.page.height), int(form.page.width)), paper, np.uint8)
    for field in form.fields:
        for x, y, w, h in field.rectangles:
            corners = np.array([[x + dx, y + dy], [x + w + dx, y + h + dy]])
            a, b = (corners * 16).round().astype(int).tolist()
            width = max(1, round(field.frame))
            cv2.rectangle(page, a, b, level, width, cv2.LINE_AA, 4)
    return page


@pytest.mark.parametrize(
    ("dx", "dy"), [(0, 0), (7, -12), (-9, 30), (4.5, 50), (-20, 3)]
)
def test_finds_known_shift(dx, dy):
    form = form_of(SEPARATE)
    page = draw(form, dx, dy)
    quads, scores = snap_fields(page, form, np.eye(3))
    assert np.abs(quads - form_quads(form) - [dx, dy]).max() < 1.2
    assert scores.shape == (1,)
    assert scores[0] > 0.85


@pytest.mark.parametrize("scale", [0.35, 1.0, 4.0])
def test_any_scale_and_slight_perspective(scale):
    form = form_of(SEPARATE)
    bend = np.array([[1.02, 0.02, 4], [-0.015, 0.98, 6], [2e-5, 1e-5, 1]])
    true = np.diag([scale, scale, 1.0]) @ bend
    size = (int(620 * scale), int(520 * scale))
    page = cv2.warpPerspective(
        draw(form), true, size, borderValue=230, flags=cv2.INTER_AREA
    )
    quads, scores = snap_fields(page, form, np.diag([scale, scale, 1.0]))
    error = np.linalg.norm(quads - apply_homography(true, form_quads(form)), axis=-1)
    assert error.max() < max(1.0, 1.5 * scale)
    assert scores.min() > 0.6


def test_touching_boxes_and_one_long_box():
    touching = {
        "name": "touching",
        "start": [100, 100],
        "box": [40, 50],
        "places": 4,
        "frame": 2,
    }
    string = {
        "name": "string",
        "boxes": [[100, 300, 320, 40]],
        "frame": 2,
    }
    form = form_of(touching, string)
    quads, scores = snap_fields(draw(form, 5, 9), form, np.eye(3))
    known = np.isfinite(form_quads(form))
    assert np.array_equal(np.isfinite(quads), known)
    assert np.abs((quads - form_quads(form) - [5, 9])[known]).max() < 1.5
    assert scores.min() > 0.85


def test_ink_noise_and_shadow_do_not_matter():
    form = form_of(SEPARATE)
    rng = np.random.default_rng(0)
    page = draw(form, 6, 10)
    for x, y, w, h in form.box_array()[0].astype(int) + [6, 10, 0, 0]:
        cv2.line(page, (x + 4, y + 6), (x + w - 5, y + h + 8), 10, 6)
        cv2.line(page, (x - 6, y + h - 6), (x + w - 5, y + 4), 10, 6)
    shade = np.linspace(0.4, 1.0, page.shape[1])
    noisy = page * shade + rng.normal(0, 5, page.shape)
    page = noisy.clip(0, 255).astype(np.uint8)
    quads, scores = snap_fields(page, form, np.eye(3))
    assert np.abs(quads - form_quads(form) - [6, 10]).max() < 2.0
    assert scores[0] > 0.6


def test_curled_paper_moves_each_box():
    form = form_of(SEPARATE)
    page = np.full((500, 600), 230, np.uint8)
    sag = [0, 6, 0]
    for (x, y, w, h), down in zip(form.box_array()[0].astype(int), sag, strict=True):
        cv2.rectangle(page, (x, y + down), (x + w, y + h + down), 60, 3)
    quads, scores = snap_fields(page, form, np.eye(3))
    moved = (quads - form_quads(form))[0, :, :, 1].mean(axis=1)
    assert np.abs(moved - sag).max() < 1.6
    assert scores[0] > 0.8


def test_paper_that_curls_towards_the_lens_slants_and_shifts_single_boxes():
    form = form_of(SEPARATE)
    page = np.full((500, 600), 230, np.uint8)
    true = form_quads(form)[0].copy()
    true[0] += np.array([[9, -9], [9, 1], [9, 1], [9, -9]])  # right side lower
    for corners in true:
        outline = (corners * 16).round().astype(np.int32)
        cv2.polylines(page, [outline], True, 60, 3, cv2.LINE_AA, 4)
    quads, scores = snap_fields(page, form, np.eye(3))
    assert np.abs(quads[0] - true).max() < 2
    assert scores[0] > 0.65


def test_blank_paper_and_pure_noise_score_low():
    form = form_of(SEPARATE)
    blank = np.full((500, 600), 240, np.uint8)
    assert snap_fields(blank, form, np.eye(3))[1][0] == pytest.approx(0, abs=1e-6)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (500, 600)).astype(np.uint8)
    assert snap_fields(noise, form, np.eye(3))[1][0] < 0.3


def test_one_box_off_scores_below_the_gate():
    form = form_of(SEPARATE)
    off = np.array([[1, 0, 75.0], [0, 1, 0], [0, 0, 1]])
    _, right = snap_fields(draw(form), form, np.eye(3))
    _, wrong = snap_fields(draw(form), form, off, reach=0.3)
    assert right[0] > 0.85
    assert wrong[0] < 0.6


def test_never_moves_to_the_next_row():
    rows = [{**SEPARATE, "name": str(i), "start": [150, 60 + 60 * i]} for i in range(6)]
    form = form_of(*rows)
    quads, _ = snap_fields(draw(form, 0, 20), form, np.eye(3))
    moved = (quads - form_quads(form))[..., 1].mean(axis=(1, 2))
    assert np.abs(moved - 20).max() < 1.5


def test_frame_out_of_view_scores_zero():
    form = form_of(SEPARATE, {**SEPARATE, "name": "low", "start": [150, 400]})
    page = draw(form)[:330]
    _, scores = snap_fields(page, form, np.eye(3))
    assert scores[0] > 0.85
    assert abs(scores[1]) < 0.2


def test_field_without_frame_is_mapped_plainly():
    form = form_of({**SEPARATE, "frame": 0})
    matrix = np.array([[2, 0, 5], [0, 2, 7], [0, 0, 1.0]])
    quads, scores = snap_fields(draw(form), form, matrix)
    assert np.isnan(scores).all()
    np.testing.assert_allclose(quads, apply_homography(matrix, form_quads(form)))


@pytest.mark.parametrize("degrade", ["scan", "photo", "fax"])
def test_synthetic_pages(degrade):
    form = load_form("example")
    made = make_tally_pages(3, form=form, degrade=degrade, random_state=0)
    off = np.array([[1, 0, 5], [0, 1, -9], [0, 0, 1.0]])
    for page, truth, matrix in zip(
        made.pages, made.quads, made.homographies, strict=True
    ):
        quads, scores = snap_fields(page, form, matrix @ off)
        error = np.linalg.norm(quads - truth, axis=-1)
        assert np.median(error) < 1.5
        assert error.max() < 5
        assert scores.min() > 0.6


@pytest.mark.parametrize("dy", [0.0, 1.0, -1.5])
def test_slight_moves_are_not_made(dy):
    form = form_of(SEPARATE)
    quads, scores = snap_fields(draw(form, 0.5, dy), form, np.eye(3), step=0.04)
    np.testing.assert_allclose(quads, form_quads(form))
    assert scores[0] > 0.6


def test_only_the_field_that_is_off_is_moved():
    other = {**SEPARATE, "name": "other", "start": [150, 350]}
    form = form_of(SEPARATE, other)
    page = draw(form)
    page[300:] = draw(form, 3, 9)[300:]
    quads, scores = snap_fields(page, form, np.eye(3), reach=0.3, step=0.04)
    plain = form_quads(form)
    np.testing.assert_allclose(quads[0], plain[0])
    assert np.abs(quads[1] - plain[1] - [3, 9]).max() < 1.2
    assert scores.min() > 0.85


def test_one_box_that_is_off_is_seen():
    form = form_of(SEPARATE)
    page = draw(form)
    page[:, 285:375] = draw(form, 0, 4)[:, 285:375]  # the last box, as paper curls
    quads, _ = snap_fields(page, form, np.eye(3), step=0.04)
    off = (quads - form_quads(form))[0, :, :, 1].mean(axis=1)
    assert off[2] > 2
    assert off[0] < 1.5


@pytest.mark.parametrize("step", [(5, 0), (0, -5), (3.5, 3.5)])
def test_a_frame_off_by_more_than_a_step_is_not_left_there(step):
    form = form_of(SEPARATE)
    quads, _ = snap_fields(draw(form, *step), form, np.eye(3), reach=0.3, step=0.04)
    assert np.abs(quads - form_quads(form) - step).max() < 1.2


def test_shadow_across_a_field_does_not_move_it():
    form = form_of(SEPARATE)
    shade = np.linspace(0.35, 1.0, 600)
    page = (draw(form) * shade).astype(np.uint8)
    quads, scores = snap_fields(page, form, np.eye(3), step=0.04)
    np.testing.assert_allclose(quads, form_quads(form))
    assert scores[0] > 0.6


def test_a_frame_partly_out_of_view_is_searched():
    form = form_of(SEPARATE)
    page = draw(form)[:, :368]  # the last box ends at 360
    quads, scores = snap_fields(page, form, np.eye(3), step=0.04)
    assert np.abs(quads - form_quads(form)).max() < 1.5
    _, cut = snap_fields(page[:, :330], form, np.eye(3), step=0.04)
    assert cut[0] < scores[0] - 0.2
