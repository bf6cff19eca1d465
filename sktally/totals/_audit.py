"""Sheets drawn at random for people to read again, and what they read.

Comes in: sheets with the probability that each was drawn, and readings. Goes out: a
checked audit, or the reason why it is none. Only such a draw tells of the
sheets that nobody looked at. The queue of doubtful sheets does not: it was picked
because it is worse than the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally._validate import check_choice
from sktally.exceptions import TallyError
from sktally.tables._csv import read_csv
from sktally.totals._names import (
    by_sheet,
    listed,
    numbers,
    sheet_names,
)

__all__ = ["AuditDraw", "check_audit"]

METHODS = ("simple", "stratified", "unequal")
_COLUMNS = ("sheet", "stratum", "probability", "order")
_CONSTANT = ("method", "n_frame", "frame_hash", "n_drawn")
_WHOLE = ("order", "n_frame", "n_drawn")
_NO_DRAW = (
    "sheets picked in any other way, such as the least certain ones, say nothing of "
    "those left out; draw with draw_audit"
)


@dataclass(frozen=True, eq=False)
class AuditDraw:
    """Sheets drawn for an audit, and perhaps what people read on them.

    Parameters
    ----------
    sheets : DataFrame
        Columns ``sheet``, ``stratum``, ``probability`` of being drawn, in (0, 1], and
        ``order`` in which they were drawn, from 1.
    method : {"simple", "stratified", "unequal"}
        How they were drawn.
    n_frame : int
        Number of sheets that could have been drawn.
    frame_hash : str
        SHA-256 of the names of these.
    readings : DataFrame, optional
        What people read: a row for each sheet drawn, in order, a column for each
        field.

    Raises
    ------
    TallyError
        If probabilities are missing or impossible, sheets repeat or were left out, or
        a stratum has a single sheet drawn by chance.

    See Also
    --------
    draw_audit : Makes one.
    estimate : What it is for.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktally import draw_audit
    >>> draw = draw_audit(["a", "b", "c", "d", "e"], 2, random_state=0)
    >>> draw.method, draw.n_frame, draw.sheets["sheet"].tolist()
    ('simple', 5, ['c', 'a'])
    >>> read = pd.DataFrame({"votes": [12, 40]}, index=["a", "c"])
    >>> draw.with_readings(read).readings["votes"].tolist()
    [40, 12]
    """

    sheets: pd.DataFrame
    method: str
    n_frame: int
    frame_hash: str
    readings: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        """Check that it may have been drawn so."""
        check_choice("AuditDraw, method", self.method, METHODS)
        missing = [name for name in _COLUMNS if name not in self.sheets]
        if missing:
            raise TallyError(
                f"AuditDraw: expected columns {', '.join(_COLUMNS)}, missing "
                f"{', '.join(missing)}: {_NO_DRAW}"
            )
        names = sheet_names(self.sheets["sheet"], "AuditDraw")
        chance = numbers(self.sheets, "probability", "AuditDraw")
        wrong = ~((chance > 0) & (chance <= 1))
        if wrong.any():
            raise TallyError(
                "AuditDraw: expected probabilities above 0 and at most 1, got "
                f"{chance[wrong][0]} for {listed(np.array(names)[wrong])}: {_NO_DRAW}"
            )
        by_chance = self.sheets["stratum"][chance < 1].value_counts()
        if (by_chance < 2).any():
            raise TallyError(
                "AuditDraw: expected at least 2 sheets of each stratum, got 1 of "
                f"{listed(by_chance.index[by_chance < 2])}; its spread is unknown"
            )
        if not len(names) <= self.n_frame:
            raise TallyError(
                f"AuditDraw: {len(names)} sheets drawn of a list of {self.n_frame}"
            )
        if self.sheets["stratum"].isna().any():
            raise TallyError("AuditDraw: expected a stratum for every sheet")
        self._check_whole(1 / chance)

    def _check_whole(self, weight: npt.NDArray[np.float64]) -> None:
        """Raise if sheets that were drawn have been left out."""
        order = np.sort(numbers(self.sheets, "order", "AuditDraw"))
        whole = bool((order == np.arange(1, len(order) + 1)).all())
        if self.method != "unequal":  # whose weights need not add up
            whole &= bool(np.isclose(weight.sum(), self.n_frame, rtol=1e-6))
        if not whole:
            raise TallyError(
                f"AuditDraw: expected all sheets drawn, with order 1 to {len(order)} "
                f"and weights, 1 / probability, that add up to {self.n_frame}: leaving "
                "sheets out would bias; go back to the draw as it was"
            )

    def __len__(self) -> int:
        return len(self.sheets)

    def with_readings(self, readings: pd.DataFrame) -> AuditDraw:
        """Return the draw with what people read on its sheets.

        Parameters
        ----------
        readings : DataFrame
            A row for each sheet drawn (column ``sheet`` or index), a column of counts
            for each field; missing where a person could not read it, or has not yet.

        Raises
        ------
        TallyError
            If a sheet was not drawn, is there twice, or a count is negative.
        """
        table = by_sheet(readings, "readings")
        other = table.index.difference(pd.Index(self.names))
        if len(other):
            raise TallyError(
                f"readings: {listed(other)} ({len(other)} in all) not drawn: {_NO_DRAW}"
            )
        if not len(table.columns):
            raise TallyError("readings: expected a column for each field, got none")
        for name in table:
            negative = numbers(table, str(name), "readings") < 0
            if negative.any():
                raise TallyError(
                    f"readings, column {name!r}: expected counts of at least 0, got "
                    f"less on {listed(table.index[negative])}"
                )
        return replace(self, readings=table.reindex(self.names))

    @property
    def n_drawn(self) -> int:
        """Number of sheets drawn."""
        return len(self.sheets)

    @property
    def names(self) -> list[str]:
        """Names of the sheets drawn, in order."""
        return [str(name) for name in self.sheets["sheet"]]

    def to_csv(self, path: str | Path) -> None:
        """Write all but the readings, to be kept beside the audit."""
        table = self.sheets.assign(**{name: getattr(self, name) for name in _CONSTANT})
        table.to_csv(path, index=False)

    @classmethod
    def from_csv(cls, path: str | Path) -> AuditDraw:
        """Return a draw as `to_csv` wrote it.

        Parameters
        ----------
        path : str or Path
            The CSV file.

        Raises
        ------
        TallyError
            If the file is not there or of something else, such as a queue of doubtful
            sheets; or if rows are gone.
        """
        table = read_csv(path, dtype=str, keep_default_na=False)
        missing = [name for name in (*_COLUMNS, *_CONSTANT) if name not in table]
        if missing or not len(table):
            raise TallyError(
                f"{path}: no audit draw (missing: {', '.join(missing) or 'sheets'}): "
                f"{_NO_DRAW}"
            )
        try:
            types = {"probability": float, **dict.fromkeys(_WHOLE, int)}
            table = table.astype(types)
        except ValueError as error:
            raise TallyError(f"{path}: no audit draw: {error}") from None
        drawn = table["n_drawn"].iloc[0]
        if len(table) != drawn:
            raise TallyError(
                f"{path}: expected all sheets drawn, {drawn}, got {len(table)}: "
                "leaving sheets out would bias; go back to the draw as it was"
            )
        constant: Any = [table[name].iloc[0] for name in _CONSTANT]
        return cls(table[list(_COLUMNS)], constant[0], int(constant[1]), constant[2])


def check_audit(audit: object) -> AuditDraw:
    """Return a draw that was audited; anything else raises and says why."""
    if not isinstance(audit, AuditDraw):
        raise TallyError(
            f"audit: expected an AuditDraw, got {type(audit).__name__}: {_NO_DRAW}"
        )
    if audit.readings is None:
        raise TallyError(
            "audit: drawn, but not read yet; add what people read with "
            "audit.with_readings(readings)"
        )
    return audit
