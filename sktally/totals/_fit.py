"""Rows of a regression: outcomes by machine and by hand, solved and scored.

Comes in: an audit and a table of rows of sheets. Goes out: coefficients at some trust
in the machine, and by how much each sheet moves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from sktally.exceptions import TallyError
from sktally.totals._audit import AuditDraw
from sktally.totals._names import by_sheet, frame_hash, listed, numbers

__all__ = ["Rows", "rows_of"]

Floats = npt.NDArray[np.float64]
_STEPS = 100


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of all sheets; `weight` is 0 on those of sheets not drawn."""

    x: Floats
    hand: Floats
    machine: Floats
    weight: Floats
    sheet: npt.NDArray[np.int64]  # of each row
    n_sheets: int
    at: npt.NDArray[np.int64]  # of the sheets drawn
    family: str

    def _mean(self, coefficients: Floats) -> tuple[Floats, Floats]:
        """Return what is expected of each row, and its slope."""
        line = self.x @ coefficients
        if self.family == "linear":
            return line, np.ones_like(line)
        mean = expit(line)
        return mean, mean * (1 - mean)

    def solve(self, trust: float) -> Floats:
        """Return the coefficients, by Newton's method."""
        weight = trust + self.weight * (1 - trust)
        outcome = trust * self.machine + self.weight * (
            self.hand - trust * self.machine
        )
        found = np.zeros(self.x.shape[1])
        for _ in range(_STEPS):
            mean, slope = self._mean(found)
            score = self.x.T @ (outcome - weight * mean)
            try:
                step = np.linalg.solve((self.x.T * (weight * slope)) @ self.x, score)
            except np.linalg.LinAlgError:
                break
            found = found + step
            if not np.isfinite(found).all() or np.abs(found).max() > 1e8:
                break
            if np.abs(step).max() <= 1e-10 * (1 + np.abs(found).max()):
                return found
        raise TallyError(
            f"{self.family} regression: no solution; the outcomes of the audited rows "
            "may all lie on one side, or columns of x depend on each other on them"
        )

    def solve_machine(self) -> Floats:
        """Return the coefficients without an audit."""
        return replace(self, weight=np.zeros_like(self.weight)).solve(1.0)

    def scores(
        self, coefficients: Floats, trust: float
    ) -> tuple[Floats, Floats, Floats]:
        """Return by how much each sheet moves each coefficient, by hand and machine.

        Third comes the leverage of the sheets drawn: how far each pulls the fit to
        itself, and so hides its own error.
        """
        mean, slope = self._mean(coefficients)
        curve = slope * (trust + self.weight * (1 - trust))
        moved = self.x @ np.linalg.inv((self.x.T * curve) @ self.x)
        pull = (1 - trust) * self.weight * slope * (moved * self.x).sum(axis=1)
        by_hand = self._by_sheet((self.hand - mean)[:, None] * moved)[self.at]
        by_machine = self._by_sheet((self.machine - mean)[:, None] * moved)
        return by_hand, by_machine, self._by_sheet(pull[:, None])[self.at]

    def _by_sheet(self, rows: Floats) -> Floats:
        return np.column_stack(
            [np.bincount(self.sheet, column, self.n_sheets) for column in rows.T]
        )


def rows_of(
    audit: AuditDraw,
    table: pd.DataFrame,
    hand: str,
    machine: str,
    x: Sequence[str],
    family: str,
) -> Rows:
    """Return the rows as arrays, checked."""
    if not isinstance(audit, AuditDraw):
        raise TallyError(
            f"audit: expected an AuditDraw, got {type(audit).__name__}; sheets picked "
            "in any other way than by draw_audit say nothing of those left out"
        )
    if isinstance(x, str) or not x:
        raise TallyError(f"x: expected a list of columns, got {x!r}")
    rows = by_sheet(table, "table", repeats=True)
    sheet, names = pd.factorize(rows.index)
    at = pd.Index(names).get_indexer(pd.Index(audit.names))
    if (at < 0).any() or frame_hash(names) != audit.frame_hash:
        raise TallyError(
            f"table: expected rows of the {audit.n_frame} sheets from which the audit "
            f"was drawn, got {len(names)} sheets that differ"
        )
    weight = np.zeros(len(names))
    weight[at] = 1 / audit.sheets["probability"].to_numpy(float)
    weight = weight[sheet]
    outcome, *columns = (numbers(rows, name, "table") for name in (hand, machine, *x))
    _check_there(hand, np.isnan(outcome), weight > 0, rows.index)
    for name, column in zip((machine, *x), columns, strict=True):
        if np.isnan(column).any():
            raise TallyError(
                f"table, column {name!r}: expected a number on every row, got none for "
                f"{listed(rows.index[np.isnan(column)])}"
            )
    outcome, read = np.nan_to_num(outcome), columns[0]
    matrix = np.column_stack([np.ones(len(rows)), *columns[1:]])
    if family == "logistic" and not all(
        0 <= values.min() and values.max() <= 1 for values in (outcome, read)
    ):
        raise TallyError("family='logistic': expected outcomes in [0, 1]")
    if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        raise TallyError(
            f"x: columns {listed(x, 12)} and the constant depend on each other; leave "
            "one out"
        )
    if len(audit) <= matrix.shape[1]:
        raise TallyError(
            f"audit: expected more sheets than the {matrix.shape[1]} coefficients, got "
            f"{len(audit)}"
        )
    return Rows(matrix, outcome, read, weight, sheet, len(names), at, family)


def _check_there(
    name: str, missing: npt.NDArray, drawn: npt.NDArray, index: pd.Index
) -> None:
    if (missing & drawn).any():
        raise TallyError(
            f"table, column {name!r}: expected outcomes of all sheets drawn, missing "
            f"for {listed(index[missing & drawn])}; leaving them out would bias"
        )
    if (~missing & ~drawn).any():
        raise TallyError(
            f"table, column {name!r}: outcomes by hand of sheets not drawn: "
            f"{listed(index[~missing & ~drawn])}; they were picked in another way, and "
            "say nothing of those left out"
        )
