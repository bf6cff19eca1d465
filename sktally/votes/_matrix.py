"""What a class is taken for, learnt from labelled boxes and put right.

Comes in: logarithms of the probabilities of boxes, and which classes each may hold.
Goes out: a linear map from these logarithms to others, near the identity.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import logsumexp

__all__ = ["fit_matrix"]

# Standard deviations of the map's entries around the identity, before boxes are seen.
# On blurred pages half or twice as much changes the log loss by a fiftieth; on pages
# 1-250 of indonesia-2024, like those that the network was fitted on, 0.25 and 1 do no
# better than a temperature.
_SPREAD, _SPREAD_INTERCEPT = 0.15, 0.5

Array = npt.NDArray[np.float64]


def fit_matrix(
    logs: Array, sets: npt.NDArray[np.bool_], member: Array
) -> tuple[Array, Array]:
    """Return the most probable map ``logs @ matrix.T + member @ intercept``.

    Parameters
    ----------
    logs : ndarray of shape (n_boxes, n_classes)
        Logarithms of probabilities.
    sets : ndarray of bool, shape (n_boxes, n_classes)
        Classes that each box may hold.
    member : ndarray of shape (n_boxes, n_groups)
        1 for the group that each box is of, else 0.

    Returns
    -------
    matrix : ndarray of shape (n_classes, n_classes)
    intercept : ndarray of shape (n_groups, n_classes)
    """
    n = logs.shape[1]
    start = np.vstack([np.eye(n), np.zeros((member.shape[1], n))])
    spread = np.full((len(start), 1), _SPREAD_INTERCEPT)
    spread[:n] = _SPREAD

    def surprise(flat: Array) -> tuple[float, Array]:
        off = flat.reshape(start.shape)  # from what is expected, in spreads
        both = start + spread * off
        scores = logs @ both[:n].T + member @ both[n:]
        scores -= logsumexp(scores, axis=1, keepdims=True)
        allowed = np.where(sets, scores, -np.inf)
        known = logsumexp(allowed, axis=1, keepdims=True)
        slope = np.exp(scores) - np.exp(allowed - known)
        gradient = np.vstack([slope.T @ logs, member.T @ slope]) * spread + off
        return float((off * off).sum() / 2 - known.sum()), gradient.ravel()

    found = minimize(surprise, np.zeros(start.size), jac=True, method="L-BFGS-B")
    both = start + spread * found.x.reshape(start.shape)
    return both[:n], both[n:]
