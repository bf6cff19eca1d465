"""How far the machine can be believed, as far as audits tell.

Comes in: a store with readings by people for audits. Goes out: the share of counts
that was read right, by how sure the reader was of them, and where both differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from sktally.tables import Run, Store
from sktally.tables._files import name_now
from sktally.tables._final import final_count, settled
from sktally.tables._sheets import JOINED, shown_reconciliation
from sktally.tables._values import edits_of
from sktally.votes import (
    AccuracyInterval,
    accuracy_interval,
    calibration_scores,
    reliability_curve,
)

__all__ = ["Reliability", "find_reliability"]

_SHOWN = 50  # counts that differ
_FEWEST = 20  # counts for a curve: two in each bin
_BINS = 10


@dataclass(frozen=True)
class Reliability:
    """What audits say of the machine.

    Parameters
    ----------
    n_sheets, n_counts : int
        Sheets and counts that audits have read, and so has the machine.
    n_unread, n_illegible, n_split : int
        Counts that the machine did not read, that people could not read, and about
        which they differ.
    accuracy, final : AccuracyInterval or None
        Share of counts that are right as read, and in the end, with intervals.
    scores : dict of str to float, or None
        Of `calibration_scores`.
    curve : DataFrame or None
        Of `reliability_curve`.
    differ : DataFrame
        Counts in which audit and machine differ, those of which the reader was surest
        first: ``file``, ``page``, ``field``, ``count``, ``audit``, ``final`` and
        ``confidence``.
    n_differ : int
        All of them.
    audited : list of int
        Numbers of the pages that audits have read something of.
    """

    n_sheets: int
    n_counts: int
    n_unread: int
    n_illegible: int
    n_split: int
    accuracy: AccuracyInterval | None
    final: AccuracyInterval | None
    scores: dict[str, float] | None
    curve: pd.DataFrame | None
    differ: pd.DataFrame
    n_differ: int
    audited: list[int]


def find_reliability(store: Store, run: Run) -> Reliability:
    """Return what the audits in a store say of a run."""
    rows, n_illegible, n_split = _audited(store, run)
    names = ["id", "file", "page", "field", "count", "audit", "final", "confidence"]
    table = pd.DataFrame(rows, columns=names)
    table = table.astype({"count": "Int64", "final": "Int64", "confidence": "float64"})
    both = table[table["count"].notna()]
    right = (both["count"] == both["audit"]).to_numpy(bool)
    good = (table["final"] == table["audit"]).fillna(False).to_numpy(bool)
    accuracy = final = scores = curve = None
    if len(both):
        accuracy = accuracy_interval(right, groups=both["id"])
        final = accuracy_interval(good, groups=table["id"])
    if len(both) >= _FEWEST:
        said, sheets = both["confidence"], both["id"]
        found = calibration_scores(
            right, said, groups=sheets, n_bins=_BINS, random_state=0
        )
        scores = {name: float(found[name].loc["all"]) for name in ("brier", "ece")}
        curve = reliability_curve(right, said, groups=sheets, n_bins=_BINS)
    differ = both[~right].sort_values("confidence", ascending=False, kind="stable")
    return Reliability(
        table["id"].nunique(),
        len(both),
        len(table) - len(both),
        n_illegible,
        n_split,
        accuracy,
        final,
        scores,
        curve,
        differ.head(_SHOWN).reset_index(drop=True),
        len(differ),
        sorted(set(table["id"])),
    )


def _audited(store: Store, run: Run) -> tuple[list[tuple], int, int]:
    """Return a row for each count that audits agree on; how many they do not."""
    rows: list[tuple] = []
    n_illegible = n_split = 0
    shown = shown_reconciliation(store, run)
    ask = (
        f"SELECT p.id, {name_now('p')}, f.count, f.confidence, r.count, r.proba, "
        "(SELECT MIN(holds) FROM reconciled WHERE sheet = s.id) "
        f"FROM pages p JOIN fields f ON f.page = p.id {JOINED} "
        "WHERE p.run = ? AND p.sha256 = ? AND p.number = ? AND f.field = ?"
    )
    for (sha256, number, name), said in edits_of(store).items():
        last = {edit.who: edit.count for edit in said if edit.purpose == "audit"}
        if not last:
            continue
        for page, file, count, sure, mended, proba, holds in store.ask(
            ask, shown, run.id, sha256, number, name
        ):
            if len(set(last.values())) > 1:
                n_split += 1
                continue
            audit = next(iter(last.values()))
            if audit is None:
                n_illegible += 1
                continue
            final = final_count(count, settled(mended, proba, holds), said)[0]
            rows.append((page, file, number, name, count, audit, final, sure))
    return rows, n_illegible, n_split
