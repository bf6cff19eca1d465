"""Compare a page with what the form says is printed on it.

Comes in: a page, a form and where it may lie. Goes out: one correlation. Anchors
alone cannot tell a page from the same page upside down, nor from another form
with the same corner marks: the printed lines can.
"""

from __future__ import annotations

import cv2
import numpy as np

from sktally.form import TallyForm

__all__ = ["FormPrint", "draw_print"]

# Pixels of the longer side of the rectified page. Lines of a form stay visible,
# bends of the paper of half a percent are two pixels and vanish in the blur.
LONG_SIDE = 480
_BLUR = 1.2
_SHIFT = 4  # one unit of 16 sub-pixels for drawing


def draw_print(form: TallyForm, scale: float) -> np.ndarray:
    """Draw frames, lines and fills of a form: float32, ink 1 on 0.

    Texts are left out: their font is not known.
    """
    size = (round(form.page.height * scale), round(form.page.width * scale))
    canvas = np.zeros(size, np.uint8)

    def fixed(*values: float) -> tuple[int, ...]:
        return tuple(round((v * scale - 0.5) * 2**_SHIFT) for v in values)

    def line(x1: float, y1: float, x2: float, y2: float, thick: float) -> None:
        # Thinner than a pixel is drawn fainter, not wider.
        width = max(1, round(thick * scale))
        value = int(255 * min(1.0, max(thick * scale, 0.25)))
        cv2.line(
            canvas, fixed(x1, y1), fixed(x2, y2), value, width, cv2.LINE_AA, _SHIFT
        )

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


def _even(image: np.ndarray) -> np.ndarray:
    """Take away what changes slowly: shadows, tint, paper."""
    soft = cv2.GaussianBlur(image, (0, 0), _BLUR)
    return soft - cv2.blur(image, (25, 25))


class FormPrint:
    """Hold the drawn print of a form, ready to be compared with pages.

    Parameters
    ----------
    form : TallyForm
        Its field frames and printed marks other than texts are used.
    """

    def __init__(self, form: TallyForm) -> None:
        scale = LONG_SIDE / max(form.page.width, form.page.height)
        drawn = draw_print(form, scale)
        self._size = drawn.shape[::-1]
        # Pixel u of the drawing shows form unit (u + 0.5) / scale.
        self._to_form = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, scale]]) / scale
        self._near = cv2.dilate(drawn, np.ones((9, 9))) > 0.05
        expected = _even(drawn)[self._near]
        self._expected = expected - expected.mean() if expected.size else expected

    def __bool__(self) -> bool:
        return bool(self._expected.size)

    def agreement(self, page: np.ndarray, homography: np.ndarray) -> float | None:
        """Return the correlation of a page with the drawn print.

        Parameters
        ----------
        page : ndarray of shape (height, width)
            Grey page; a reduced one will do.
        homography : ndarray of shape (3, 3)
            Form units to pixels of `page`.

        Returns
        -------
        float or None
            -1 to 1; None where the form describes nothing to compare with.
        """
        if not self:
            return None
        flat = cv2.warpPerspective(
            page,
            homography @ self._to_form,
            self._size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        seen = -_even(flat.astype(np.float32))[self._near]
        # One stroke of a pen is darker than any line: cut, it counts no more.
        spread = float(np.sqrt(np.mean(seen**2))) + 1.0
        seen = np.clip(seen, -2 * spread, 2 * spread)
        seen -= seen.mean()
        # Three grey levels of contrast are noise on blank paper, not print.
        power = float((seen**2).sum()) + seen.size * 3.0**2
        power *= float((self._expected**2).sum())
        return float((self._expected * seen).sum() / np.sqrt(power))
