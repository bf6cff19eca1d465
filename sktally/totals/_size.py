"""How many sheets to audit for an interval of a given width."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import t

from sktally._validate import check_range
from sktally.exceptions import TallyError

__all__ = ["audit_size"]


def audit_size(
    half_width: float,
    *,
    n_frame: int,
    errors: npt.ArrayLike | None = None,
    spread: float | None = None,
    machine: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> int:
    """Return how many sheets to audit for the total of a field.

    Parameters
    ----------
    half_width : float
        Votes, above 0, by which the interval of the total may reach to either side.
    n_frame : int
        Number of sheets there are.
    errors : array-like, optional
        Counts by hand less by machine on the sheets of a pilot, right ones too.
    spread : float, optional
        Instead of a pilot, the standard deviation of these errors over sheets: with a
        share p of the counts misread, by r votes (root mean square), ``r sqrt(p)``.
    machine : array-like, optional
        Machine counts of all sheets: with them the allowance of `estimate` for rare
        errors is counted too.
    level : float, default=0.95
        Coverage of the interval.

    Returns
    -------
    int
        The smallest number of a simple draw; `n_frame` if no fewer will do.

    Raises
    ------
    TallyError
        If not just one of `errors` and `spread` is given, or a pilot has fewer than
        two sheets or found no error.

    See Also
    --------
    draw_audit : Draws them.

    Notes
    -----
    Solves ``t n_frame sqrt((1 - n / n_frame) / n) s = half_width``. A pilot knows its
    own spread only roughly: allow for more.

    Examples
    --------
    >>> from sktally.totals import audit_size
    >>> audit_size(3000, n_frame=5000, spread=10)
    882
    """
    check_range("n_frame", n_frame, 2, 10**12, integer=True)
    check_range("level", level, 0.5, 0.9999)
    check_range("half_width", half_width, 0, 1e15)
    if not half_width > 0:
        raise TallyError(f"half_width: expected more than 0 votes, got {half_width}")
    if (errors is None) == (spread is None):
        raise TallyError("errors, spread: expected one of them, got both or none")
    variance = _variance(errors) if spread is None else _square(spread)
    deviations = _deviations(machine, n_frame)

    def reach(n: int) -> float:
        each = n_frame / n
        worst = deviations[: int(np.ceil(each))].sum()
        rest = 1 - n / n_frame
        variance_ = rest * (n_frame * each * variance + each * worst)
        return float(t.ppf((1 + level) / 2, n - 1) * np.sqrt(variance_))

    low, high = 2, n_frame
    while low < high:  # reach falls as n grows
        middle = (low + high) // 2
        low, high = (low, middle) if reach(middle) <= half_width else (middle + 1, high)
    return low


def _square(spread: float) -> float:
    check_range("spread", spread, 0, 1e12)
    return float(spread) ** 2


def _variance(errors: npt.ArrayLike | None) -> float:
    values = _floats(errors, "errors")
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise TallyError(
            "errors: expected finite errors of at least 2 sheets, got shape "
            f"{values.shape}"
        )
    if not values.any():
        raise TallyError(
            f"errors: none on {len(values)} sheets, which does not say how large rare "
            "ones are; give a spread"
        )
    return float(values.var(ddof=1))


def _deviations(machine: npt.ArrayLike | None, n_frame: int) -> npt.NDArray[np.float64]:
    """Return squared distances from the mean, the largest first."""
    if machine is None:
        return np.zeros(1)
    values = _floats(machine, "machine")
    if values.shape != (n_frame,) or np.isinf(values).any() or np.isnan(values).all():
        raise TallyError(
            f"machine: expected counts of {n_frame} sheets, NaN where not read, got "
            f"shape {values.shape}"
        )
    found = np.nan_to_num((values - np.nanmean(values)) ** 2)
    return np.sort(found)[::-1]


def _floats(values: npt.ArrayLike | None, name: str) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError) as error:
        raise TallyError(f"{name}: expected numbers, got {error}") from None
