"""RegistrationDisplay: where the form was found on a page, and how far off marks lie.

Comes in: a page and its `Registration`, or the error instead of one. Goes out: the page
with its boxes and anchors, as `sktally form check` draws it, and arrows from where the
map puts each mark to where it was found.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally._validate import check_page, check_range
from sktally.exceptions import RegistrationError, TallyError
from sktally.form import TallyForm, load_form
from sktally.inspection._axes import axes_of
from sktally.inspection._inside import unwrapped
from sktally.inspection._tiles import shortened
from sktally.pages import (
    Registration,
    draw_registration,
    read_page,
    register_page,
)
from sktally.pages._registration import apply_homography, form_quads

__all__ = ["RegistrationDisplay"]

_ARROW = "#CC3311"
_SEEN = 0.05  # form units; a shorter arrow is a dot


class RegistrationDisplay:
    """A page with the form as it was found on it: boxes, anchors, residuals.

    Parameters
    ----------
    page : ndarray of shape (height, width) or (height, width, 3)
        uint8 page as read.
    form : TallyForm
        The form looked for.
    registration : Registration or None
        Where it lies; None where it was not found.
    error : Exception, optional
        Why it was not found; written above the page.
    texts : list of str, optional
        One text a field, for example the count read, written beside its boxes.
    name : str, optional
        Name of the page, for the title.

    Attributes
    ----------
    residuals_ : DataFrame
        How far what was found lies from where the map of the whole page puts it, a row
        for each anchor used and each field: ``name``, ``kind`` ("anchor" or "field"),
        ``x``, ``y``, where the map puts it, and ``dx``, ``dy``, in page pixels; and
        ``distance`` in form units. Of a field it is how far the right end of its boxes
        was moved, onto their printed frames. Four anchors fit their map exactly, and
        have no residual.
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    figure_ : matplotlib.figure.Figure
        What that is part of.

    See Also
    --------
    sktally.register_page : What finds the form.
    sktally.pages.check_form : Pictures of many pages, written to a folder.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sktally import make_tally_pages
    >>> from sktally.inspection import RegistrationDisplay
    >>> made = make_tally_pages(1, form="example", random_state=0)
    >>> display = RegistrationDisplay.from_page(
    ...     made.pages[0], "example", ax=Figure().subplots()
    ... )
    >>> display.residuals_["kind"].value_counts().to_dict()
    {'field': 6, 'anchor': 4}
    >>> bool(display.residuals_["distance"].max() < 3)
    True
    """

    def __init__(
        self,
        page: npt.NDArray[np.uint8],
        form: TallyForm,
        registration: Registration | None,
        *,
        error: Exception | None = None,
        texts: list[str] | None = None,
        name: str = "",
    ) -> None:
        self.page = page
        self.form = form
        self.registration = registration
        self.error = error
        self.texts = texts
        self.name = name

    @classmethod
    def from_page(
        cls,
        page: str | Path | npt.NDArray[np.uint8],
        form: str | Path | TallyForm,
        *,
        magnify: float = 5.0,
        ax: Any = None,
    ) -> RegistrationDisplay:
        """Look for a form on a page and draw what was found.

        Parameters
        ----------
        page : str, path or ndarray
            A page as `list_pages` names it, or its pixels.
        form : str, path or TallyForm
            Name of a shipped form, path of a form file, or a form.
        magnify, ax
            As in `plot`.

        Returns
        -------
        RegistrationDisplay
            A page on which the form is not found is drawn with the reason.

        Raises
        ------
        PageReadError
            If the page cannot be read.
        FormError
            If there is no such form.
        """
        pixels, name = _opened(page)
        form, found, error = load_form(form), None, None
        try:
            found = register_page(pixels, form)
        except RegistrationError as raised:
            error = raised
        display = cls(pixels, form, found, error=error, name=name)
        return display.plot(magnify=magnify, ax=ax)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        page: str | Path | npt.NDArray[np.uint8],
        *,
        magnify: float = 5.0,
        ax: Any = None,
    ) -> RegistrationDisplay:
        """Read a page and draw where the form lies, and what was read.

        Parameters
        ----------
        estimator : Pipeline or TallyCropper
            A fitted reader; its counts are written beside the boxes. A cropper alone
            has none.
        page : str, path or ndarray
            A page as `list_pages` names it, or its pixels.
        magnify, ax
            As in `plot`.

        Returns
        -------
        RegistrationDisplay

        Raises
        ------
        PageReadError
            If the page cannot be read.
        TallyError
            If `estimator` is neither of these.
        """
        estimator = unwrapped(estimator)
        steps = [step for _, step in getattr(estimator, "steps", [("", estimator)])]
        if not hasattr(steps[0], "form_"):
            raise TallyError(
                "estimator: expected a fitted reader or TallyCropper, got "
                f"{type(estimator).__name__}; make one with load_reader(form)"
            )
        pixels, name = _opened(page)
        found, error, texts = None, None, None
        try:
            cells, [report] = steps[0].crop([pixels])
            found, error = report.registration, report.error
        except RegistrationError as raised:  # a cropper may be told to
            error = raised
        if found is not None and len(steps) > 1:
            for step in steps[1:-1]:
                cells = step.transform(cells)
            counts = steps[-1].predict(cells)[0]
            texts = [str(count) if count >= 0 else "not read" for count in counts]
        form = steps[0].form_
        display = cls(pixels, form, found, error=error, texts=texts, name=name)
        return display.plot(magnify=magnify, ax=ax)

    def plot(self, *, magnify: float = 5.0, ax: Any = None) -> RegistrationDisplay:
        """Draw the page.

        Parameters
        ----------
        magnify : float, default=5.0
            How many times too long residuals are drawn, so that they can be seen; 0
            draws none.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes by default. Their unit is a pixel of the page.

        Returns
        -------
        RegistrationDisplay

        Raises
        ------
        TallyError
            If `magnify` is out of range, or the page is no image.
        """
        check_range("magnify", magnify, 0, 1000)
        height, width = check_page(self.page).shape
        tall = height / width
        size = (min(7.0, 9.0 / tall), min(7.0 * tall, 9.0) + 0.6)
        self.ax_ = axes_of(ax, figsize=size)
        self.figure_ = self.ax_.figure
        told: dict[str, Any] = {"error": self.error, "texts": self.texts}
        told["width"] = _pixels(self.ax_)
        picture = draw_registration(self.page, self.form, self.registration, **told)
        self._show(picture, height, width)
        self.residuals_ = _residuals(self.form, self.registration)
        if magnify and len(self.residuals_):
            self._draw_residuals(magnify)
        return self

    def _show(self, picture: npt.NDArray[np.uint8], height: int, width: int) -> None:
        """Show the picture, its caption above the page, in page pixels."""
        above = picture.shape[0] * width / picture.shape[1] - height
        extent = (-0.5, width - 0.5, height - 0.5, -0.5 - above)
        self.ax_.imshow(picture, extent=extent)
        self.ax_.set_axis_off()
        if self.name:
            self.ax_.set_title(shortened(self.name, 60), fontsize="medium")

    def _draw_residuals(self, magnify: float) -> None:
        table = self.residuals_[self.residuals_["distance"] > _SEEN]
        if not len(table):
            return
        self.ax_.quiver(
            *(table[name] for name in ("x", "y", "dx", "dy")),
            angles="xy",
            scale_units="xy",
            scale=1 / magnify,
            color=_ARROW,
            width=0.004,
            alpha=0.8,
            clip_on=False,
        )
        self.ax_.text(
            0.5,
            -0.01,
            f"arrows: moves, {magnify:g} times as long; "
            f"the longest {table['distance'].max():.1f} form units",
            transform=self.ax_.transAxes,
            ha="center",
            va="top",
            fontsize="small",
            color=_ARROW,
        )


def _pixels(ax: Any) -> int:
    """Return how many pixels of the figure the axes are long, within reason.

    Letters of the picture have a fixed number of pixels.
    """
    return int(np.clip(1.2 * max(ax.bbox.width, ax.bbox.height), 600, 2000))


def _opened(page: Any) -> tuple[npt.NDArray[np.uint8], str]:
    """Return the pixels of a page and its name, if it has one."""
    if isinstance(page, str | PathLike):
        return read_page(page), Path(page).name
    return check_page(page), ""


def _residuals(form: TallyForm, found: Registration | None) -> pd.DataFrame:
    """Return where the map puts anchors and fields, and how far off they are."""
    names, kinds, at, seen = [], [], [], []
    if found is not None:
        centres = {anchor.name: anchor.center for anchor in form.anchors}
        for hit in found.anchors:
            if hit.found:
                names.append(hit.name)
                kinds.append("anchor")
                at.append(
                    apply_homography(found.homography, np.array(centres[hit.name]))
                )
                seen.append(hit.page_xy)
        corners = apply_homography(found.homography, form_quads(form))
        for i, name in enumerate(form.field_names):
            names.append(name)
            kinds.append("field")
            at.append(corners[i, -1, 1:3].mean(axis=0))  # right of the last box
            seen.append(found.quads[i, -1, 1:3].mean(axis=0))
    there, off = np.reshape(at, (-1, 2)), np.reshape(seen, (-1, 2))
    table = pd.DataFrame({"name": names, "kind": kinds})
    table["x"], table["y"] = there.T
    table["dx"], table["dy"] = (off - there).T
    if found is None:
        return table.assign(distance=np.empty(0))
    back = np.linalg.inv(found.homography)
    units = apply_homography(back, off) - apply_homography(back, there)
    return table.assign(distance=np.hypot(*units.T))
