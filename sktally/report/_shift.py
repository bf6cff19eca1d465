"""Batches, or audited sheets, of which the reader is surer, or less, than of others.

Comes in: a store and its sheets. Goes out: notes on those that are unlike the rest.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally.exceptions import TallyError, TallyWarning
from sktally.report._notes import Note
from sktally.report._pages import Pages
from sktally.tables import Run, Store
from sktally.tables._origin import form_of
from sktally.votes import CLASSES, ShiftMonitor

__all__ = ["shift_notes"]

_FEWEST = 20  # sheets of a batch
_SAMPLE = 300  # of more, so many drawn at random are compared
_MOST = 12  # batches, the largest
_LEVEL = 0.01  # of a false alarm, in all


def shift_notes(
    store: Store, run: Run, pages: Pages, batch: pd.Series, audited: list[int]
) -> Iterator[Note]:
    """Yield notes on batches, and on audited sheets, in which scores are unlike.

    Each is compared with sheets drawn from all others, see `ShiftMonitor`.
    """
    number = pages.table["id"].where(pages.read).dropna()
    parts = {
        name: number[batch[number.index] == name]
        for name in batch[number.index].value_counts(sort=True).index[:_MOST]
    }
    parts = {name: some for name, some in parts.items() if len(some) >= _FEWEST}
    seen = number[number.isin(audited)]
    tests = len(parts) + 1
    if len(seen) >= _FEWEST:
        found = _shift(store, run, seen, number.drop(seen.index), tests)
        if found:
            yield Note(
                "The reader is not as sure of the sheets that audits have read as of "
                f"the others (shares differ by {found:.2f}): what they say may not "
                "hold for all.",
                where="reliability",
            )
    lines = []
    for name, some in parts.items():
        found = _shift(store, run, some, number.drop(some.index), tests)
        if found:
            lines.append(f"{name} (shares differ by {found:.2f})")
    if lines:
        yield Note(
            "In some batches the reader is surer, or less sure, than in all others: "
            "look at some of their sheets.",
            lines,
            len(lines),
            where="batches",
        )


def _shift(
    store: Store, run: Run, some: pd.Series, others: pd.Series, tests: int
) -> float:
    """Return by how much scores differ, 0 if that may be chance."""
    if len(others) < _FEWEST:
        return 0.0
    rng = np.random.RandomState(0)
    old, new = (_proba(store, run, ids, rng) for ids in (others, some))
    level = _LEVEL / tests
    monitor = ShiftMonitor(
        level=level, n_permutations=int(np.ceil(2 / level)), random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TallyWarning)
        try:
            scores, _ = monitor.fit(old).check(new)
        except TallyError:  # too few pages with probabilities
            return 0.0
    return scores.amount if scores.found else 0.0


def _proba(
    store: Store, run: Run, ids: pd.Series, rng: np.random.RandomState
) -> npt.NDArray[np.float64]:
    """Return the probabilities of some sheets, drawn if there are many."""
    form = form_of(run)
    shape = (form.n_places, len(CLASSES))
    chosen = ids.to_numpy(np.int64)
    if len(chosen) > _SAMPLE:
        chosen = np.sort(rng.choice(chosen, _SAMPLE, replace=False))
    found = np.full((len(chosen), form.n_fields, *shape), np.nan)
    for i, page in enumerate(chosen.tolist()):
        ask = "SELECT place, proba FROM fields WHERE page = ?"
        for place, proba in store.ask(ask, page):
            if isinstance(proba, bytes) and len(proba) == 4 * shape[0] * shape[1]:
                found[i, place] = np.frombuffer(proba, "<f4").reshape(shape)
    return found
