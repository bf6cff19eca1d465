"""Sums that do not hold as read, and who likelier erred: the clerk or the machine.

Comes in: a store. Goes out: a row for each sum of the form, and some sheets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sktally.tables import Run, Store, sums_parts
from sktally.tables._origin import form_of
from sktally.tables._sheets import shown_reconciliation

__all__ = ["Sums", "find_sums"]

_SHOWN = 50  # sheets


@dataclass(frozen=True)
class Sums:
    """Sums of a run.

    Parameters
    ----------
    parts : dict of str to list of str
        Which field should be the sum of which; none if the form has no sums.
    reconciled : bool
        Whether it is known who erred.
    table : DataFrame
        A row for each sum: ``sum``, ``n`` (sheets on which all of it was read),
        ``holds`` (those on which it holds as read), ``clerk``, ``machine``,
        ``unknown`` (those on which it does not, and that is whose error), ``unread``.
    broken : DataFrame
        Sheets on which a sum does not hold, those of clerks first and of these the most
        certain: ``file``, ``page``, ``sum``, ``count``, ``parts``, ``difference``,
        ``holds`` and ``erred``.
    n_broken : int
        All of them.
    """

    parts: dict[str, list[str]]
    reconciled: bool
    table: pd.DataFrame
    broken: pd.DataFrame
    n_broken: int


def find_sums(store: Store, run: Run) -> Sums:
    """Return the sums of a run."""
    parts = {name: list(some) for name, some in form_of(run).sums.items()}
    if not parts:
        return Sums({}, False, pd.DataFrame(), pd.DataFrame(), 0)
    counted = pd.DataFrame(
        0, list(parts), ["n", "holds", "clerk", "machine", "unknown", "unread"]
    )
    broken, n_broken = None, 0
    for part in sums_parts(store, run):
        known = part["difference"].notna()
        off = known & (part["difference"] != 0).fillna(False)
        kind = np.where(~known, "unread", np.where(~off, "holds", part["erred"]))
        kind = np.where(kind == "", "unknown", kind)
        cross = pd.crosstab(part["sum"], kind)
        cross = cross.reindex(index=counted.index, columns=counted.columns)
        counted += cross.fillna(0).astype(int)
        counted["n"] += (
            part.loc[known, "sum"].value_counts().reindex(counted.index, fill_value=0)
        )
        n_broken += int(off.sum())
        some = part[off] if broken is None else pd.concat([broken, part[off]])
        some = some.sort_values(["erred", "holds"], kind="stable", na_position="last")
        broken = some.head(_SHOWN)
    assert broken is not None
    return Sums(
        parts,
        shown_reconciliation(store, run) is not None,
        counted.rename_axis("sum").reset_index(),
        broken.reset_index(drop=True),
        n_broken,
    )
