"""Counts with their pages, flat: what tests and intervals by page start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally.exceptions import TallyError

__all__ = ["PagedCounts", "paged_counts"]


class PagedCounts(NamedTuple):
    """Counts whose truth is known, one after the other.

    Parameters
    ----------
    correct : ndarray of bool, shape (n,)
    values : tuple of ndarray of float64, each of shape (n,)
        NaN where a count was not read.
    page : ndarray of int, shape (n,)
        From 0 to n_pages - 1.
    kept : ndarray of int, shape (n,)
        Where each stood in the flattened arrays that were given.
    """

    correct: npt.NDArray[np.bool_]
    values: tuple[npt.NDArray[np.float64], ...]
    page: npt.NDArray[np.intp]
    kept: npt.NDArray[np.intp]

    @property
    def n_pages(self) -> int:
        """Number of pages that hold a count whose truth is known."""
        return int(self.page.max()) + 1


def paged_counts(
    correct: npt.ArrayLike,
    groups: npt.ArrayLike | None,
    values: Mapping[str, npt.ArrayLike],
    *,
    need_pages: str | None = None,
) -> PagedCounts:
    """Check and flatten counts; those whose truth is not known are left out.

    Parameters
    ----------
    correct : array-like of shape (n,) or (n_tallies, n_fields)
        1 and 0, or NaN where the truth is not known.
    groups : array-like of that shape or (n_tallies,), or None
        Page of each. None takes rows of a table for pages, and every count of a flat
        array for a page of its own.
    values : mapping of str to array-like of the shape of `correct`
        By the names that messages give them.
    need_pages : str, optional
        What to do instead; then a flat array without groups is an error.

    Returns
    -------
    PagedCounts
    """
    right = _numbers("correct", correct)
    if right.ndim not in (1, 2) or not np.isin(right[~np.isnan(right)], (0, 1)).all():
        raise TallyError(
            "correct: expected 1, 0 or NaN for each count, shape (n,) or (n_tallies, "
            f"n_fields), got shape {right.shape}, from {_span(right)}"
        )
    known = np.flatnonzero(~np.isnan(right))
    if not len(known):
        raise TallyError("correct: expected at least one count of known truth, got 0")
    flat = []
    for name, value in values.items():
        array = _numbers(name, value)
        if array.shape != right.shape or np.isinf(array).any():
            raise TallyError(
                f"{name}: expected one number, or NaN, for each of correct, shape "
                f"{right.shape}, got shape {array.shape}, from {_span(array)}"
            )
        flat.append(array.ravel()[known])
    if groups is None:
        if right.ndim == 1 and need_pages is not None:
            raise TallyError(f"groups: expected the page of each count; {need_pages}")
        page = np.arange(len(right)).reshape(-1, *[1] * (right.ndim - 1))
    else:
        page = np.asarray(groups)
    shape = page.shape
    if page.ndim == 1 and right.ndim == 2:  # of each row
        page = page[:, None]
    try:
        page = np.broadcast_to(page, right.shape).ravel()[known]
    except ValueError:
        raise TallyError(
            f"groups: expected the page of each count, shape {right.shape}, or of each "
            f"row, got shape {shape}"
        ) from None
    if pd.isna(page).any():
        raise TallyError("groups: expected the page of each count, got some missing")
    index = np.unique(page, return_inverse=True)[1]
    return PagedCounts(right.ravel()[known] == 1, tuple(flat), index, known)


def _numbers(name: str, value: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return an array of floats, NaN for what is missing."""
    try:
        if isinstance(value, pd.DataFrame):
            value = value.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TallyError(
            f"{name}: expected an array of numbers, NaN where missing ({error})"
        ) from None


def _span(array: npt.NDArray[np.float64]) -> str:
    some = array[~np.isnan(array)]
    return f"{some.min()} to {some.max()}" if some.size else "nothing to nothing"
