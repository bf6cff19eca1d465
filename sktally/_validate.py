"""One place for checks of rank, dtype and range: expected, got, remedy."""

from __future__ import annotations

import numpy as np

from sktally.exceptions import TallyError

__all__ = ["check_choice", "check_page", "check_range"]


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


def check_page(page: object, name: str = "page") -> np.ndarray:
    """Return `page` as a grey uint8 array ``(height, width)`` or raise.

    Colour ``(height, width, 3)`` is turned to grey; bool counts as 0 and 255.

    Raises
    ------
    TallyError
        If it is not a uint8 or bool image, or is empty.
    """
    array = np.asarray(page)
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if array.dtype != np.uint8:
        raise TallyError(
            f"{name}: expected uint8 pixels 0..255, got {array.dtype}; scale floats "
            "with (255 * page).round().astype('uint8') or give the path of the file"
        )
    if array.ndim == 3 and array.shape[2] == 3:
        weights = np.array([0.299, 0.587, 0.114])
        array = (array @ weights).round().astype(np.uint8)
    if array.ndim != 2 or array.size == 0:
        raise TallyError(
            f"{name}: expected an image (height, width) or (height, width, 3), got "
            f"shape {np.asarray(page).shape}"
        )
    return np.ascontiguousarray(array)
