"""Take what stands for pages: a list, Series or array in, a list of pages out."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

from sktally.exceptions import TallyError

__all__ = ["as_pages"]


def as_pages(X: Any, name: str = "X") -> list:
    """Return `X` as a list of paths and page arrays, or raise."""
    expected = (
        "expected one entry a page: a list of paths, or of uint8 arrays (height, "
        "width) or (height, width, 3)"
    )
    if isinstance(X, str | bytes | PathLike):
        raise TallyError(
            f"{name}: {expected}, got the single path {X!r}; give [path], or of a "
            "folder list_pages(path)"
        )
    if hasattr(X, "to_numpy"):
        X = X.to_numpy()
    if isinstance(X, np.ndarray):
        if X.dtype.kind in "OUS" and X.ndim == 2 and X.shape[1] == 1:
            X = X[:, 0]
        _check_array(X, f"{name}: {expected}")
    elif not isinstance(X, Sequence):
        raise TallyError(f"{name}: {expected}, got {type(X).__name__}")
    pages = [str(page) if isinstance(page, np.str_) else page for page in X]
    if not pages:
        raise TallyError(f"{name}: {expected}, got 0 samples; is the folder empty?")
    for i, page in enumerate(pages):
        if not isinstance(page, str | PathLike | np.ndarray):
            raise TallyError(
                f"{name}[{i}]: expected a path or a uint8 page array, got "
                f"{type(page).__name__}: {page!r:.60}"
            )
    return pages


def _check_array(X: np.ndarray, expected: str) -> None:
    """Raise unless the array `X` has one entry a page."""
    if X.dtype.kind in "OU" and X.ndim == 1:
        return
    single = X.ndim == 2 or (X.ndim == 3 and X.shape[2] == 3)
    if X.ndim not in (3, 4) or single or X.dtype not in (np.uint8, np.bool_):
        hint = "; for a single page give [page]" if single else ""
        raise TallyError(
            f"{expected}, got an array of dtype {X.dtype} and shape {X.shape}{hint}"
        )
