import numpy as np
import pytest
import torch
from torch.nn import functional

from sktally.digits import AUGMENT_PRESETS, Augmentation, _augment, augment_cells
from sktally.digits._augment import make_augmentation
from sktally.digits._places import bicubic_weights
from sktally.exceptions import TallyError

STRONG = {
    "rotation": 30,
    "shift": 0.3,
    "zoom": 0.4,
    "shear": 30,
    "elastic": 0.1,
    "stroke": 1,
    "contrast": 1,
    "brightness": 1,
    "noise": 1,
    "blur": 1,
    "lines": 1,
    "gaps": 1,
    "shadow": 0.9,
    "jpeg": 1,
    "flip_horizontal": 1,
    "flip_vertical": 1,
}


@pytest.fixture(scope="module")
def bars():
    """Upright bars, 4 of 28 pixels wide, height 16, value 1 on 0."""
    images = np.zeros((60, 28, 28), np.float32)
    images[:, 6:22, 12:16] = 1
    return images


def moments(images):
    ys, xs = np.mgrid[:28, :28]
    mass = images.sum((1, 2))
    return np.stack([(images * a).sum((1, 2)) / mass for a in (xs, ys)], 1)


@pytest.mark.parametrize("name", list(STRONG))
def test_every_setting_changes_cells_and_none_beyond_sense(bars, name):
    if "flip" in name:  # a mirror changes what is not centred
        bars = np.roll(bars, (1, 2), (1, 2))
    out = augment_cells(bars, augment={name: STRONG[name]}, random_state=0)
    assert out.shape == bars.shape and out.dtype == np.float32
    assert np.isfinite(out).all() and not np.allclose(out, bars)
    changed = np.abs(out - bars).max((1, 2)) > 1e-3
    # each cell is drawn for itself; a gap often falls on paper
    assert changed.mean() > (0.2 if name == "gaps" else 0.7)
    small = augment_cells(bars, augment={name: STRONG[name] / 1000}, random_state=0)
    assert np.abs(small - bars).mean() < 0.01


def test_nothing_asked_nothing_changed(bars):
    assert np.allclose(augment_cells(bars, augment={}), bars, atol=1e-6)
    assert np.allclose(augment_cells(bars, augment=None), bars, atol=1e-6)


def test_shift_stays_in_range_and_covers_it(bars):
    moved = moments(augment_cells(bars, augment={"shift": 0.1}, random_state=0))
    steps = moved - moments(bars)
    assert np.abs(steps).max() < 2.8 + 0.01  # a tenth of 28 pixels
    assert np.abs(steps).max() > 2.4 and abs(steps.mean()) < 0.5


def test_rotation_turns_by_degrees(bars):
    out = augment_cells(bars, augment={"rotation": 30}, random_state=0)
    ys, xs = np.mgrid[:28, :28] - 13.5
    xx, yy, xy = (
        (out * a).sum((1, 2)) / out.sum((1, 2)) for a in (xs * xs, ys * ys, xs * ys)
    )
    angles = np.rad2deg(0.5 * np.arctan2(2 * xy, yy - xx))
    assert np.abs(angles).max() < 31 and np.abs(angles).max() > 25
    assert np.allclose(moments(out), 13.5, atol=0.1)


def test_rotation_keeps_angles_on_oblong_cells():
    images = np.zeros((20, 20, 60), np.float32)
    images[:, 4:16, 28:32] = 1
    out = augment_cells(images, augment={"rotation": 45}, random_state=0)
    assert np.allclose(out.sum((1, 2)), images.sum((1, 2)), rtol=0.05)


def test_zoom_scales_the_area(bars):
    out = augment_cells(bars, augment={"zoom": 0.25}, random_state=0)
    share = out.sum((1, 2)) / bars.sum((1, 2))
    assert share.min() > 0.6 and share.max() < 1.6  # 1 / 1.25 ** 2 to 1.25 ** 2
    assert share.max() - share.min() > 0.6


def test_stroke_gets_wider_and_narrower_by_a_pixel(bars):
    out = augment_cells(bars, augment={"stroke": 1}, random_state=0)
    width = out[:, 14].sum(1)
    assert width.min() > 1.9 and width.max() < 6.1
    assert width.min() < 2.5 and width.max() > 5.5


def test_dark_ink_is_treated_as_bright_ink(bars):
    bright = augment_cells(bars * 255, random_state=3)
    dark = augment_cells(255 - bars * 255, random_state=3)
    assert np.allclose(255 - dark, bright, atol=0.01)


def test_lines_reach_empty_cells_and_gaps_spare_a_part():
    empty = torch.zeros(20, 1, 28, 28)
    torch.manual_seed(0)
    assert (Augmentation(lines=1)(empty).amax((1, 2, 3)) > 0).float().mean() > 0.8
    ones = torch.zeros(200, 1, 28, 28)
    ones[..., 4:24, 14] = 1  # a 1 of a single pixel's width
    left = Augmentation(gaps=1)(ones).sum((1, 2, 3)) / 20
    assert left.min() > 0.4


def test_colour_cells_keep_their_channels():
    rng = np.random.default_rng(0)
    cells = rng.random((4, 12, 10, 3)).astype(np.float32)
    assert augment_cells(cells, random_state=0).shape == cells.shape


def test_seeded_and_global_seed_untouched(bars):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = augment_cells(bars, random_state=7)
    assert torch.equal(before, torch.random.get_rng_state())
    assert (one == augment_cells(bars, random_state=7)).all()
    assert not (one == augment_cells(bars, random_state=8)).all()


def test_preset_is_a_valid_setting():
    assert make_augmentation("tally") == Augmentation(**AUGMENT_PRESETS["tally"])
    change = Augmentation(rotation=3)
    assert make_augmentation(change) is change and make_augmentation(None) is None


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        ("strong", "augment: expected None, one of 'tally', or a dict with keys among"),
        (3, "augment: expected None, .* got 3"),
        ({"spin": 1}, "augment: expected keys among rotation, shift, .* got 'spin'"),
        ({"rotation": 90}, r"augment\['rotation'\]: expected a number in \[0, 45\]"),
        ({"shift": -0.1}, r"augment\['shift'\]: expected a number in \[0, 0.5\]"),
        ({"lines": "often"}, r"augment\['lines'\]: expected a number, got 'often'"),
        ({"mirror": 1}, "flip_horizontal, flip_vertical, got 'mirror'"),
        ({"shadow": 1}, r"augment\['shadow'\]: expected a number in \[0, 0.9\], got 1"),
        ({"jpeg": 2}, r"augment\['jpeg'\]: expected a number in \[0, 1\], got 2"),
        ({"flip_vertical": 2}, r"augment\['flip_vertical'\]: expected a number in"),
    ],
)
def test_wrong_settings(augment, message):
    with pytest.raises(TallyError, match=message):
        make_augmentation(augment)


@pytest.mark.parametrize("images", [np.zeros((3, 4)), np.zeros((0, 4, 4)), ["a"]])
def test_wrong_images(images):
    with pytest.raises(TallyError, match=r"images: expected \(n, height, width\)"):
        augment_cells(images)


@pytest.mark.parametrize("shape", [(3, 1, 9, 7), (2, 3, 28, 28), (2, 1, 1, 5)])
def test_neighbours_and_blur_equal_pooling_and_convolution(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    thick = functional.max_pool2d(x, 3, 1, 1)
    assert torch.equal(_augment._of_neighbours(x, torch.maximum), thick)
    assert torch.equal(_augment._of_neighbours(-x, torch.minimum), -thick)
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = torch.outer(taps, taps).expand(shape[1], 1, 5, 5)
    padded = functional.pad(x, (2, 2, 2, 2), mode="replicate")
    blurred = functional.conv2d(padded, kernel, groups=shape[1])
    assert torch.allclose(_augment._blurred(x), blurred, atol=1e-6)


def test_elastic_weights_are_those_of_bicubic_interpolation():
    knots = torch.randn(5, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = functional.interpolate(
        knots, (28, 20), mode="bicubic", align_corners=True
    )
    down, right = (bicubic_weights(side, "cpu") for side in (28, 20))
    assert torch.allclose(down @ knots @ right.T, expected, atol=1e-5)
