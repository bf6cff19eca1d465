"""Say which way a page lies, where marks and print leave that open.

Comes in: a page, a form and the ways in which it may lie. Goes out: one of them, with
a warning where another is as good, or a refusal of mirrored pages.
"""

from __future__ import annotations

import warnings

import numpy as np

from sktally.exceptions import RegistrationError, TallyWarning
from sktally.form import TallyForm
from sktally.pages._attempt import Attempt
from sktally.pages._bent import snap_bent
from sktally.pages._snap import SHARP
from sktally.pages._view import Views

__all__ = ["break_tie", "check_mirrored"]

# Two turns whose evidence differs by less are equally likely; on the ten pages of
# indonesia-2019-c1 upright and upside down differ by 0.7 and more.
_TIE = 0.1


def break_tie(
    page: Views,
    form: TallyForm,
    attempts: list[Attempt],
    snapped: tuple[np.ndarray, np.ndarray],
) -> tuple[Attempt, tuple[np.ndarray, np.ndarray]]:
    """Return the best attempt, and what it snaps to; of turns as good, the upright one.

    `snapped` is what the first attempt snaps to.
    """
    found = [(attempts[0], snapped)]
    for other in attempts[1:]:
        if _is_rival(other, attempts[0]):
            found.append((other, snap_bent(page, form, other.homography)))
    # Where paper is bent all turns agree little, but only one fits box by box.
    fits = [_fit(frames) for _, (_, frames) in found]
    found = [
        one for one, fit in zip(found, fits, strict=True) if fit > max(fits) - _TIE
    ]
    if len({one.turn for one, _ in found}) > 1:
        warnings.warn(
            f"form {form.name!r}: its anchors and printed lines look the same when the "
            "page is turned, so pages are taken as they lie. Describe the frames of "
            "the fields (`frame`) or other lines (`[[printed]]`) to tell upright from "
            "upside down",
            TallyWarning,
            stacklevel=3,
        )
    return min(found, key=lambda one: one[0].turn)


def _is_rival(other: Attempt, best: Attempt) -> bool:
    """Tell whether another turn has as much to speak for it."""
    return (
        other.turn != best.turn
        and other.is_placed
        and other.used.sum() >= best.used.sum()
        and (other.agreement is None) == (best.agreement is None)
        and abs(other.evidence - best.evidence) < _TIE
    )


def _fit(frames: np.ndarray) -> float:
    """Return how well the frames of the median field fit, 0 without frames."""
    return float(np.nanmedian(frames)) if np.isfinite(frames).any() else 0.0


def check_mirrored(
    page: Views, form: TallyForm, best: Attempt, frames: np.ndarray
) -> None:
    """Refuse a page that shows the mirror image of the form."""
    if best.mirror is None:
        return
    # Where paper is bent the print as a whole may fit better mirrored, by chance.
    mirrored = _fit(snap_bent(page, form, best.mirror)[1])
    if np.isfinite(frames).any() and mirrored < max(_fit(frames), SHARP):
        return
    raise RegistrationError(
        "the page is mirrored: the mirror image of the form fits its printed lines "
        "better. Scan the front of the sheet, or flip the picture"
    )
