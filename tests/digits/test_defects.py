"""Shadows, JPEG, flips, and the picture of them."""

import sys

import cv2
import matplotlib
import numpy as np
import pytest
import torch
from sklearn.base import clone

from sktally import CNNClassifier, make_digit_cells
from sktally.digits import Augmentation, augment_cells, plot_augmentation
from sktally.digits._augment import make_augmentation
from sktally.digits._defects import (
    coded,
    compressed,
    jpeg_quality,
    quantisation_table,
    shaded,
)
from sktally.exceptions import TallyError

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def inked():
    """Strokes, 4 standard deviations above paper 0, on half of 40 images."""
    x = torch.zeros(40, 1, 24, 32)
    x[::2, :, 4:20, 12:16] = 4
    return x


def test_shadow_is_a_plateau_on_one_side(inked):
    torch.manual_seed(0)
    out = shaded(torch.zeros(200, 1, 28, 28), 0.5)
    assert out.min() >= 0 and 1.4 < out.max() <= 1.5  # half of 3, for want of ink
    low, high = out.amin((1, 2, 3)), out.amax((1, 2, 3))
    assert ((high - low) > 0.7 * high).float().mean() > 0.8  # an edge in most
    # nearly all pixels are in the light or in the shadow, few between
    share = (out - low.view(-1, 1, 1, 1)) / (high - low).view(-1, 1, 1, 1)
    assert ((share < 0.1) | (share > 0.9)).float().mean() > 0.6
    # from every side
    brighter = [out[..., :14] - out[..., 14:], out[:, :, :14] - out[:, :, 14:]]
    for half in brighter:
        side = half.mean((1, 2, 3)) > 0
        assert 0.35 < side.float().mean() < 0.65
    assert 0.3 < high.mean() / 1.5 < 0.6  # depths are drawn evenly


def test_shadow_leaves_black_ink_black(inked):
    torch.manual_seed(0)
    out = shaded(inked, 0.9)
    assert torch.allclose(out[::2, :, 4:20, 12:16], torch.tensor(4.0))
    assert out.amax() < 4 + 1e-5 and out[::2, :, :4].amax() > 2


def test_quantisation_table_is_annex_k():
    tables = quantisation_table(torch.tensor([50.0, 25.0, 100.0, 75.0]))
    assert tables[0, 0].tolist() == [16, 11, 10, 16, 24, 40, 51, 61]
    assert tables[0].sum() == 3688 and tables[0, 7, 7] == 99
    assert (tables[1] == (2 * tables[0]).clamp(max=255)).all()
    assert (tables[2] == 1).all() and tables[3, 0, 0] == 8
    assert jpeg_quality(1, 1) == 5 and jpeg_quality(0.5, 1) == 52.5
    assert jpeg_quality(1, 0) == 100


@pytest.mark.parametrize("quality", [25, 50])
@pytest.mark.parametrize(("top", "left"), [(0, 0), (3, 6), (7, 1)])
def test_jpeg_is_that_of_opencv(quality, top, left):
    rng = np.random.default_rng(0)
    grey = cv2.GaussianBlur(rng.integers(60, 200, (27, 35)).astype(np.uint8), (3, 3), 1)
    grey[10:15, 5:30], grey[0, 0] = 250, 255
    height, width = (-(-(s + o) // 8) * 8 for s, o in ((27, top), (35, left)))
    below, right = height - 27 - top, width - 35 - left
    whole = cv2.copyMakeBorder(grey, top, below, left, right, cv2.BORDER_REPLICATE)
    packed = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    expected = cv2.imdecode(packed, 0)[top : top + 27, left : left + 35].astype(float)
    x = torch.tensor(grey)[None, None] * (5 / 255)
    out = coded(x, *(torch.tensor([v]) for v in (float(quality), top, left)))
    out = (out[0, 0] * (255 / 5)).clamp(0, 255).numpy()
    # a whole-number tie is rounded up here and down there: a wave in a square or two
    assert np.mean(np.abs(out - expected) < 1.5) > 0.8
    assert np.abs(out - expected).mean() < 0.2 * np.abs(grey - expected).mean()


def test_jpeg_squares_begin_anywhere_and_quality_varies(inked):
    # constant along rows and columns but for one step: only its squares change
    x = torch.zeros(64, 3, 20, 20)
    x[..., 10:] = 3.3
    torch.manual_seed(0)
    out = compressed(x, 1.0)
    assert out.shape == x.shape and torch.isfinite(out).all()
    assert torch.allclose(out[:, 0], out[:, 1])
    changed = (out - x).abs()[:, 0, 0] > 1e-3
    assert len({tuple(row.tolist()) for row in changed}) >= 7
    sizes = (out - x).abs().amax((1, 2, 3))
    assert sizes.min() < 0.05 and sizes.max() > 0.3


def test_flips_are_mirrors_with_their_probability():
    x = torch.arange(400 * 6.0).view(400, 1, 2, 3)
    torch.manual_seed(0)
    assert torch.equal(Augmentation(flip_horizontal=1)(x), x.flip(3))
    assert torch.equal(Augmentation(flip_vertical=1)(x), x.flip(2))
    out = Augmentation(flip_horizontal=0.25)(x)
    turned = (out != x).flatten(1).any(1)
    assert 0.18 < turned.float().mean() < 0.32
    assert torch.equal(out[turned], x.flip(3)[turned])


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (["0", "1"], "'0'"),
        ([7, 8], "7"),
        (["_", "x", "3"], "'3'"),
        ([3.0, 4.0], "3.0"),
        (["cat", "12"], "'12'"),
    ],
)
@pytest.mark.parametrize("key", ["flip_horizontal", "flip_vertical"])
def test_flips_are_refused_for_numbers(labels, named, key):
    X, y = np.random.default_rng(0).random((30, 8, 8)), np.array(labels * 15)[:30]
    model = CNNClassifier(filters=(2,), hidden=(), max_epochs=1)
    message = f"augment: '{key}' is refused, as label {named} is a number: a mirrored 2"
    for augment in ({key: 0.5}, Augmentation(**{key: 0.5})):
        with pytest.raises(TallyError, match=message + ".* give their classes names"):
            clone(model).set_params(augment=augment).fit(X, y)
    clone(model).set_params(augment={key: 0, "shift": 0.1}).fit(X, y)


@pytest.mark.parametrize("labels", [["cat", "dog"], [False, True], ["x", "_"]])
def test_flips_are_allowed_for_other_images(labels):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = rng.random((60, 8, 8)) * 0.2
    X[y == 0, :, 6:] += 1  # on the right in training, on either side in the test
    augment = {"flip_horizontal": 0.5}
    model = CNNClassifier(filters=(8,), hidden=(), max_epochs=30, learning_rate=0.02)
    model.set_params(random_state=0, augment=augment).fit(X, np.array(labels)[y])
    turned = X[:, :, ::-1]
    assert model.score(turned, np.array(labels)[y]) > 0.9
    one_side = clone(model).set_params(augment=None).fit(X, np.array(labels)[y])
    assert one_side.score(turned, np.array(labels)[y]) < 0.7


def test_new_settings_leave_the_draws_of_others_alone():
    rng = np.random.default_rng(0)
    cells = rng.random((20, 28, 28))
    plain = augment_cells(cells, augment={"rotation": 10, "noise": 0.2}, random_state=0)
    off = {"shadow": 0, "jpeg": 0, "flip_horizontal": 0, "flip_vertical": 0}
    asked = {"rotation": 10, "noise": 0.2, **off}
    assert (augment_cells(cells, augment=asked, random_state=0) == plain).all()
    assert not {*off} & {
        name for name, v in vars(make_augmentation("tally")).items() if v
    }


@pytest.mark.parametrize("shape", [(3, 20, 16), (2, 12, 12, 3)])
def test_preview_shows_originals_and_variants(shape):
    rng = np.random.default_rng(0)
    cells = (rng.random(shape) * 200).astype(np.uint8)
    figure = plot_augmentation(cells, augment={"noise": 0.5}, n_variants=4)
    axes = np.array(figure.axes).reshape(shape[0], 5)
    shown = [[ax.images[0].get_array() for ax in row] for row in axes]
    span = float(cells.max() - cells.min())
    for cell, row in zip(cells, shown):
        assert np.allclose(row[0], (cell - float(cells.min())) / span)
        steps = [np.abs(variant - row[0]).mean() for variant in row[1:]]
        assert min(steps) > 0 and len(set(steps)) == 4
    again = plot_augmentation(cells, augment={"noise": 0.5}, n_variants=4)
    assert (again.axes[-1].images[0].get_array() == shown[-1][-1]).all()
    other = plot_augmentation(
        cells, augment={"noise": 0.5}, n_variants=4, random_state=1
    )
    assert not (other.axes[-1].images[0].get_array() == shown[-1][-1]).all()
    for one in (figure, again, other):
        matplotlib.pyplot.close(one)


def test_preview_of_a_made_cell():
    cells = make_digit_cells(1, random_state=0).images
    figure = plot_augmentation(cells, n_variants=1)
    assert [ax.get_title() for ax in figure.axes] == ["original", ""]
    matplotlib.pyplot.close(figure)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (
            np.zeros((51, 4, 4)),
            {},
            r"images: expected 1 to 50 cells, .* got 51; choose",
        ),
        (np.zeros((4, 4)), {}, r"images: expected \(n, height, width\) or"),
        (3, {}, r"images: expected \(n, height, width\) or"),
        (np.zeros((2, 4, 4)), {"n_variants": 0}, r"n_variants: .* in \[1, 50\], got 0"),
        (np.zeros((2, 4, 4)), {"augment": "wild"}, "augment: expected None, one of"),
    ],
)
def test_what_cannot_be_previewed(images, options, message):
    with pytest.raises(TallyError, match=message):
        plot_augmentation(images, **options)


def test_preview_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(TallyError, match=r"pip install 'sktally\[plot\]'; without it"):
        plot_augmentation(np.zeros((2, 4, 4)))
