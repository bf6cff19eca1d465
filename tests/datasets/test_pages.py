import cv2
import numpy as np
import pytest

from sktally.datasets import make_tally_pages
from sktally.datasets._counts import count_of_boxes
from sktally.datasets._extras import draw_scribbles
from sktally.datasets._print import fill_rectangle, print_form
from sktally.datasets._strokes import draw_writer
from sktally.exceptions import FormError, TallyError, TallyWarning
from sktally.form import load_form
from sktally.pages._registration import apply_homography, form_quads, turn_page


def along(quad, n=21):
    """Points on the four sides of a quad, corners left out: (4, n, 2)."""
    t = np.linspace(0.1, 0.9, n)[:, None]
    return np.stack([(1 - t) * quad[k] + t * quad[(k + 1) % 4] for k in range(4)])


def sample(page, points):
    flat = points.reshape(-1, 1, 2).astype(np.float32)
    values = cv2.remap(page, flat[..., 0], flat[..., 1], cv2.INTER_LINEAR)
    return values.reshape(points.shape[:-1]).astype(float)


def frame_contrast(page, quad):
    """How much darker the sides are than lines 4 pixels inside and outside."""
    center = quad.mean(axis=0)
    sides = along(quad)
    away = sides - center
    away = away / np.linalg.norm(away, axis=-1, keepdims=True)
    on = np.median(sample(page, sides), axis=1)
    off = [np.median(sample(page, sides + d * away), axis=1) for d in (-6, 6)]
    return np.minimum(*off) - on


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (1100, 850)),
        ({"scale": 0.5, "degrade": "none"}, (550, 425)),
        ({"scale": 0.4, "degrade": "photo", "turn": 90}, (340, 440)),
        ({"scale": 0.4, "degrade": "fax", "turn": 270}, (340, 440)),
        ({"scale": 0.4, "degrade": 1.0, "turn": 180, "fold": 0.02}, (440, 340)),
    ],
)
def test_shapes_and_dtypes(options, shape):
    sheets = make_tally_pages(2, random_state=0, **options)
    assert len(sheets.pages) == 2
    for page in sheets.pages:
        assert page.shape == shape and page.dtype == np.uint8
        assert page.min() >= 1
    assert sheets.boxes.shape == sheets.counts.shape == (2, 6)
    assert sheets.boxes.dtype == object and sheets.counts.dtype == np.int64
    assert sheets.quads.shape == (2, 6, 3, 4, 2) and sheets.quads.dtype == np.float64
    assert sheets.homographies.shape == (2, 3, 3)
    assert sheets.turns.shape == (2,) and sheets.turns.dtype == np.int64
    assert sheets.form == load_form("example")


def test_same_random_state_same_pages():
    first = make_tally_pages(3, scale=0.4, degrade="mixed", random_state=1)
    again = make_tally_pages(5, scale=0.4, degrade="mixed", random_state=1)
    other = make_tally_pages(3, scale=0.4, degrade="mixed", random_state=2)
    for i in range(3):  # a page does not depend on how many follow
        np.testing.assert_array_equal(first.pages[i], again.pages[i])
    np.testing.assert_array_equal(first.counts, again.counts[:3])
    assert any((a != b).any() for a, b in zip(first.pages, other.pages, strict=True))


def test_truth_agrees_with_itself():
    sheets = make_tally_pages(25, scale=0.3, sums_hold=1, random_state=0)
    for boxes, counts in zip(sheets.boxes, sheets.counts, strict=True):
        assert [count_of_boxes(b) for b in boxes] == counts.tolist()
        assert all(len(b) == 3 for b in boxes)
        assert counts[:3].sum() == counts[3]
        assert counts[3] + counts[4] == counts[5]


def test_writers_keep_their_habit():
    options = {"scale": 0.3, "random_state": 0}
    crossed = make_tally_pages(30, p_crossed=1, p_blank=0, **options)
    blank = make_tally_pages(30, p_crossed=0, p_blank=1, **options)
    zeros = make_tally_pages(30, p_crossed=0, p_blank=0, **options)
    for sheets, char in ((crossed, "x"), (blank, "_"), (zeros, "0")):
        leading = [b[0] for b in sheets.boxes.ravel() if b[0] in "0x_"]
        assert np.mean([c == char for c in leading]) > 0.9


def test_any_form(wide_form):
    sheets = make_tally_pages(6, form=wide_form, scale=1.5, random_state=0)
    assert sheets.pages[0].shape == (600, 900)
    assert sheets.quads.shape == (6, 4, 4, 4, 2)
    assert [len(b) for b in sheets.boxes[0]] == [4, 3, 4, 1]
    padding = np.isnan(sheets.quads).all(axis=(-2, -1))
    assert padding[0].sum(axis=-1).tolist() == [0, 1, 0, 3]
    assert padding[:, 1, 0].all() and padding[:, 3, :3].all()
    assert (sheets.counts < 10 ** np.array([4, 3, 4, 1])).all()


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("perspective", [0.0, 0.06])
def test_quads_lie_where_frames_are_printed(wide_form, turn, perspective):
    sheets = make_tally_pages(
        2,
        form=wide_form,
        scale=2,
        degrade="none",
        turn=turn,
        skew=1.5,
        perspective=perspective,
        random_state=0,
    )
    for page, quads in zip(sheets.pages, sheets.quads, strict=True):
        contrast = [frame_contrast(page, quads[f, p]) for f in (0, 2) for p in range(4)]
        assert np.median(contrast) > 150
        assert (np.array(contrast) > 60).mean() > 0.9  # the rest is under ink


def test_quads_follow_folds(wide_form):
    options = {"form": wide_form, "scale": 2, "degrade": "none", "random_state": 0}
    flat = make_tally_pages(4, **options)
    folded = make_tally_pages(4, fold=0.03, **options)
    for page, quads in zip(folded.pages, folded.quads, strict=True):
        contrast = [frame_contrast(page, quads[f, p]) for f in (0, 2) for p in range(4)]
        assert np.median(contrast) > 120
    moved = np.linalg.norm(folded.quads - flat.quads, axis=-1)
    assert 3 < np.nanmax(moved) < 0.05 * 800


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_homography_and_turn_mean_what_registration_means(wide_form, turn):
    sheets = make_tally_pages(
        1, form=wide_form, degrade="photo", turn=turn, fold=0, random_state=3
    )
    mapped = apply_homography(sheets.homographies[0], form_quads(wide_form))
    np.testing.assert_allclose(mapped, sheets.quads[0], atol=1e-6)
    assert sheets.turns.tolist() == [turn]
    upright, back = turn_page(sheets.pages[0], turn)
    assert upright.shape == (400, 600)
    quad = apply_homography(np.linalg.inv(back), sheets.quads[0, 0, 0])
    right, down = quad[1] - quad[0], quad[3] - quad[0]
    assert right[0] > 4 * abs(right[1]) and down[1] > 4 * abs(down[0])


def test_random_turns():
    turns = make_tally_pages(20, scale=0.3, turn="random", random_state=0).turns
    assert set(turns) == {0, 90, 180, 270}


def test_scribbles_keep_off_boxes_and_anchors(wide_form):
    rng = np.random.default_rng(0)
    mask = print_form(wide_form, 1.0) * 0
    for field in wide_form.fields:
        for x, y, w, h in field.rectangles:
            fill_rectangle(mask, x, y, w, h)
    for _ in range(30):
        ink = np.zeros_like(mask)
        draw_scribbles(ink, wide_form, draw_writer(rng), 1.0, rng)
        assert not (ink & mask).any()
    plain, signed = (
        make_tally_pages(3, scale=0.5, degrade="none", scribbles=s, random_state=0)
        for s in (False, True)
    )
    assert sum(map(np.mean, signed.pages)) < sum(map(np.mean, plain.pages))


def test_stains_and_shadows_darken():
    options = {"scale": 0.4, "degrade": "none", "random_state": 0}
    clean = make_tally_pages(2, **options)
    for spoilt in ({"stains": 1.0}, {"shadow": 0.6}):
        dark = make_tally_pages(2, **options, **spoilt)
        assert dark.pages[0].mean() < clean.pages[0].mean() - 1
    blurred = make_tally_pages(2, **options, blur=3.0)
    assert np.abs(np.diff(blurred.pages[0].astype(int))).max() < 120
    packed = make_tally_pages(2, **options, quality=10)
    assert len(np.unique(packed.pages[0])) > len(np.unique(clean.pages[0])) / 2


def test_pages_are_dark_on_light():
    for degrade in ("none", "scan", "photo", "fax"):
        sheets = make_tally_pages(3, scale=0.5, degrade=degrade, random_state=0)
        for page, quads in zip(sheets.pages, sheets.quads, strict=True):
            (x0, y0), (x1, y1) = quads[0, 0, 0], quads[5, 2, 2]
            inner = page[int(y0) : int(y1), int(x0) : int(x1)]
            assert np.median(inner) > inner.mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_pages": 0}, r"n_pages: expected an integer in \[1, 1000000\], got 0"),
        ({"scale": 0}, "scale: expected a number in"),
        ({"scale": 50}, "scale: 50 makes form 'example' 42500 x 55000 pixels"),
        ({"scale": 0.01}, "scale: 0.01 makes form 'example' 8 x 11 pixels"),
        ({"style": "typed"}, "style: expected one of"),
        ({"degrade": "torn"}, "degrade: expected one of"),
        ({"degrade": -1}, "degrade: expected a number"),
        ({"turn": 45}, "turn: expected one of 0, 90, 180, 270, 'random', got 45"),
        ({"sums_hold": 2}, "sums_hold: expected a number"),
        ({"p_crossed": -0.1}, "p_crossed: expected a number"),
        ({"p_crossed": 0.7, "p_blank": 0.7}, r"p_crossed \+ p_blank: expected"),
        ({"perspective": 0.9}, "perspective: expected a number"),
        ({"fold": 0.5}, r"fold: expected a number in \[0, 0.05\], got 0.5"),
        ({"stains": -1}, "stains: expected a number"),
        ({"shadow": 3}, "shadow: expected a number"),
        ({"blur": -3}, "blur: expected a number"),
        ({"quality": 100}, r"quality: expected an integer in \[0, 95\], got 100"),
        ({"quality": 50.5}, "quality: expected an integer, got 50.5"),
    ],
)
def test_errors(options, message):
    with pytest.raises(TallyError, match=message):
        make_tally_pages(**{"n_pages": 1, **options})


def test_no_such_form():
    with pytest.raises(FormError, match="no form 'nowhere'"):
        make_tally_pages(1, form="nowhere")


def test_boxes_too_small_to_be_read_are_warned_of():
    with pytest.warns(
        TallyWarning, match="6 pixels high, .* Give pixels per form unit"
    ):
        make_tally_pages(1, scale=0.1, random_state=0)
