"""The range of pixels: its full scale, learnt in fit and held to in transform."""

from __future__ import annotations

import numpy as np

from sktally.exceptions import TallyError

__all__ = ["check_same_range", "full_scale"]

# Full scale of arrays that are not uint8 or bool: the first of these that holds
# all values seen in fit. 16 is scikit-learn's load_digits.
_FULL_SCALES = (1.0, 16.0, 255.0)
# How far values may lie beyond full scale, relative to it. Of a scale that is known:
# what rounding to 8 bits makes. Of one that is only the largest value seen in fit,
# there may be brighter pixels; another range is larger by far.
_ROUNDING, _BRIGHTER = 1.005, 2.0


def full_scale(X: np.ndarray) -> float:
    """Return the value of full white: by type for uint8 and bool, else by the data."""
    if X.dtype == np.uint8:
        return 255.0
    if X.dtype == bool:
        return 1.0
    highest = float(X.max()) if X.size else 1.0
    return next((scale for scale in _FULL_SCALES if highest <= scale), highest)


def check_same_range(X: np.ndarray, full: float) -> None:
    """Raise where `X` evidently has another range of pixels than fit learnt.

    Parameters
    ----------
    X : ndarray
        Cells of any layout. Those of uint8 and bool have a range of their own.
    full : float
        Full scale learnt in fit.

    Raises
    ------
    TallyError
        If values lie beyond `full` by more than rounding, or if they are fractions of
        1 and `full` is 255 or more. Cells that are all black, or whole numbers, may
        be of any range.
    """
    if X.dtype in (np.uint8, bool) or not X.size:
        return
    highest = float(X.max())
    if highest > full * (_ROUNDING if full in _FULL_SCALES else _BRIGHTER):
        raise TallyError(
            f"X: expected pixels in 0 to {full:g}, the range learnt in fit, got values "
            f"up to {highest:g}, and all beyond would be cut to white; "
            f"{_remedy(highest, full)}, or call fit anew with pixels of this range"
        )
    # Where 16 or less was learnt, a few cells may hold small values only.
    if full < 255 or X.dtype.kind != "f" or not 0 < highest <= 1:
        return
    if ((X > 0) & (X < 1)).any():
        raise TallyError(
            f"X: expected pixels in 0 to {full:g}, the range learnt in fit, got "
            f"fractions of 1, up to {highest:.4g}, which would all be black; multiply "
            f"X by {full:g} if it holds 0 to 1, or call fit anew with pixels of this "
            "range"
        )


def _remedy(highest: float, full: float) -> str:
    """Say what to do with values that are too large."""
    if highest < 1.5 * full:  # no other range, but what resizing can make
        return f"cut them by np.clip(X, 0, {full:g}) if they come of resizing"
    given = next((scale for scale in (16, 255, 65535) if highest <= scale), highest)
    eight = ", pass it as uint8" if given == 255 else ""
    return f"divide X by {given / full:g} if it holds 0 to {given:g}{eight}"
