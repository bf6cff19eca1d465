"""How much evidence sheets read so far give that the outcome is right.

Comes in: by how many votes each sheet drawn overstated each margin. Goes out: for each
margin the wealth of a gambler who bets that it is right, in a game that is fair or
worse if it is wrong. Wealth of 20 comes about with probability 1/20 at most then
(Ville), however long the game.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["log_wealth", "sequential_risk", "sheets_needed"]

Floats = npt.NDArray[np.float64]

_ROUNDING = 1e-9


def log_wealth(
    overstated: npt.NDArray[np.int64],
    margins: npt.NDArray[np.int64],
    worst: Floats,
    *,
    bet: float,
    before: npt.NDArray[np.int64] | None = None,
) -> Floats:
    """Return the logarithm of the wealth before the first and after each sheet.

    Parameters
    ----------
    overstated : ndarray of int, shape (n_drawn, n_pairs)
        Votes by which each sheet, in the order of the draw, overstated each margin.
    margins : ndarray of int, shape (n_pairs,)
        Above 0.
    worst : ndarray of shape (n_sheets,)
        Share of a margin that each sheet can overstate at most, in the order of the
        draw: also of those not drawn yet. Sheets of 0 come last.
    bet : float
        Share of the wealth at stake in each draw, above 0 and at most 1.
    before : ndarray of int, shape (n_pairs,), optional
        Votes overstated by sheets that are not in the draw.

    Returns
    -------
    ndarray of shape (n_drawn + 1, n_pairs)
        0 at first. Infinite from where a margin can no longer be lost.

    Notes
    -----
    If a margin is wrong, sheets overstate it by 1 or more in all, in shares of it, and
    those not drawn yet by `needed`, 1 less what was found. A sheet is drawn with
    probability ``worst / left``, where `left` is the sum of `worst` over those not
    drawn yet. So its taint, what it overstates as a share of its `worst`, is
    ``needed / left`` or more in the mean; and 1 minus its taint is not negative, with
    a mean of at most ``1 - needed / left``: the fair price of the bet.
    """
    first = np.zeros(len(margins), np.int64) if before is None else before
    found = np.cumsum(np.vstack([first, overstated]), axis=0)
    needed = (margins - found) / margins
    n_drawn = len(overstated)
    left = np.append(np.cumsum(worst[::-1])[::-1], 0)[: n_drawn + 1, None]
    settled = needed > left * (1 + _ROUNDING)
    price = 1 - needed[:-1] / np.where(left > 0, left, 1)[:-1]
    most = margins * np.where(worst > 0, worst, 1)[:n_drawn, None]
    sound = np.maximum(1 - overstated / most, 0)
    # where next to nothing is left for the loser there is nothing to bet on
    play = (price > _ROUNDING) & (left[:-1] > 0)
    with np.errstate(divide="ignore"):
        gain = np.log(1 - bet + bet * sound / np.where(play, price, 1))
    wealth = np.zeros(found.shape)
    wealth[1:] = np.cumsum(np.where(play, gain, 0), axis=0)
    wealth[np.maximum.accumulate(settled, axis=0)] = np.inf
    return wealth


def sequential_risk(log_wealth: Floats) -> Floats:
    """Return the risk before the first and after each sheet, from 1 down to 0.

    Parameters
    ----------
    log_wealth : ndarray of shape (n_drawn + 1, n_pairs)

    Returns
    -------
    ndarray of shape (n_drawn + 1,)
        That of the margin of which the least is known: a p-value at any time.
    """
    most = np.maximum.accumulate(log_wealth, axis=0).min(axis=1)
    return np.exp(-np.maximum(most, 0))


def sheets_needed(risks: Floats, limit: float) -> int:
    """Return after how many sheets the risk is within the limit, or all of them."""
    within = risks <= limit
    return int(within.argmax()) if within.any() else len(risks) - 1
