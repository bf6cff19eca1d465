"""Sampling of quads with hand-made pages, where every pixel is known."""

import numpy as np
import pytest

from sktally.cells import sample_cells


def quad(x, y, w, h):
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], float) - 0.5


@pytest.fixture
def page(rng):
    return rng.integers(1, 256, (60, 80)).astype(np.uint8)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_a_box_as_large_as_the_cell_is_copied(page):
    cell = sample_cells(page, quad(10, 20, 16, 16), cell_size=16, margin=0)
    np.testing.assert_array_equal(cell, page[20:36, 10:26])


def test_margin_is_a_share_of_the_box(page):
    cell = sample_cells(page, quad(10, 20, 16, 16), cell_size=24, margin=0.25)
    np.testing.assert_array_equal(cell, page[16:40, 6:30])


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_page_gives_the_same_upright_cell(page, turns):
    corners = quad(10, 20, 16, 16)
    upright = sample_cells(page, corners, cell_size=16, margin=0)
    for _ in range(turns):
        # np.rot90 is counter-clockwise: x, y goes to y, width - 1 - x.
        corners = np.stack([corners[:, 1], page.shape[1] - 1 - corners[:, 0]], axis=1)
        page = np.rot90(page)
    np.testing.assert_array_equal(
        sample_cells(np.ascontiguousarray(page), corners, cell_size=16, margin=0),
        upright,
    )


@pytest.mark.parametrize("size", [20, 45, 70, 130])
def test_shrinking_moves_nothing(size):
    """A ramp stays the same ramp, to half a grey level, at every reduction."""
    page = np.tile(np.arange(250, dtype=np.uint8), (200, 1))
    cell = sample_cells(page, quad(40, 30, size, size), cell_size=20, margin=0)
    expected = 39.5 + size * (np.arange(20) + 0.5) / 20
    assert np.abs(cell - expected).max() <= 1


def test_a_thin_line_on_a_large_box_does_not_come_out_dotted():
    page = np.full((400, 400), 255, np.uint8)
    page[:, 201] = 0
    cell = sample_cells(page, quad(100, 100, 200, 200), cell_size=40, margin=0)
    darkest = cell.min(axis=1)
    assert darkest.max() < 215
    assert np.ptp(darkest.astype(int)) <= 2


def test_missing_boxes_are_zero_and_no_other_is(page):
    quads = np.stack([quad(10, 20, 16, 16), np.full((4, 2), np.nan)])
    cells = sample_cells(np.zeros_like(page), quads, cell_size=8)
    assert (cells[0] == 1).all()
    assert (cells[1] == 0).all()


def test_a_box_beyond_the_page_repeats_its_edge():
    page = np.full((50, 50), 140, np.uint8)
    for x, y in [(45, 45), (-10, 10), (200, 200), (-300, -300)]:
        assert (sample_cells(page, quad(x, y, 12, 12), cell_size=20) == 140).all()


def test_leading_axes_order_and_number_of_boxes(page):
    quads = np.stack([quad(x, 20, 10, 14) for x in range(0, 60, 5)]).reshape(4, 3, 4, 2)
    cells = sample_cells(page, quads, cell_size=20)
    assert cells.shape == (4, 3, 20, 20)
    assert cells.dtype == np.uint8
    np.testing.assert_array_equal(
        sample_cells(page, quads[::-1], cell_size=20), cells[::-1]
    )


def test_more_boxes_than_one_remap_can_hold(page):
    quads = np.tile(quad(10, 20, 16, 16), (300, 1, 1))
    cells = sample_cells(page, quads, cell_size=128, margin=0)
    assert (cells == cells[0]).all()
    assert cells.shape == (300, 128, 128)


def test_no_box_at_all(page):
    assert sample_cells(page, np.full((2, 3, 4, 2), np.nan)).sum() == 0


@pytest.mark.parametrize("shift", [0.0, 0.4, -500.0, 900.0])
def test_rows_between_boxes_do_not_matter(shift):
    page = np.random.default_rng(0).integers(0, 256, (700, 300), np.uint8)
    box = np.array([[100, 40], [220, 40], [220, 180], [100, 180]], float)
    quads = np.stack([box, box + [0, 450], box + [20, 470 + shift]])
    cells = sample_cells(page, quads, cell_size=40)
    assert cells.reshape(3, -1).std(axis=1).min() > 0
    page[260:420] = 0
    assert np.array_equal(sample_cells(page, quads, cell_size=40), cells)


def test_cells_of_more_pixels_than_opencv_takes_in_a_row(page):
    """A row a cell where it fits, else a row a row: the same pixels either way."""
    small = sample_cells(page, quad(10, 20, 16, 16), cell_size=16, margin=0)
    large = sample_cells(page, quad(10, 20, 16, 16), cell_size=16 * 15, margin=0)
    np.testing.assert_array_equal(large[7::15, 7::15], small)
