"""Totals in pictures: shares of parties, and counts against official ones.

Comes in: what `compare_shares` and `compare_tallies` return. Goes out: Figure 4 of the
paper, and its scatter of tallies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally.exceptions import TallyError
from sktally.inspection._axes import axes_of
from sktally.totals import TallyComparison

__all__ = ["PerTallyDisplay", "VoteShareDisplay"]

# Marks as in Figure 4 of the paper; where each stands beside its party.
_MARKS: dict[str, tuple[float, dict[str, Any]]] = {
    "official": (0.0, {"marker": "o", "mfc": "none", "ms": 9, "color": "black"}),
    "all": (-0.16, {"marker": "x", "ms": 7, "color": "tab:blue"}),
    "high quality": (0.16, {"marker": "^", "ms": 6, "color": "tab:orange"}),
}
_LEGEND = {"all": "all sheets", "high quality": "high quality sheets"}


class VoteShareDisplay:
    """Shares of parties: all sheets, sheets of high quality, and official.

    Parameters
    ----------
    shares : DataFrame
        Of one group, as `compare_shares` returns it: ``sheets``, ``field``, ``share``,
        ``share_lower`` and ``share_upper``.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    figure_ : matplotlib.figure.Figure
        What that is part of.

    See Also
    --------
    sktally.totals.compare_shares : Makes the table.

    Notes
    -----
    Crosses are all sheets, triangles those of high quality and circles official shares,
    as in Figure 4 of Torres and Cantú (2022); bars are intervals.
    """

    def __init__(self, shares: pd.DataFrame) -> None:
        self.shares = shares

    @classmethod
    def from_table(
        cls, table: pd.DataFrame, *, group: dict[str, Any] | None = None, ax: Any = None
    ) -> VoteShareDisplay:
        """Draw a table of `compare_shares`.

        Parameters
        ----------
        table : DataFrame
            From `compare_shares`.
        group : dict, optional
            Columns and values of one group, where there are several.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes by default.

        Returns
        -------
        VoteShareDisplay

        Raises
        ------
        TallyError
            If `table` is not one of these, or has several groups and `group` names
            none.

        Examples
        --------
        >>> import pandas as pd
        >>> from matplotlib.figure import Figure
        >>> from sktally.inspection import VoteShareDisplay
        >>> shares = pd.DataFrame({"sheets": ["all", "official"], "field": "x"})
        >>> shares["share"], shares["share_lower"] = [0.6, 0.61], [0.58, None]
        >>> shares["share_upper"] = [0.63, None]
        >>> ax = Figure().subplots()
        >>> VoteShareDisplay.from_table(shares, ax=ax).ax_.get_ylabel()
        'share of votes'
        """
        wanted = ["sheets", "field", "share", "share_lower", "share_upper"]
        _check_columns(table, wanted, "compare_shares")
        shares = table
        for column, value in (group or {}).items():
            _check_columns(table, [column], "compare_shares")
            shares = shares[shares[column] == value]
        if shares.duplicated(["sheets", "field"]).any() or not len(shares):
            raise TallyError(
                f"group: expected one group of the table, got {group!r}, of which "
                f"there are {len(shares)} rows; name it, as {{'district': 'N'}}"
            )
        return cls(shares.reset_index(drop=True)).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> VoteShareDisplay:
        """Draw the shares.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes by default.

        Returns
        -------
        VoteShareDisplay
        """
        ax = axes_of(ax)
        names = list(pd.unique(self.shares["field"]))
        for kind, (offset, style) in _MARKS.items():
            some = self.shares[self.shares["sheets"] == kind]
            if not len(some):
                continue
            at = np.array([names.index(name) for name in some["field"]]) + offset
            share, low, high = (
                _floats(some[name]) for name in ("share", "share_lower", "share_upper")
            )
            line = {"linestyle": "none", "zorder": 3, "label": _LEGEND.get(kind, kind)}
            ax.plot(at, share, **line, **style)
            if (known := ~np.isnan(low)).any():
                bars = {"color": style["color"], "lw": 1.5}
                ax.vlines(at[known], low[known], high[known], **bars)
        ax.set_xticks(range(len(names)), names)
        ax.set_xlim(-0.5, len(names) - 0.5)
        ax.set_ylim(bottom=0)
        ax.set_ylabel("share of votes")
        ax.grid(axis="y", alpha=0.3)
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self


class PerTallyDisplay:
    """Counts read against official counts, a point for each sheet and party.

    Parameters
    ----------
    comparison : TallyComparison
        What to draw.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    figure_ : matplotlib.figure.Figure
        What that is part of.

    See Also
    --------
    sktally.totals.compare_tallies : Compares them.
    """

    def __init__(self, comparison: TallyComparison) -> None:
        self.comparison = comparison

    @classmethod
    def from_table(
        cls, comparison: TallyComparison, *, ax: Any = None
    ) -> PerTallyDisplay:
        """Draw what `compare_tallies` returned.

        Parameters
        ----------
        comparison : TallyComparison
            From `compare_tallies`.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes by default.

        Returns
        -------
        PerTallyDisplay

        Examples
        --------
        >>> import pandas as pd
        >>> from matplotlib.figure import Figure
        >>> from sktally.inspection import PerTallyDisplay
        >>> from sktally.totals import compare_tallies
        >>> table = pd.DataFrame({"file": ["a.png", "b.png", "c.png"], "page": 1})
        >>> table["field"], table["count"] = "x", [60, 11, 31]
        >>> official = table.rename(columns={"count": "official"}).drop(columns="page")
        >>> compared = compare_tallies(table, official, random_state=0)
        >>> ax = Figure().subplots()
        >>> PerTallyDisplay.from_table(compared, ax=ax).ax_.get_xlabel()
        'official count of the sheet'
        """
        return cls(comparison).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> PerTallyDisplay:
        """Draw the counts.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes by default.

        Returns
        -------
        PerTallyDisplay
        """
        ax = axes_of(ax)
        tallies = self.comparison.tallies
        most = float(tallies[["count", "official"]].to_numpy(np.float64).max())
        ax.plot([0, most], [0, most], color="grey", lw=0.8, zorder=1)
        for name, part in tallies.groupby("field", sort=False):
            points = {"s": 18, "alpha": 0.6, "label": str(name), "zorder": 2}
            ax.scatter(_floats(part["official"]), _floats(part["count"]), **points)
        error = self.comparison.of("mean absolute error")
        correlation = self.comparison.of("correlation")
        ax.set_title(
            f"mean absolute error {error[0]:.2f}{_ends(error, 2)} votes,\n"
            f"correlation {correlation[0]:.4f}{_ends(correlation, 4)}",
            fontsize="medium",
        )
        ax.set_xlabel("official count of the sheet")
        ax.set_ylabel("count read")
        ax.set_aspect("equal")
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _floats(column: pd.Series) -> npt.NDArray[np.float64]:
    return np.asarray(column.astype("Float64").to_numpy(np.float64, na_value=np.nan))


def _ends(interval: tuple[float, float, float], digits: int) -> str:
    low, high = interval[1:]
    if np.isnan(low):
        return ""
    return f" ({low:.{digits}f}-{high:.{digits}f})"


def _check_columns(table: pd.DataFrame, names: list[str], made_by: str) -> None:
    absent = [name for name in names if name not in table]
    if absent:
        raise TallyError(
            f"table: expected columns {', '.join(names)}, as `{made_by}` gives them, "
            f"got none named {', '.join(absent)}"
        )
