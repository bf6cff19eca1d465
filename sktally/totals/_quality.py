"""Sheets of high quality alone, and how they differ from those left out.

Comes in: sheets with their quality. Goes out: the same with all others as if they had
not been read, and what is seen of the choice that this makes: it is no random one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally._validate import check_range
from sktally.exceptions import TallyError
from sktally.totals._groups import Grouped, named, warn
from sktally.totals._sheets import Sheets

__all__ = ["high_quality"]


def high_quality(
    sheets: Sheets, columns: list[int], grouped: Grouped, cut: float
) -> tuple[Sheets, pd.DataFrame]:
    """Keep sheets of a quality above a cut, and warn of how they differ."""
    check_range("min_quality", cut, 0, 1)
    if "tally_quality" not in sheets.pages:
        raise TallyError(
            "min_quality: expected a column tally_quality in the table, as "
            "`read_tallies` gives it, got none"
        )
    sheets.one_each(["tally_quality"])
    quality = sheets.pages["tally_quality"].to_numpy(np.float64, na_value=np.nan)
    read = (sheets.counts[:, columns] >= 0).any(axis=1)
    high = read & (quality > cut)
    if not high.any():
        raise TallyError(
            f"min_quality: expected sheets with a quality above {cut:g}, got none of "
            f"{int(read.sum())} that were read; take a lower cut"
        )
    table = _composition(sheets, columns, grouped, high, read & ~high)
    if (read & ~high).any():
        warn(
            f"{int(high.sum())} of {int(read.sum())} sheets read are of quality above "
            f"{cut:g}, and they are no random ones: {_told(table)}"
        )
    counts = np.where(high[:, None], sheets.counts, -1)
    return replace(sheets, counts=counts), table


def _composition(
    sheets: Sheets,
    columns: list[int],
    grouped: Grouped,
    high: npt.NDArray[np.bool_],
    others: npt.NDArray[np.bool_],
) -> pd.DataFrame:
    """Return what both kinds of sheets are made of."""
    votes = np.maximum(sheets.counts[:, columns], 0)
    group = grouped.group[: len(votes)]
    what = ["votes a sheet"]
    what += [f"share of {sheets.fields[j]}" for j in columns]
    n_groups = len(grouped.names) if len(grouped.names.columns) else 0
    what += [f"sheets of {named(grouped.names, i)}" for i in range(n_groups)]
    found = {}
    for name, some in (("high_quality", high), ("others", others)):
        with np.errstate(invalid="ignore", divide="ignore"):
            of_party = votes[some].sum(axis=0)
            per_sheet = of_party.sum() / some.sum()
            shares = of_party / of_party.sum()
            of_group = np.bincount(group[some], minlength=n_groups) / some.sum()
        found[name] = np.r_[per_sheet, shares, of_group[:n_groups]]
    table = pd.DataFrame({"what": what, **found})
    return table.assign(difference=table["high_quality"] - table["others"])


def _told(table: pd.DataFrame) -> str:
    """Say the votes a sheet, and the party and group that differ most."""
    shown = [table.iloc[[0]]]
    for start in ("share of ", "sheets of "):
        some = table[table["what"].str.startswith(start)]
        some = some[some["difference"].notna()]
        if len(some):
            shown.append(some.loc[[some["difference"].abs().idxmax()]])
    return ", ".join(
        f"{row.what} {row.high_quality:.3g} against {row.others:.3g} on the others"
        for row in pd.concat(shown).itertuples()
    )
