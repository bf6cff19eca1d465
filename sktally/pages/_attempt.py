"""One way a form may lie on a page, with what speaks for it.

Comes in: nothing. Goes out: `Attempt`, the record that the search for anchors makes
and that registration accepts or refuses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Attempt", "is_sure"]

# Sure enough not to look further: pages of other forms, halves of pages and wrong
# turns reach 0.15 at most, right ones 0.31 (bent, photographed) to 0.96.
_SURE = 0.35


@dataclass(frozen=True, eq=False)
class Attempt:
    """Record one way the form may lie on the page.

    Attributes
    ----------
    homography : ndarray of shape (3, 3)
        Form units to page pixels; all NaN if too few marks were found.
    turn : int
        0, 90, 180 or 270 degrees, see `Registration`.
    owners : ndarray of shape (n_marks,)
        Index of the anchor that each mark belongs to.
    scores, used : ndarray of shape (n_marks,)
        Correlation of each mark, and whether the map was fitted to it.
    xy : ndarray of shape (n_marks, 2)
        Places of the marks in page pixels.
    agreement : float or None
        Correlation with the printed lines; None where none are described.
    residual : float
        Misfit in form units.
    mirror : ndarray of shape (3, 3) or None
        Form units to page pixels of the mirror image of the form, if that agrees
        better.
    """

    homography: np.ndarray
    turn: int
    owners: np.ndarray
    scores: np.ndarray
    used: np.ndarray
    xy: np.ndarray
    agreement: float | None
    residual: float
    mirror: np.ndarray | None = None

    @property
    def is_placed(self) -> bool:
        """Whether there is a map at all."""
        return bool(np.isfinite(self.homography).all())

    @property
    def rank(self) -> tuple[bool, float, float]:
        """By what the better of two attempts is chosen."""
        total = float(np.sum(self.scores * self.used))
        if not self.is_placed:
            return False, 0.0, float(np.sort(self.scores)[-3:].sum())
        if self.agreement is None:
            return True, total, 0.0
        return True, self.agreement, total

    @property
    def evidence(self) -> float:
        """How well the print agrees, or the marks where no print is described."""
        if self.agreement is not None:
            return self.agreement
        return float(self.scores[self.used].mean())


def is_sure(attempt: Attempt) -> bool:
    """Return whether to look no further."""
    if not attempt.is_placed:
        return False
    if attempt.agreement is None:
        return bool(attempt.used.all())
    return attempt.agreement > _SURE
