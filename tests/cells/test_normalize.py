"""CellNormalizer: layouts, options, errors, and cells whose answer is known."""

import pickle

import cv2
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktally import load_reader, make_tally_pages
from sktally.cells import CellNormalizer
from sktally.cells._clean import flatten_background
from sktally.datasets import make_digit_cells
from sktally.exceptions import TallyError

PLAIN = {
    "padding": 0,
    "scaling": "unit",
    "background": None,
    "remove_frame": False,
    "remove_dots": False,
    "center": False,
}


def draw_cell(
    *strokes,
    side=40,
    paper=190,
    pen=70,
    frame=90,
    at=5,
    width=2,
    dots=False,
):
    """Return a cell with a box frame and strokes, each a list of (x, y) points."""
    cell = np.full((side, side), paper, np.uint8)
    if frame is not None:
        far = side - 1 - at
        cv2.rectangle(cell, (at, at), (far, far), int(frame), 1)
    if dots:
        for x, y in [(14, 11), (25, 11), (14, 20), (25, 20), (14, 29), (25, 29)]:
            cell[y, x] = frame
    for stroke in strokes:
        cv2.polylines(cell, [np.array(stroke)], False, int(pen), width, cv2.LINE_AA)
    return cell


SEVEN = [(14, 11), (26, 11), (18, 30)]
ONE = [(20, 11), (20, 30)]
CROSS = ([(11, 11), (28, 28)], [(28, 11), (11, 28)])


@parametrize_with_checks([CellNormalizer()])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_sklearn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    return make_digit_cells(96, random_state=0)


def normalize(*cells, **options):
    return CellNormalizer(**options).fit_transform(np.stack(cells))


def middle_of_mass(image):
    y, x = np.indices(image.shape)
    return np.array([(image * y).sum(), (image * x).sum()]) / image.sum()


LAYOUTS = [
    ((2, 3, 4, 40, 40), (2, 3, 4, 28, 28)),
    ((5, 40, 40), (5, 28, 28)),
    ((5, 30, 50), (5, 28, 28)),
    ((5, 40, 40, 3), (5, 28, 28)),
    ((5, 1600), (5, 784)),
    ((5, 7), (5, 784)),
    ((5, 1, 1), (5, 28, 28)),
    ((300, 13, 12), (300, 28, 28)),
    ((2, 200, 150), (2, 28, 28)),
]


@pytest.mark.parametrize("square", ["pad", "squash", "crop"])
@pytest.mark.parametrize(("shape", "expected"), LAYOUTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int64])
def test_shapes_and_dtypes(shape, expected, dtype, square):
    rng = np.random.default_rng(0)
    X = rng.integers(1, 256, shape).astype(dtype)
    images = CellNormalizer(square=square).fit_transform(X)
    assert images.shape == expected
    assert images.dtype == np.float32
    assert np.isfinite(images).all()
    assert images.min() >= 0
    assert images.max() <= 1


def test_absent_cells_and_only_they_are_nan():
    cells = np.zeros((2, 1, 3, 40, 40), np.uint8)
    cells[0, 0, 1] = draw_cell(SEVEN)
    cells[0, 0, 2] = draw_cell()
    cells[1, 0, 0] = 1  # black, not absent
    images = CellNormalizer().fit_transform(cells)
    missing = np.isnan(images)
    assert (missing.all(axis=(-2, -1)) == missing.any(axis=(-2, -1))).all()
    assert missing.any(axis=(-2, -1)).tolist() == [
        [[True, False, False]],
        [[False, True, True]],
    ]
    assert (images[0, 0, 2] == 0).all()


@pytest.mark.parametrize("shape", [(2, 40, 40), (2, 40, 40, 3), (2, 1600)])
def test_nothing_is_absent_in_other_layouts(shape):
    assert np.isfinite(CellNormalizer().fit_transform(np.zeros(shape, np.uint8))).all()


def test_layouts_agree(digits):
    images = CellNormalizer().fit_transform(digits.images)
    tallies = digits.images.reshape(4, 8, 3, 40, 40)
    flat = digits.images.reshape(96, -1)
    colour = np.repeat(digits.images[..., None], 3, axis=-1)
    normalizer = CellNormalizer()
    np.testing.assert_array_equal(
        normalizer.fit_transform(tallies).reshape(images.shape), images
    )
    np.testing.assert_array_equal(
        normalizer.fit_transform(flat).reshape(images.shape), images
    )
    np.testing.assert_array_equal(normalizer.fit_transform(colour), images)


@pytest.mark.parametrize("scale", [1, 255])
def test_number_types_agree(digits, scale):
    images = CellNormalizer().fit_transform(digits.images)
    floats = digits.images / 255 * scale
    normalizer = CellNormalizer().fit(floats)
    assert normalizer.range_ == scale
    np.testing.assert_allclose(normalizer.transform(floats), images, atol=0.02)
    # What is uint8 is on a scale of 255, whatever was seen in fit.
    np.testing.assert_array_equal(normalizer.transform(digits.images), images)


RANGES = {
    "1 after 255": (
        255.0,
        1.0,
        r"0 to 255, .* got fractions of 1, up to 1, .* multiply X",
    ),
    "255 after 1": (1.0, 255.0, r"0 to 1, .* got values up to 2.* divide X by 255 if"),
    "16 after 1": (1.0, 16.0, r"0 to 1, .* got values up to 1.* divide X by 16 if it "),
    "255 after 16": (
        16.0,
        255.0,
        "0 to 16, .* divide X by 15.9375 .* pass it as uint8",
    ),
    "65535 after 255": (255.0, 65535.0, r"0 to 255, .* divide X by 257 if it holds "),
    "1 after 65535": (65535.0, 1.0, r"0 to 6\d+, .* got fractions of 1"),
}


@pytest.mark.parametrize("shape", [(12, 3, 40, 40), (36, 40, 40), (36, 1600)])
@pytest.mark.parametrize("case", RANGES)
def test_another_range_than_in_fit_is_refused(digits, case, shape):
    learnt, given, message = RANGES[case]
    shape = (1, *shape) if len(shape) == 4 else shape
    cells = digits.images[:36].reshape(shape) / 255.0
    normalizer = CellNormalizer().fit(cells * learnt)
    normalizer.transform(cells * learnt)
    with pytest.raises(TallyError, match=f"X: expected pixels in {message}"):
        normalizer.transform(cells * given)
    with pytest.raises(TallyError, match="call fit anew with pixels of this range"):
        normalizer.transform((cells * given).astype(np.float32))
    if given > 255:
        with pytest.raises(TallyError, match="got values up to"):
            normalizer.transform((cells * given).astype(np.uint16))


def test_ranges_that_are_no_other(digits):
    cells = digits.images[:12].reshape(2, 2, 3, 40, 40)
    expected = CellNormalizer().fit_transform(cells)
    normalizer = CellNormalizer().fit(cells.astype(np.float32))
    # as wide as before, by type or by value
    np.testing.assert_array_equal(normalizer.transform(cells), expected)
    by_one = CellNormalizer().fit(cells / 255.0)
    np.testing.assert_array_equal(by_one.transform(cells), expected)
    normalizer.transform(cells * (255.5 / cells.max()))  # rounded up
    with pytest.raises(TallyError, match=r"up to 300, .* np.clip\(X, 0, 255\) if they"):
        normalizer.transform(cells * (300 / cells.max()))
    # of any range: nothing, whole numbers, absent cells
    for value in (0.0, 1.0, 2.0):
        normalizer.transform(np.full(cells.shape, value))
    normalizer.transform((cells > 100).astype(np.float64))
    normalizer.transform(cells > 100)
    some = cells.astype(np.float64)
    some[0] = 0
    assert np.isnan(normalizer.transform(some)[0]).all()
    assert np.isfinite(normalizer.transform(some)[1]).all()


def test_range_of_brightest_pixel_seen_holds_brighter_ones(digits):
    cells = digits.images[:12].astype(np.float64) * 257
    normalizer = CellNormalizer().fit(cells)
    normalizer.transform(cells * 1.2)
    with pytest.raises(TallyError, match="X: expected pixels in 0 to "):
        normalizer.transform(cells * 16)


def test_reader_refuses_cells_of_another_range():
    reader = load_reader("example")
    made = make_tally_pages(2, form="example", random_state=0)
    cells = reader[0].transform(made.pages)
    plain = np.asarray(cells)
    for other in (plain / 255.0, plain.astype(np.uint16) * 257):
        with pytest.raises(TallyError, match="the range learnt in fit"):
            reader["normalize"].transform(other)
    np.testing.assert_array_equal(
        np.asarray(reader["normalize"].transform(plain.astype(np.float32))),
        np.asarray(reader["normalize"].transform(plain)),
    )


def test_full_scale():
    for top, expected in [(0.4, 1), (1, 1), (9, 16), (200, 255), (4000, 4000)]:
        X = np.full((2, 20, 20), float(top))
        assert CellNormalizer().fit(X).range_ == expected
    assert CellNormalizer().fit(np.ones((2, 20, 20), bool)).range_ == 1


def test_an_off_centre_digit_is_centred_scaled_and_freed_of_its_frame():
    small = [(11, 10), (17, 10), (13, 20)]
    image, moved = normalize(
        draw_cell(small), draw_cell([(x + 9, y + 8) for x, y in small])
    )
    np.testing.assert_allclose(middle_of_mass(image), [14, 14], atol=0.3)
    np.testing.assert_allclose(middle_of_mass(moved), [14, 14], atol=0.3)
    assert np.abs(image - moved).mean() < 0.02
    rows = np.flatnonzero(image.max(axis=1) > 0.3)
    # A 10 pixel digit is short of 0.4 of its 40 pixel cell: it grows by 20 / 16.
    assert 12 <= np.ptp(rows) + 1 <= 17
    assert image.max() == 1


@pytest.mark.parametrize("at", [2, 4, 5, 7])
@pytest.mark.parametrize("frame", [20, 90, 150])
def test_frames_are_removed_wherever_they_are(at, frame):
    plain, framed, empty = normalize(
        draw_cell(SEVEN, frame=None),
        draw_cell(SEVEN, frame=frame, at=at),
        draw_cell(frame=frame, at=at),
    )
    assert (empty == 0).all()
    assert np.abs(plain - framed).mean() < 0.02


def test_a_1_close_to_the_frame_is_kept():
    for x in (9, 11, 28, 31):
        (image,) = normalize(draw_cell([(x, 10), (x, 30)]))
        assert image.max() == 1
        assert np.ptp(np.flatnonzero(image.max(axis=1) > 0.3)) >= 16


def test_a_stroke_that_overshoots_the_frame_keeps_what_is_inside():
    image, expected = normalize(
        draw_cell([(14, 11), (26, 11), (16, 38)]),
        draw_cell([(14, 11), (26, 11), (17, 34)], frame=None),
    )
    assert (image * expected).sum() > 0.8 * (expected**2).sum()


@pytest.mark.parametrize("top", [5, 6, 7, 8])
def test_a_stroke_along_the_frame_is_kept_where_it_is_darker(top):
    seven = [(11, top), (28, top), (18, 30)]
    image, expected = normalize(
        draw_cell(seven, pen=20, frame=110), draw_cell(seven, pen=20, frame=None)
    )
    assert np.corrcoef(image.ravel(), expected.ravel())[0, 1] > 0.95


def test_ink_of_the_next_box_is_left_out():
    next_one = [(38, 9), (38, 31)]
    alone, beside, empty = normalize(
        draw_cell(SEVEN), draw_cell(SEVEN, next_one), draw_cell(next_one)
    )
    assert (empty == 0).all()
    assert np.abs(alone - beside).mean() < 0.02


def test_a_broken_digit_keeps_its_parts():
    bar, body = [(16, 10), (26, 10)], [(16, 15), (24, 19), (22, 28), (15, 29)]
    (image,) = normalize(draw_cell(bar, body))
    rows = image.max(axis=1) > 0.3
    assert np.flatnonzero(np.diff(rows.astype(int)) == 1).size == 2


def test_guide_dots_are_removed_unless_asked_otherwise():
    dotted, empty = draw_cell(ONE, dots=True), draw_cell(dots=True)
    image, nothing, expected = normalize(dotted, empty, draw_cell(ONE))
    np.testing.assert_allclose(image, expected, atol=0.15)
    assert (nothing == 0).all()
    kept, _ = normalize(dotted, empty, remove_dots=False)
    assert kept[:, :10].max() > 0.1
    assert image[:, :10].max() == 0


def test_crossed_boxes_survive():
    (image,) = normalize(draw_cell(*CROSS))
    corners = [image[:9, :9], image[:9, -9:], image[-9:, :9], image[-9:, -9:]]
    assert min(corner.max() for corner in corners) > 0.5


def test_specks_and_noise_in_an_empty_box_are_nothing():
    rng = np.random.default_rng(0)
    speck = draw_cell()
    speck[18:21, 20:22] = 60
    noisy = np.clip(draw_cell() + rng.normal(0, 3, (40, 40)), 0, 255).astype(np.uint8)
    shade = (draw_cell() * np.linspace(0.5, 1, 40)).astype(np.uint8)
    assert (normalize(speck, noisy, shade) == 0).all()


def test_a_watermark_behind_a_pale_pen_is_no_ink():
    cell = np.full((40, 40), 250, np.uint8)
    cell[:, 8:20] = 225
    clean = cell.copy()
    for x, y in [(21, y) for y in range(14, 29)]:
        cell[y, x] = clean[y, x] = 150
    image, empty = normalize(cell, draw_cell(frame=60, paper=250))
    assert (empty == 0).all()
    assert (image.max(axis=0) > 0.2).sum() <= 6


def test_a_thin_stroke_that_hardly_took_is_no_watermark():
    cell = draw_cell()
    cell[11:13, 14:26] = cell[28:30, 14:26] = cell[12:29, 24:26] = 140
    cell[11:13, 14:17] = 20  # where the pen was set down
    (image,) = normalize(cell)
    assert image[:9, 8:20].max() > 0.2
    assert image[9:19, 14:].max() > 0.2
    assert image[-9:, 8:20].max() > 0.2


@pytest.mark.parametrize("light", [0.25, 0.5, 1])
@pytest.mark.parametrize("slope", [0, 0.4])
def test_light_and_contrast_change_little(light, slope):
    cell = draw_cell(SEVEN)
    shadow = light * (1 - slope * np.linspace(0, 1, 40))
    image, expected = normalize((cell * shadow).astype(np.uint8), cell)
    assert np.abs(image - expected).mean() < 0.02


def test_polarity():
    cell = draw_cell(SEVEN)
    dark = normalize(cell)
    light = normalize(255 - cell, polarity="light-on-dark")
    np.testing.assert_array_equal(dark, light)
    plain = normalize(cell, **PLAIN | {"size": 40})
    np.testing.assert_allclose(plain[0], (255 - cell) / 255, atol=1e-6)
    plain = normalize(cell, polarity="light-on-dark", **PLAIN | {"size": 40})
    np.testing.assert_allclose(plain[0], cell / 255, atol=1e-6)


def test_squares():
    cell = np.full((20, 40), 255, np.uint8)
    cell[:, 5] = 0  # in the part that "crop" cuts off
    cell[5, :] = 0
    options = PLAIN | {"size": 40}
    (pad,) = normalize(cell, square="pad", **options)
    (squash,) = normalize(cell, square="squash", **options)
    (crop,) = normalize(cell, square="crop", **options)
    assert (pad[:10] == 0).all() and (pad[30:] == 0).all()
    np.testing.assert_allclose(pad[10:30], (255 - cell) / 255, atol=1e-6)
    assert squash[0, 5] == pytest.approx(1) and squash[39, 5] == pytest.approx(1)
    assert crop[30].max() == 0
    assert crop[10].min() > 0.5


def test_scaling():
    cells = np.stack([draw_cell(SEVEN), draw_cell(*CROSS, pen=120), draw_cell()])
    ink = CellNormalizer(scaling="ink").fit_transform(cells)
    assert ink.max(axis=(1, 2)).tolist() == [1, 1, 0]
    unit = CellNormalizer(scaling="unit").fit_transform(cells)
    assert unit[0].max() == pytest.approx((190 - 70) / 255, abs=0.05)
    assert unit[1].max() == pytest.approx((190 - 120) / 255, abs=0.05)
    standard = CellNormalizer(scaling="standard").fit(cells)
    images = standard.transform(cells)
    centred = unit - unit.mean(axis=(1, 2), keepdims=True)
    assert standard.sd_ == pytest.approx(centred.std(), rel=1e-5)
    np.testing.assert_allclose(images, centred / standard.sd_, atol=1e-5)
    assert (images[2] == 0).all()


def test_padding_is_zero():
    noise = np.random.default_rng(0).integers(0, 256, (3, 20, 20)).astype(np.uint8)
    images = normalize(*noise, **PLAIN | {"padding": 5})
    inside = images[:, 5:-5, 5:-5]
    assert inside.sum() == pytest.approx(images.sum())
    assert inside.min() >= 0
    assert images.shape == (3, 28, 28)


def test_digits_of_other_sets_pass_through():
    """Strokes drawn as MNIST has them come out nearly where they were."""
    digits = make_digit_cells(
        60, classes="0123456789", frame=False, guide_dots=False, degrade="none",
        random_state=1,
    )  # fmt: skip
    once = CellNormalizer().fit_transform(digits.images)
    normalizer = CellNormalizer(polarity="light-on-dark", remove_frame=False)
    twice = normalizer.fit_transform(once)
    assert np.median(np.abs(once - twice).mean(axis=(1, 2))) < 0.03
    similar = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(once, twice)]
    assert np.median(similar) > 0.95


def test_order_subset_and_repetition_change_nothing(digits):
    normalizer = CellNormalizer().fit(digits.images)
    images = normalizer.transform(digits.images)
    np.testing.assert_array_equal(
        normalizer.transform(digits.images[::-1]), images[::-1]
    )
    np.testing.assert_array_equal(normalizer.transform(digits.images[7:8]), images[7:8])
    np.testing.assert_array_equal(normalizer.transform(digits.images), images)


def test_noisy_cells_do_not_depend_on_their_neighbours():
    """The paper of each is measured in its own pixels, up to the outermost."""
    cells = np.stack([draw_cell(SEVEN, paper=120 + 10 * i, pen=60) for i in range(8)])
    noise = np.random.default_rng(0).normal(0, 12, cells.shape)
    cells = (cells + noise).clip(1, 255).astype(np.uint8)
    dark, _ = flatten_background(255 - cells)
    for i, cell in enumerate(cells):
        np.testing.assert_array_equal(
            flatten_background(255 - cell[None])[0][0], dark[i]
        )
    normalizer = CellNormalizer().fit(cells)
    together = normalizer.transform(cells)
    for i, cell in enumerate(cells):
        np.testing.assert_array_equal(normalizer.transform(cell[None])[0], together[i])


def test_input_is_not_written_to(digits):
    cells = digits.images.copy()
    cells.flags.writeable = False
    CellNormalizer().fit_transform(cells)


def test_synthetic_cells_come_out_readable(digits):
    """Digits and crosses keep ink; most empty boxes have none."""
    images = CellNormalizer().fit_transform(digits.images)
    empty = (images == 0).all(axis=(1, 2))
    assert not empty[digits.target != "_"].any()
    assert empty[digits.target == "_"].mean() >= 0.6


def test_clone_pickle_and_state(digits):
    normalizer = CellNormalizer(scaling="standard").fit(digits.images.reshape(96, -1))
    images = normalizer.transform(digits.images)
    state = normalizer._fitted_state()
    assert set(state) == {"range_", "sd_", "n_features_in_"}
    assert all(type(value) in (int, float) for value in state.values())
    with pytest.raises(NotFittedError):
        clone(normalizer).transform(digits.images)
    for copy in (
        pickle.loads(pickle.dumps(normalizer)),
        clone(normalizer)._set_fitted_state(state),
    ):
        np.testing.assert_array_equal(copy.transform(digits.images), images)
    assert "n_features_in_" not in CellNormalizer().fit(digits.images)._fitted_state()


BAD_X = [
    (np.full((2, 40, 40), np.nan), "NaN"),
    (np.full((2, 1, 1, 40, 40), np.nan), "NaN"),
    (np.full((2, 1600), np.inf), "infinity"),
    (np.zeros((2, 40, 40, 4)), r"\(n_samples, height, width, 3\).*\(2, 40, 40, 4\)"),
    (np.zeros((1, 2, 3, 4, 5, 6)), r"got shape \(1, 2, 3, 4, 5, 6\)"),
    (np.zeros(40), "1D array"),
    (np.zeros((0, 40, 40)), "0 sample"),
    (np.full((2, 40, 40), "a"), "numeric"),
    (np.zeros((2, 40, 40), complex), "Complex"),
    ([[[1, 2], [3, 4]], [[1, 2]]], "ragged list.*Resize the cells"),
]


@pytest.mark.parametrize(("X", "message"), BAD_X)
def test_bad_X(X, message):
    with pytest.raises(ValueError, match=message):
        CellNormalizer().fit(X)
    with pytest.raises(ValueError, match=message):
        CellNormalizer().fit(np.zeros((2, 40, 40), np.uint8)).transform(X)


def test_sparse_X():
    with pytest.raises(TypeError, match="[Ss]parse"):
        CellNormalizer().fit(csr_matrix((3, 16)))


BAD_PARAMETERS = [
    ({"size": 4}, r"size: expected an integer in \[8, 512\], got 4"),
    ({"padding": 13}, r"padding: expected an integer in \[0, 12\], got 13"),
    ({"square": "stretch"}, "square: expected one of 'pad', 'squash', 'crop'"),
    ({"scaling": None}, "scaling: expected one of 'ink', 'unit', 'standard', got None"),
    ({"polarity": "dark"}, "polarity: expected one of 'dark-on-light'"),
    ({"background": "median"}, "background: expected one of 'flatten', None"),
    ({"remove_frame": "yes"}, "remove_frame: expected True or False, got 'yes'"),
    ({"center": 1}, "center: expected True or False, got 1"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_PARAMETERS)
def test_bad_parameters(parameters, message):
    with pytest.raises(TallyError, match=message):
        CellNormalizer(**parameters).fit(np.zeros((2, 40, 40), np.uint8))


@pytest.mark.real
def test_real_cells(real_data):
    """No digit and no cross is lost; empty boxes have no ink."""
    with np.load(real_data / "indonesia-2024" / "digits40.npz") as data:
        half = data["page"] <= 250
        cells, labels = data["images"][half], data["labels"][half]
    images = CellNormalizer().fit_transform(cells)
    empty = (images == 0).all(axis=(1, 2))
    assert empty[labels < 11].mean() <= 0.002
    assert empty[labels == 11].mean() >= 0.8
