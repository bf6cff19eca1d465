"""An order of sheets that a seed fixes, by chance in proportion to what is at stake."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["draw_order"]


def draw_order(
    names: Iterable[object], weights: npt.NDArray[np.float64], seed: object
) -> npt.NDArray[np.int64]:
    """Return the rows of sheets in the order in which they are drawn.

    Parameters
    ----------
    names : iterable
        Of the sheets; their text and the seed alone decide, not their order.
    weights : ndarray of shape (n_sheets,)
        0 or more. Each next sheet is one of those left with probability in proportion
        to it; sheets of weight 0 come last.
    seed : object
        Its text counts.

    Returns
    -------
    ndarray of int, shape (n_sheets,)

    Notes
    -----
    The first 64 bits of the SHA-256 hash of ``"seed,name"`` are a number `u` in (0, 1),
    and sheets are drawn in ascending order of ``-log(u) / weight``.
    """
    listed = [str(name) for name in names]
    digests = [hashlib.sha256(f"{seed},{name}".encode()).digest() for name in listed]
    u = np.array([int.from_bytes(digest[:8], "big") for digest in digests], float)
    with np.errstate(divide="ignore"):
        keys = -np.log((u + 0.5) / 2.0**64) / weights
    return np.lexsort((np.array(listed), keys))
