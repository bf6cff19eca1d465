"""Compare a page with what the form says is printed on it.

Comes in: a page, a form and where it may lie. Goes out: one correlation. Anchors
alone cannot tell a page from the same page upside down, nor from another form
with the same corner marks: the printed lines can.
"""

from __future__ import annotations

import cv2
import numpy as np

from sktally.form import PrintedMark, TallyField, TallyForm
from sktally.form._kept import kept
from sktally.pages._view import Views, as_views, even_out

__all__ = ["FormPrint", "PageEvidence", "draw_print"]

# Height in pixels at which boxes are compared, and bounds for the page: where boxes
# are smaller the pen inside them hides the lines; finer than that nothing is gained.
_BOX = 22.0
_LONG = (480.0, 960.0)
_SOFT = 400.0
_ENOUGH = 0.5  # pages of other forms reach 0.15
_BLUR = 1.0  # lines may be off by about two pixels
_WINDOW = 27  # pixels over which shadow and contrast are evened out
_FLOOR = 4.0  # contrast in grey levels below which nothing counts as print
_POINTS = 6000  # more change the answer by 0.003 mostly, by 0.01 at most
_SHIFT = 4  # sub-pixel bits of OpenCV's drawing


def draw_print(
    size: tuple[float, float],
    fields: tuple[TallyField, ...],
    printed: tuple[PrintedMark, ...],
    scale: float,
) -> np.ndarray:
    """Draw frames, lines and fills of a form: float32, ink 1 on 0.

    Texts are left out: their font is not known.
    """
    canvas = np.zeros((round(size[1] * scale), round(size[0] * scale)), np.uint8)
    for field in fields:
        if field.frame > 0:
            for box in field.rectangles:
                _outline(canvas, box, field.frame, scale)
    for mark in printed:
        for at in mark.places():
            if mark.kind == "line":
                _line(canvas, at, mark.thickness, scale)
            elif mark.kind == "rect":
                _outline(canvas, at, mark.thickness, scale)
            elif mark.kind == "fill":
                x, y, w, h = at
                ends = _fixed(x, y, scale), _fixed(x + w, y + h, scale)
                cv2.rectangle(canvas, *ends, 255, -1, cv2.LINE_8, _SHIFT)
            elif mark.kind == "circle":
                radius = round(at[2] * scale * 2**_SHIFT)
                centre = _fixed(at[0], at[1], scale)
                cv2.circle(canvas, centre, radius, 255, 1, cv2.LINE_8, _SHIFT)
    return canvas.astype(np.float32) / 255


def _fixed(x: float, y: float, scale: float) -> tuple[int, int]:
    """Return a place in form units as OpenCV draws it, in parts of a pixel."""
    u, v = np.round((np.array([x, y]) * scale - 0.5) * 2**_SHIFT).astype(int).tolist()
    return u, v


def _line(
    canvas: np.ndarray, ends: tuple[float, ...], thickness: float, scale: float
) -> None:
    # Thinner than a pixel is drawn fainter, not wider.
    width = max(1, round(thickness * scale))
    value = int(255 * min(1.0, max(thickness * scale, 0.25)))
    start, stop = _fixed(ends[0], ends[1], scale), _fixed(ends[2], ends[3], scale)
    cv2.line(canvas, start, stop, value, width, cv2.LINE_AA, _SHIFT)


def _outline(
    canvas: np.ndarray, box: tuple[float, ...], thickness: float, scale: float
) -> None:
    x, y, w, h = box
    for ends in (
        (x, y, x + w, y),
        (x, y + h, x + w, y + h),
        (x, y, x, y + h),
        (x + w, y, x + w, y + h),
    ):
        _line(canvas, ends, thickness, scale)


class FormPrint:
    """Hold the drawn print of a form at one scale, ready to be compared with pages.

    Parameters
    ----------
    size : tuple of float
        Width, height of the form's page in form units.
    fields : tuple of TallyField
        Fields, of which the frames are used.
    printed : tuple of PrintedMark
        Other marks; texts are not used.
    long_side : float
        Pixels of the longer side of the form's page.
    """

    def __init__(
        self,
        size: tuple[float, float],
        fields: tuple[TallyField, ...],
        printed: tuple[PrintedMark, ...],
        long_side: float,
    ) -> None:
        scale = long_side / max(size)
        drawn = draw_print(size, fields, printed, scale)
        near = np.flatnonzero(cv2.dilate(drawn, np.ones((7, 7))) > 0.05)
        if near.size > _POINTS:
            near = near[:: near.size // _POINTS + 1]
        y, x = np.divmod(near, drawn.shape[1])
        # Pixel u of the drawing shows form unit (u + 0.5) / scale.
        points = [(x + 0.5) / scale, (y + 0.5) / scale, np.ones(len(x))]
        self._points = np.array(points, np.float32)
        expected = _even_out((255 - 255 * drawn).astype(np.uint8)).ravel()[near]
        self._expected = expected - expected.mean() if expected.size else expected
        self._some: dict[int, tuple[np.ndarray, np.ndarray, float]] = {}

    def agreement(
        self, even: np.ndarray, homographies: np.ndarray, every: int = 1
    ) -> np.ndarray | None:
        """Return the correlation of a page, evened out, with the drawn print.

        One for each of the maps ``(n, 3, 3)`` from form units to pixels of `even`;
        None where nothing is drawn. Of the points, so manieth are looked at.
        """
        if not self._expected.size:
            return None
        points, expected, drawn_power = self._at_every(every)
        maps = homographies.astype(np.float32).reshape(-1, 3)  # one product for all
        mapped = (maps @ points).reshape(len(homographies), 3, -1)
        mapped[:, :2] /= mapped[:, 2:]
        x, y = mapped[:, 0], mapped[:, 1]
        seen = cv2.remap(even, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        seen -= seen.sum(axis=1, keepdims=True) / np.float32(seen.shape[1])
        power = (seen * seen).sum(axis=1) + 1e-3 * seen.shape[1]
        power *= drawn_power
        return np.asarray(seen @ expected / np.sqrt(power))

    def _at_every(self, step: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Return every so manieth point, what is expected there, and its power."""
        if step not in self._some:
            expected = self._expected[::step].copy()
            power = float(expected @ expected)
            self._some[step] = self._points[:, ::step].copy(), expected, power
        return self._some[step]


def _even_out(page: np.ndarray) -> np.ndarray:
    # A pen is darker than any line: cut, so that it counts no more.
    soft = cv2.GaussianBlur(page, (5, 5), _BLUR)  # further off it weighs nothing
    return even_out(soft, _WINDOW, _FLOOR, 1.5)


@kept
def _form_print(form: TallyForm, side: float) -> FormPrint:
    """Return the print of a form, drawn once for all its pages."""
    size = form.page.width, form.page.height
    return FormPrint(size, form.fields, form.printed, side)


@kept
def _sides(form: TallyForm) -> tuple[float, float]:
    """Return the longer side of the page, in pixels, at both scales."""
    heights = [box[3] for field in form.fields for box in field.rectangles]
    long = max(form.page.width, form.page.height)
    fine = float(np.clip(_BOX / np.median(heights) * long, *_LONG))
    return max(fine / 2, _SOFT), fine


class PageEvidence:
    """Compare one page with the print of one form, anywhere it may lie.

    Two scales are compared and the better one counts: bent paper needs the coarse
    one, on which it is off by fewer pixels, small boxes full of ink the fine one. The
    fine one is left out where the coarse one is good enough.

    Parameters
    ----------
    page : ndarray of shape (height, width) or Views
        Grey page, or its views where others use them too.
    form : TallyForm
        Form.
    """

    def __init__(self, page: np.ndarray | Views, form: TallyForm) -> None:
        self._views = as_views(page)
        self._form = form
        self._sides = _sides(form)
        self._levels: dict[float, tuple[FormPrint, np.ndarray, np.ndarray]] = {}

    def _level(self, side: float) -> tuple[FormPrint, np.ndarray, np.ndarray]:
        if side not in self._levels:
            view = self._views.reduced(side)
            drawn = _form_print(self._form, side)
            self._levels[side] = (drawn, _even_out(view.image), view.from_page)
        return self._levels[side]

    def agreement(
        self, homography: np.ndarray, *, thorough: bool = False
    ) -> float | None:
        """Return how well the printed lines agree with a map to page pixels.

        Parameters
        ----------
        homography : ndarray of shape (3, 3)
            Form units to page pixels.
        thorough : bool, default=False
            Whether to compare at both scales in any case.

        Returns
        -------
        float or None
            Correlation, -1 to 1; None where the form describes nothing to compare.
        """
        scores = self.agreements(homography[None], thorough=thorough)
        return None if scores is None else float(scores[0])

    def agreements(
        self, homographies: np.ndarray, *, thorough: bool = False, every: int = 1
    ) -> np.ndarray | None:
        """Return the agreement of each of several maps ``(n, 3, 3)``.

        All are compared at the same scales, the first map decides which, and at
        every so manieth point.
        """
        best = None
        for side in self._sides:
            drawn, even, to_view = self._level(side)
            scores = drawn.agreement(even, to_view @ homographies, every)
            if scores is None:
                return None
            best = scores if best is None else np.maximum(best, scores)
            if best[0] > _ENOUGH and not thorough:
                break
        return best
