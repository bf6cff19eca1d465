import numpy as np
import pytest

from sktally.datasets import embed_digits
from sktally.datasets._embed import _crossbar
from sktally.exceptions import TallyError


def bars(n, size=28):
    """Upright bars, bright on black: ones."""
    images = np.zeros((n, size, size), np.uint8)
    images[:, size // 7 : -size // 7, size // 2 - 1 : size // 2 + 2] = 255
    return images


@pytest.mark.parametrize("size", [8, 16, 28, 64])
@pytest.mark.parametrize("cell_size", [28, 40])
def test_shapes_and_dtypes(size, cell_size):
    cells = embed_digits(bars(6, size), cell_size=cell_size, random_state=0)
    assert cells.shape == (6, cell_size, cell_size)
    assert cells.dtype == np.uint8 and cells.min() >= 1


def test_dark_ink_on_light_paper_in_the_middle():
    cells = embed_digits(
        bars(60), frame=False, guide_dots=False, degrade="none", random_state=0
    )
    assert np.median(cells) == 255
    darkest = np.median(cells, axis=0).min(axis=0).argmin()
    assert 15 <= darkest <= 24
    height = (cells.min(axis=2) < 200).sum(axis=1)
    assert 10 < np.median(height) < 30


def test_same_random_state_same_cells_and_order_kept():
    images = bars(20)
    images[10:] = 0
    first, again = (embed_digits(images, random_state=1, degrade=0.2) for _ in "ab")
    np.testing.assert_array_equal(first, again)
    plain = embed_digits(
        images, frame=False, guide_dots=False, degrade="none", random_state=1
    )
    inked = (plain[:, 10:30, 12:28] < 180).mean(axis=(1, 2)) > 0.02
    assert inked[:10].mean() > 0.9 and inked[10:].mean() < 0.3


def test_groups_share_their_light():
    groups = np.repeat([0, 1, 2, 3], 10)
    cells = embed_digits(bars(40), groups=groups, degrade="photo", random_state=4)
    paper = np.median(cells, axis=(1, 2)).reshape(4, 10)
    assert paper.std(axis=1).mean() < paper.mean(axis=1).std()


def test_some_sevens_are_crossed():
    rng = np.random.default_rng(0)
    (bar,) = _crossbar("7", bars(1)[0], 0.1, rng)
    assert 10 < bar.points[:, 1].mean() < 18
    assert _crossbar("7", bars(1)[0], 0.9, rng) == []
    assert _crossbar("1", bars(1)[0], 0.1, rng) == []


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (bars(2) / 255, {}, "images: expected uint8 .* got float64 .*scale floats"),
        (bars(2).reshape(2, -1), {}, r"images: expected uint8 .*\(2, 784\)"),
        (np.zeros((0, 28, 28), np.uint8), {}, r"images: .*\(0, 28, 28\)"),
        (255 - bars(2), {}, "images: expected bright ink on black .*255 - images"),
        (bars(2), {"labels": ["1"]}, "labels: expected one value for each of 2"),
        (bars(2), {"groups": [1, 2, 3]}, r"groups: expected one .* shape \(3,\)"),
        (bars(2), {"cell_size": 2}, "cell_size: expected an integer"),
        (bars(2), {"degrade": "none at all"}, "degrade: expected one of"),
        (bars(2), {"margin": 3}, "margin: expected a number"),
    ],
)
def test_errors(images, options, message):
    with pytest.raises(TallyError, match=message):
        embed_digits(images, **options)
