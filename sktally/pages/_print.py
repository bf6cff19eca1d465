"""Compare a page with what the form says is printed on it.

Comes in: a page, a form and where it may lie. Goes out: one correlation. Anchors
alone cannot tell a page from the same page upside down, nor from another form
with the same corner marks: the printed lines can.
"""

from __future__ import annotations

import cv2
import numpy as np

from sktally.form import TallyForm
from sktally.pages._registration import apply_homography
from sktally.pages._view import reduce_page

__all__ = ["FormPrint", "PageEvidence", "draw_print"]

# Height in pixels at which boxes are compared, and bounds for the page: where boxes
# are smaller the pen inside them hides the lines; finer than that nothing is gained.
_BOX = 22.0
_LONG = (480.0, 960.0)
_SOFT = 400.0
_BLUR = 1.0  # lines may be off by about two pixels
_WINDOW = 27  # pixels over which shadow and contrast are evened out
_FLOOR = 4.0  # contrast in grey levels below which nothing counts as print
_POINTS = 12000  # more do not change the answer in its second digit
_SHIFT = 4  # sub-pixel bits of OpenCV's drawing


def draw_print(form: TallyForm, scale: float) -> np.ndarray:
    """Draw frames, lines and fills of a form: float32, ink 1 on 0.

    Texts are left out: their font is not known.
    """
    size = (round(form.page.height * scale), round(form.page.width * scale))
    canvas = np.zeros(size, np.uint8)

    def fixed(x: float, y: float) -> tuple[int, int]:
        at = np.array([x, y]) * scale - 0.5
        u, v = np.round(at * 2**_SHIFT).astype(int).tolist()
        return u, v

    def line(x1: float, y1: float, x2: float, y2: float, thick: float) -> None:
        # Thinner than a pixel is drawn fainter, not wider.
        width = max(1, round(thick * scale))
        value = int(255 * min(1.0, max(thick * scale, 0.25)))
        ends = fixed(x1, y1), fixed(x2, y2)
        cv2.line(canvas, *ends, value, width, cv2.LINE_AA, _SHIFT)

    def rectangle(x: float, y: float, w: float, h: float, thick: float) -> None:
        for ends in (
            (x, y, x + w, y),
            (x, y + h, x + w, y + h),
            (x, y, x, y + h),
            (x + w, y, x + w, y + h),
        ):
            line(*ends, thick)

    for field in form.fields:
        if field.frame > 0:
            for box in field.rectangles:
                rectangle(*box, field.frame)
    for mark in form.printed:
        for at in mark.places():
            if mark.kind == "line":
                line(*at, mark.thickness)
            elif mark.kind == "rect":
                rectangle(*at, mark.thickness)
            elif mark.kind == "fill":
                x, y, w, h = at
                cv2.rectangle(
                    canvas, fixed(x, y), fixed(x + w, y + h), 255, -1, 8, _SHIFT
                )
            elif mark.kind == "circle":
                x, y, r = at
                cv2.circle(
                    canvas, fixed(x, y), fixed(r + 0.5 / scale)[0], 255, 1, 8, _SHIFT
                )
    return canvas.astype(np.float32) / 255


class FormPrint:
    """Hold the drawn print of a form at one scale, ready to be compared with pages.

    Parameters
    ----------
    form : TallyForm
        Its field frames and printed marks other than texts are used.
    long_side : float
        Pixels of the longer side of the form's page.
    """

    def __init__(self, form: TallyForm, long_side: float) -> None:
        scale = long_side / max(form.page.width, form.page.height)
        drawn = draw_print(form, scale)
        near = np.flatnonzero(cv2.dilate(drawn, np.ones((7, 7))) > 0.05)
        if near.size > _POINTS:
            near = near[:: near.size // _POINTS + 1]
        y, x = np.divmod(near, drawn.shape[1])
        # Pixel u of the drawing shows form unit (u + 0.5) / scale.
        self._points = (np.column_stack([x, y]) + 0.5) / scale
        expected = _even_out((255 - 255 * drawn).astype(np.uint8)).ravel()[near]
        self._expected = expected - expected.mean() if expected.size else expected

    def agreement(self, even: np.ndarray, homography: np.ndarray) -> float | None:
        """Return the correlation of a page, evened out, with the drawn print."""
        if not self._expected.size:
            return None
        at = apply_homography(homography, self._points).astype(np.float32)
        seen = cv2.remap(
            even, at[None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )[0]
        seen = seen - seen.mean()
        power = float((seen**2).sum()) + 1e-3 * seen.size
        power *= float((self._expected**2).sum())
        return float((self._expected * seen).sum() / np.sqrt(power))


def _even_out(page: np.ndarray) -> np.ndarray:
    """Return darkness against the surroundings over the local contrast."""
    soft = cv2.GaussianBlur(page, (0, 0), _BLUR).astype(np.float32)
    dark = cv2.blur(soft, (_WINDOW, _WINDOW)) - soft
    contrast = cv2.sqrt(cv2.blur(dark * dark, (_WINDOW, _WINDOW)) + _FLOOR**2)
    # A pen is darker than any line: cut, so that it counts no more.
    return np.clip(dark / contrast, -1.0, 1.5)


class PageEvidence:
    """Compare one page with the print of one form, anywhere it may lie.

    Two scales are compared and the better one counts: small boxes full of ink need
    the fine one, bent paper the coarse one, on which it is off by fewer pixels.

    Parameters
    ----------
    page : ndarray of shape (height, width)
        Grey page.
    form : TallyForm
        Form.
    """

    def __init__(self, page: np.ndarray, form: TallyForm) -> None:
        page_long = max(form.page.width, form.page.height)
        heights = [box[3] for field in form.fields for box in field.rectangles]
        fine = float(np.clip(_BOX / np.median(heights) * page_long, *_LONG))
        self._levels = []
        for side in (fine, max(fine / 2, _SOFT)):
            view = reduce_page(page, side)
            to_view = np.linalg.inv(view.to_page)
            self._levels.append((FormPrint(form, side), _even_out(view.image), to_view))

    def agreement(self, homography: np.ndarray) -> float | None:
        """Return how well the printed lines agree with a map to page pixels.

        Parameters
        ----------
        homography : ndarray of shape (3, 3)
            Form units to page pixels.

        Returns
        -------
        float or None
            Correlation, -1 to 1; None where the form describes nothing to compare.
        """
        scores = [
            drawn.agreement(even, to_view @ homography)
            for drawn, even, to_view in self._levels
        ]
        return max((s for s in scores if s is not None), default=None)
