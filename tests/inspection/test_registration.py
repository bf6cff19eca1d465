from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sktally import PageReadError, TallyCropper, TallyError, load_form, register_page
from sktally.inspection import RegistrationDisplay
from sktally.inspection._registration import _pixels
from sktally.pages import AnchorHit, Registration, draw_registration, write_picture
from sktally.pages._registration import form_quads

FORM = load_form("example")
PAGE = np.full((1100, 850), 200, np.uint8)


def found_off(dx, dy, homography=None):
    """Return a registration of which one field and one anchor lie off."""
    quads = form_quads(FORM).copy()
    quads[1] += (dx, dy)
    hits = [AnchorHit(a.name, 0.9, True, a.center) for a in FORM.anchors]
    x, y = hits[0].page_xy
    hits[0] = replace(hits[0], page_xy=(x - dx, y - dy))
    hits[1] = replace(hits[1], found=False)
    known = {"turn": 0, "score": 0.9, "residual": 1.0, "method": "anchors"}
    return Registration(np.eye(3), quads, anchors=tuple(hits), **known)


def test_residuals_are_what_was_found_less_what_the_map_says():
    display = RegistrationDisplay(PAGE, FORM, found_off(3, 4)).plot()
    table = display.residuals_.set_index("name")
    names = [anchor.name for anchor in FORM.anchors]
    assert list(table.index) == [names[0], *names[2:], *FORM.field_names]
    off = table[table["distance"] > 0]
    assert off[["dx", "dy", "distance"]].to_numpy().tolist() == [[-3, -4, 5], [3, 4, 5]]
    assert off["kind"].tolist() == ["anchor", "field"]
    x, y, width, height = FORM.box_array()[1, -1]
    assert off[["x", "y"]].to_numpy()[1].tolist() == [x + width, y + height / 2]


def test_residuals_are_arrows_five_times_as_long():
    ax = RegistrationDisplay(PAGE, FORM, found_off(3, 4)).plot().ax_
    [arrows] = ax.collections
    assert arrows.U.tolist() == [-3, 3] and arrows.V.tolist() == [-4, 4]
    assert arrows.scale == 0.2
    [told] = ax.texts
    assert told.get_text().endswith("5 times as long; the longest 5.0 form units")
    none = RegistrationDisplay(PAGE, FORM, found_off(3, 4)).plot(magnify=0).ax_
    assert not none.collections and not none.texts
    exact = RegistrationDisplay(PAGE, FORM, found_off(0, 0)).plot().ax_
    assert not exact.collections and not exact.texts


def test_the_picture_is_that_of_form_check_in_page_pixels(made):
    page = made.pages[0]
    display = RegistrationDisplay.from_page(page, "example")
    found = register_page(page, FORM)
    [image] = display.ax_.images
    picture = draw_registration(page, FORM, found, width=_pixels(display.ax_))
    assert (image.get_array() == picture).all()
    left, right, bottom, top = image.get_extent()
    height, width = page.shape
    assert (left, right, bottom) == (-0.5, width - 0.5, height - 0.5)
    caption = picture.shape[0] * width / picture.shape[1] - height
    assert top == pytest.approx(-0.5 - caption)
    assert display.registration.score == found.score


def test_readers_write_their_counts_beside_the_boxes(reader, made, tmp_path):
    path = tmp_path / "sheet.png"
    write_picture(np.repeat(made.pages[0][..., None], 3, axis=2), path)
    _, ax = plt.subplots()
    display = RegistrationDisplay.from_estimator(reader, path, ax=ax)
    assert display.texts == [str(count) for count in made.counts[0]]
    assert display.ax_ is ax and ax.get_title() == "sheet.png"
    cropper = TallyCropper("example").fit()
    assert RegistrationDisplay.from_estimator(cropper, path).texts is None


def test_a_page_without_the_form_says_why(reader):
    blank = PAGE[:220, :170]
    for display in (
        RegistrationDisplay.from_page(blank, "example"),
        RegistrationDisplay.from_estimator(reader, blank),
    ):
        assert display.registration is None and "anchors" in str(display.error)
        assert not len(display.residuals_) and not display.ax_.collections
        shown = display.ax_.images[0].get_array()
        told = {"error": display.error, "width": _pixels(display.ax_)}
        assert (shown == draw_registration(blank, FORM, None, **told)).all()


def test_what_is_no_page_or_reader_is_refused(tmp_path):
    with pytest.raises(PageReadError, match="gone.png"):
        RegistrationDisplay.from_page(tmp_path / "gone.png", "example")
    with pytest.raises(TallyError, match="expected uint8 pixels"):
        RegistrationDisplay.from_page(PAGE / 255, "example")
    with pytest.raises(
        TallyError, match="estimator: expected a fitted reader or Tally"
    ):
        RegistrationDisplay.from_estimator(TallyCropper("example"), PAGE)
    with pytest.raises(TallyError, match="magnify: expected a number"):
        RegistrationDisplay(PAGE, FORM, None).plot(magnify=-1)
