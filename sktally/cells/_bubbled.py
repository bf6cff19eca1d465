"""Cells that carry what the bubbles beside their boxes say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sktally.cells._bubbles import DIGITS

__all__ = ["BubbledCells", "bubbles_of", "join_cells", "with_bubbles"]


class BubbledCells(np.ndarray):
    """Cells of tallies and, beside them, what their bubbles say.

    An ordinary array for whoever takes it as one, so that it passes through any
    Pipeline. Tallies picked from it keep their bubbles; every other operation gives
    plain cells.

    Attributes
    ----------
    bubbles : ndarray of shape (n_tallies, n_fields, n_places, 10) or None
        Probabilities of the digits, all equal where bubbles say nothing.

    Notes
    -----
    ``Pipeline(memory=...)`` knows arrays by their pixels. Where a form's bubbles were
    described anew and its boxes were not, empty that folder.

    Examples
    --------
    >>> from sktally import TallyCropper, make_tally_pages
    >>> made = make_tally_pages(2, form="indonesia-2024", random_state=0)
    >>> cells = TallyCropper("indonesia-2024").fit_transform(made.pages)
    >>> cells.bubbles.shape, cells[1:].bubbles.shape
    ((2, 3, 3, 10), (1, 3, 3, 10))
    """

    bubbles: np.ndarray | None = None

    def __array_finalize__(self, obj: Any) -> None:
        self.bubbles = None

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        ends = isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis
        first = key[0] if ends else key
        if isinstance(part, BubbledCells) and not isinstance(first, tuple):
            if self.bubbles is not None and part.shape[1:] == self.shape[1:]:
                part.bubbles = self.bubbles[first]
        return part

    def __reduce__(self) -> Any:
        return with_bubbles, (np.asarray(self), self.bubbles)


def with_bubbles(cells: np.ndarray, bubbles: np.ndarray | None) -> np.ndarray:
    """Return cells that carry bubbles, or plain ones where there are none."""
    if bubbles is None:
        return np.asarray(cells)
    carrying = np.asarray(cells).view(BubbledCells)
    carrying.bubbles = bubbles
    return carrying


def bubbles_of(cells: object) -> np.ndarray | None:
    """Return the bubbles that cells carry, None of plain cells."""
    return getattr(cells, "bubbles", None)


def join_cells(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the cells of tallies one after the other, with their bubbles."""
    joined = np.concatenate([np.asarray(cells) for cells in parts])
    bubbles = [bubbles_of(cells) for cells in parts]
    if all(found is None for found in bubbles):
        return joined
    said = [
        np.full((*cells.shape[:3], DIGITS), 1 / DIGITS, np.float32)
        if found is None
        else found
        for cells, found in zip(parts, bubbles, strict=True)
    ]
    return with_bubbles(joined, np.concatenate(said))
