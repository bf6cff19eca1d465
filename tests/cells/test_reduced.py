"""Scans finer than cells need are decoded smaller: same cells, same places."""

import cv2
import numpy as np
import pytest
from PIL import Image

from sktally import TallyCropper, make_tally_pages
from sktally.exceptions import TallyError
from sktally.pages import read_page, read_reduced, register_page


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Return the path of a scan of 4.3 pixels a cell pixel, and the page."""
    made = make_tally_pages(1, form="example", degrade=0.2, random_state=3)
    page = cv2.resize(made.pages[0], (2040, 2640), interpolation=cv2.INTER_CUBIC)
    path = tmp_path_factory.mktemp("large") / "scan.jpg"
    cv2.imwrite(str(path), page, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return str(path), read_page(path)


def crop(page):
    """Return the cells and the registration of one page."""
    cells, (report,) = TallyCropper("example").fit().crop([page])
    assert report.status == "ok", report.message
    return cells[0].astype(int), report.registration


def check_alike(cells, others):
    """Check that cells differ by far less than if one were moved by a pixel."""
    moved = np.abs(np.diff(others, axis=-1)).mean()
    assert np.abs(cells - others).mean() < 0.4 * moved


def test_cells_and_places_are_those_of_the_whole_page(large):
    path, page = large
    cells, found = crop(path)
    whole, there = crop(page)
    check_alike(cells, whole)
    np.testing.assert_allclose(found.quads, there.quads, atol=0.5)
    corners = np.array([[0, 0, 1], [850, 1100, 1]]).T
    mapped, true = (m @ corners for m in (found.homography, there.homography))
    np.testing.assert_allclose(mapped / mapped[2], true / true[2], atol=1)
    for hit, other in zip(found.anchors, there.anchors, strict=True):
        np.testing.assert_allclose(hit.page_xy, other.page_xy, atol=1)


@pytest.mark.parametrize(
    ("long_side", "factor"), [(2641, 1), (1321, 1), (1320, 2), (660, 4), (330, 8)]
)
def test_factor_leaves_the_long_side(large, long_side, factor):
    small, by = read_reduced(large[0], long_side)
    assert (by, small.shape) == (factor, (2640 // factor, 2040 // factor))
    mean = cv2.resize(large[1], small.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - mean).mean() < 1.5


def test_sides_that_do_not_divide_stay(large, tmp_path):
    cv2.imwrite(str(tmp_path / "odd.jpg"), large[1][:-1])
    assert read_reduced(tmp_path / "odd.jpg", 100)[1] == 1
    cv2.imwrite(str(tmp_path / "page.png"), large[1][::8, ::8])
    assert read_reduced(tmp_path / "page.png", 100)[1] == 1


def test_colour_is_read_as_grey_and_reduced(large, tmp_path):
    path = tmp_path / "colour.jpg"
    cv2.imwrite(str(path), np.dstack([large[1]] * 3))
    small, factor = read_reduced(path, 1000)
    assert (small.shape, factor) == ((1320, 1020), 2)


@pytest.mark.parametrize("long_side", [0, -3, float("nan"), "1000"])
def test_long_side_must_be_a_length(large, long_side):
    with pytest.raises(TallyError, match="long_side: expected a number"):
        read_reduced(large[0], long_side)


@pytest.mark.parametrize("orientation", [3, 6])
def test_orientation_is_obeyed(large, tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.jpg"
    Image.fromarray(large[1]).save(path, exif=exif, quality=92)
    cells, found = crop(str(path))
    whole, there = crop(read_page(path))
    assert found.turn == there.turn != 0
    np.testing.assert_allclose(found.quads, there.quads, atol=0.5)
    check_alike(cells, whole)


def test_form_on_a_part_of_the_page_is_read_in_full(large, tmp_path):
    # A quarter of the size would leave half a pixel for each of a cell.
    small = cv2.resize(large[1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    canvas = np.full_like(large[1], 235)
    canvas[: small.shape[0], : small.shape[1]] = small
    path = tmp_path / "part.jpg"
    cv2.imwrite(str(path), canvas, [cv2.IMWRITE_JPEG_QUALITY, 92])
    cells, found = crop(str(path))
    whole, there = crop(read_page(path))
    np.testing.assert_array_equal(found.quads, there.quads)
    np.testing.assert_array_equal(cells, whole)


def test_rejection_speaks_of_the_whole_page(large, tmp_path):
    path = tmp_path / "half.jpg"
    cv2.imwrite(str(path), large[1][:1320])
    _, (report,) = TallyCropper("example").fit().crop([str(path)])
    with pytest.raises(type(report.error)) as error:
        register_page(read_page(path), "example")
    assert report.status == "rejected"
    assert str(error.value) in report.message
