"""One place for checks of rank, dtype and range: expected, got, remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sktally.exceptions import PageReadError, TallyError

__all__ = ["as_labels", "check_choice", "check_page", "check_range", "is_there"]


def check_choice(name: str, value: object, choices: tuple) -> None:
    """Raise unless `value` is one of `choices`."""
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise TallyError(f"{name}: expected one of {listed}, got {value!r}")


def check_range(
    name: str,
    value: float,
    low: float,
    high: float,
    *,
    integer: bool = False,
) -> None:
    """Raise unless `value` is a number in ``[low, high]``."""
    kinds = (int, np.integer) if integer else (int, float, np.integer, np.floating)
    what = "an integer" if integer else "a number"
    if isinstance(value, bool) or not isinstance(value, kinds) or not value == value:
        raise TallyError(f"{name}: expected {what}, got {value!r}")
    if not low <= value <= high:
        raise TallyError(f"{name}: expected {what} in [{low}, {high}], got {value!r}")


def as_labels(values: Any) -> np.ndarray:
    """Return values as an array; of a list of texts NaN and None stay what they are.

    pandas' NA, which can't be compared, becomes None.
    """
    dtype = getattr(values, "dtype", None)
    if not isinstance(dtype, np.dtype) or dtype.hasobject:  # lists, types of pandas
        each = np.asarray(values, dtype=object)
        missing = pd.isna(each)
        if missing.any():
            plain = each.copy()
            plain[missing] = [None if x is pd.NA else x for x in each[missing]]
            return plain
    return np.asarray(values)


def is_there(path: Path) -> bool:
    """Tell whether there is something of this name; no name is too odd to ask for.

    Names too long, with a NUL or in no encoding, and links that lead in a circle, are
    names of nothing.
    """
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def check_page(page: object, name: str = "page", *, color: bool = False) -> np.ndarray:
    """Return `page` as a uint8 array ``(height, width)`` or raise.

    Colour ``(height, width, 3)``, channels red, green, blue, is turned to grey with
    the weights of ITU-R BT.601, as JPEG files are; bool counts as 0 and 255. With
    ``color=True`` the answer is ``(height, width, 3)`` and grey is repeated. The
    array is C-contiguous and shares memory with `page` where nothing was changed.

    Raises
    ------
    PageReadError
        If it is not a uint8 or bool image, or is empty.
    """
    import cv2

    array = _as_pixels(page, name)
    rank = (array.ndim, array.shape[2] if array.ndim == 3 else 1)
    if rank not in {(2, 1), (3, 3)} or array.size == 0:
        raise PageReadError(
            f"{name}: expected an image (height, width) or (height, width, 3), got "
            f"shape {array.shape}; pass one page at a time, without alpha channel"
        )
    array = np.ascontiguousarray(array)
    if color and array.ndim == 2:
        return cv2.cvtColor(array, cv2.COLOR_GRAY2RGB)
    if not color and array.ndim == 3:
        return cv2.cvtColor(array, cv2.COLOR_RGB2GRAY)
    return array


def _as_pixels(page: object, name: str) -> np.ndarray:
    """Return `page` as a uint8 array of any shape or say what is wrong with it."""
    try:
        array = np.asarray(page)
    except ValueError as error:
        raise PageReadError(
            f"{name}: expected a path or an image array, got rows of unequal length "
            f"({type(page).__name__}); make every row as long as the others"
        ) from error
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint8:
        return array
    got = str(array.dtype)
    if array.dtype.kind == "f":
        if np.isnan(array).any():
            got += " with NaN"
        remedy = "scale 0..1 with (255 * page).round().astype('uint8')"
    elif array.dtype.kind in "iu":
        remedy = "use page.astype('uint8') if it holds 0..255, (page >> 8) for 16 bits"
    else:
        got += f" ({type(page).__name__})"
        remedy = "pass a path as str or Path, or an image as a NumPy array"
    raise PageReadError(f"{name}: expected uint8 pixels 0..255, got {got}; {remedy}")
