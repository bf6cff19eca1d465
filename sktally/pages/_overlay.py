"""Draw what registration found on a page: boxes, anchors, scores.

Comes in: a page and its `Registration` (or the error instead of one). Goes out:
an RGB picture. This is how a person debugs a form.
"""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import wrap

import cv2
import numpy as np

from sktally._validate import check_page
from sktally.exceptions import TallyError
from sktally.form import TallyForm
from sktally.pages._registration import (
    AnchorHit,
    Registration,
    apply_homography,
    field_shifts,
)

__all__ = ["ADVICE", "draw_registration", "write_picture"]

# What errors say to do to see the picture that is drawn here.
ADVICE = re.compile(r"Try `sktally form check.*")

# Okabe & Ito's palette: told apart by colour-blind eyes too (RGB).
_BOX, _FOUND, _LOST, _EDGE = (0, 114, 178), (0, 158, 115), (213, 94, 0), (204, 121, 167)


def draw_registration(
    page: np.ndarray,
    form: TallyForm,
    registration: Registration | None,
    *,
    error: Exception | None = None,
    texts: list[str] | None = None,
    width: int = 1000,
) -> np.ndarray:
    """Draw the boxes, bubbles, anchors and scores of a registration on its page.

    Parameters
    ----------
    page : ndarray of shape (height, width) or (height, width, 3)
        uint8 page as read.
    form : TallyForm
        The form looked for.
    registration : Registration or None
        What `register_page` returned; None where it raised.
    error : Exception, optional
        What `register_page` raised; its message is written on the picture.
    texts : list of str, optional
        One text a field, for example the count read, written beside its boxes.
    width : int, default=1000
        Pixels of the picture's longer side; small pages are enlarged.

    Returns
    -------
    ndarray of shape (height, width, 3)
        uint8 RGB.

    Examples
    --------
    >>> from sktally.datasets import make_tally_pages
    >>> from sktally.pages import draw_registration, register_page
    >>> made = make_tally_pages(1, form="example", random_state=0)
    >>> found = register_page(made.pages[0], made.form)
    >>> picture = draw_registration(made.pages[0], made.form, found)
    >>> picture.shape[2]
    3
    """
    grey = check_page(page)
    scale = width / max(grey.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=how)
    canvas = cv2.cvtColor(canvas, cv2.COLOR_GRAY2RGB)
    hits: tuple[AnchorHit, ...] = getattr(error, "anchors", ())
    if registration is not None:
        hits = registration.anchors
        _draw_bubbles(canvas, form, registration, scale)
        _draw_fields(canvas, form, registration, scale, texts)
    _draw_anchors(canvas, hits, scale)
    if registration is not None:
        caption = _caption(form, registration)
    else:
        caption = "NOT READ. " + ADVICE.sub("", " ".join(str(error or "").split()))
    return np.vstack([_caption_strip(caption, canvas.shape[1]), canvas])


def write_picture(picture: np.ndarray, path: str | Path) -> None:
    """Write a picture as PNG, under any name that the file system takes.

    Parameters
    ----------
    picture : ndarray of shape (height, width, 3)
        uint8 RGB.
    path : str or path
        Should end in ``.png``.

    Raises
    ------
    TallyError
        If the ending is another, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sktally.pages import read_page, write_picture
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_picture(np.full((40, 60, 3), 255, "uint8"), folder + "/white.png")
    ...     read_page(folder + "/white.png").shape
    (40, 60)
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise TallyError(f"{path}: expected a name that ends in .png")
    _, encoded = cv2.imencode(".png", picture[..., ::-1])
    try:
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise TallyError(
            f"{path}: cannot be written ({error.strerror}); choose a folder that "
            "exists and may be written to"
        ) from None


def _draw_fields(
    canvas: np.ndarray,
    form: TallyForm,
    found: Registration,
    scale: float,
    texts: list[str] | None,
) -> None:
    corners = [
        (0, 0),
        (form.page.width, 0),
        (form.page.width, form.page.height),
        (0, form.page.height),
    ]
    edge = apply_homography(found.homography, np.array(corners))
    _polygon(canvas, edge, scale, _EDGE)
    low, high = np.nanmin(found.quads, (1, 2)), np.nanmax(found.quads, (1, 2))
    for i, field in enumerate(form.fields):
        quads = found.quads[i][~np.isnan(found.quads[i]).any(axis=(1, 2))]
        scored = found.field_scores.size > 0
        colour = _LOST if scored and found.misfits[i] else _BOX
        for quad in quads:
            _polygon(canvas, quad, scale, colour)
        label = field.name if texts is None else f"{field.name}: {texts[i]}"
        if scored and not np.isnan(found.field_scores[i]):
            label += f" ({found.field_scores[i]:.2f})"
        (x, y), bottom = low[i] * scale, high[i, 1] * scale
        origin = (max(2, round(x) - 30), max(12, round(y) - 5))
        (length, height), _ = cv2.getTextSize(label, 0, 0.45, 1)
        above = np.array([origin, (origin[0] + length, origin[1] - height)]) / scale
        covered = (above[0, 1] > low[:, 1]) & (above[1, 1] < high[:, 1])
        covered &= (above[1, 0] > low[:, 0]) & (above[0, 0] < high[:, 0])
        if np.delete(covered, i).any():  # rows close together: beside, not above
            origin = (max(2, round(x) - length - 6), round((y + bottom + height) / 2))
        _write(canvas, label, origin, colour)


def _draw_bubbles(
    canvas: np.ndarray, form: TallyForm, found: Registration, scale: float
) -> None:
    places = form.bubble_array()
    if places is None:
        return
    turns = np.arange(16) * np.pi / 8
    ring = np.c_[np.cos(turns), np.sin(turns)]
    shifts = field_shifts(form, found.homography, found.quads)
    for field, shift in zip(places, shifts, strict=True):
        for bubble in field[np.isfinite(field[..., 0])]:
            around = bubble[:2] + bubble[2] * ring
            points = apply_homography(found.homography, around) + shift
            _polygon(canvas, points, scale, _BOX)


def _draw_anchors(
    canvas: np.ndarray, hits: tuple[AnchorHit, ...], scale: float
) -> None:
    for hit in hits:
        colour = _FOUND if hit.found else _LOST
        if not np.isfinite(hit.page_xy).all():
            continue
        x, y = (round(float(v) * scale) for v in hit.page_xy)
        cv2.drawMarker(canvas, (x, y), colour, cv2.MARKER_CROSS, 22, 2)
        text = f"{hit.name} {hit.score:.2f}"
        x_text = min(max(2, x - 20), canvas.shape[1] - 9 * len(text))
        y_text = y + 26 if y < canvas.shape[0] - 40 else y - 16
        _write(canvas, text, (x_text, y_text), colour)


def _write(
    canvas: np.ndarray, text: str, origin: tuple[int, int], colour: tuple
) -> None:
    """Write on white, for print below would run into the letters."""
    (width, height), below = cv2.getTextSize(text, 0, 0.45, 1)
    x, y = origin
    white = (255, 255, 255)
    corners = (x - 2, y - height - 2), (x + width + 1, y + below)
    cv2.rectangle(canvas, *corners, white, cv2.FILLED)
    cv2.putText(canvas, text, origin, 0, 0.45, colour, 1, cv2.LINE_AA)


def _polygon(
    canvas: np.ndarray, points: np.ndarray, scale: float, colour: tuple
) -> None:
    bits = 4  # OpenCV's fixed-point coordinates: sixteenths of a pixel
    corners = np.round(points * scale * 2**bits).astype(np.int32)
    cv2.polylines(canvas, [corners], True, colour, 1, cv2.LINE_AA, bits)


def _caption(form: TallyForm, found: Registration) -> str:
    text = f"{form.name}: by {found.method}, score {found.score:.2f}"
    if np.isfinite(found.residual):
        text += f", residual {found.residual:.2f} form units"
    return text + (f", page lies turned by {found.turn} degrees" if found.turn else "")


def _caption_strip(text: str, width: int) -> np.ndarray:
    lines = wrap(text, max(20, width // 9))[:6]
    strip = np.full((8 + 20 * len(lines), width, 3), 255, np.uint8)
    for i, line in enumerate(lines):
        place = (5, 18 + 20 * i)
        cv2.putText(strip, line, place, 0, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return strip
