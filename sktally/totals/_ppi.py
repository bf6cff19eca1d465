"""Regressions on what machines read, put right by a small random audit.

Comes in: outcomes by machine for every sheet, by hand for those audited, and what
explains them. Goes out: coefficients whose intervals hold however the machine errs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from sktally._validate import check_choice, check_range
from sktally.exceptions import TallyError
from sktally.totals._audit import AuditDraw
from sktally.totals._sheets import by_sheet, frame_hash, listed, numbers
from sktally.totals._variance import Design, unseen

__all__ = ["ppi_regression"]

Floats = npt.NDArray[np.float64]
_STEPS = 100


def ppi_regression(
    audit: AuditDraw,
    table: pd.DataFrame,
    *,
    hand: str,
    machine: str,
    x: Sequence[str],
    family: str = "linear",
    tuning: float | str = "power",
    population: str = "model",
    level: float = 0.95,
    audit_only: bool = False,
) -> pd.DataFrame:
    """Regress an outcome that machines read for all sheets and people for some.

    Prediction-powered inference (PPI++): the regression on the machine's outcomes of
    all sheets, less what these, and not the true ones, give on the audited sheets.

    Parameters
    ----------
    audit : AuditDraw
        The draw; its readings are not asked for, as outcomes are derived from them.
    table : DataFrame
        Column ``sheet`` (or index) with every sheet of the frame; several rows of one
        sheet are one cluster. Columns as named below.
    hand : str
        Column of outcomes by hand: on all rows of sheets drawn, missing on others.
    machine : str
        Column of outcomes by machine, on all rows; fill in a guess where it read
        nothing, the same whether the sheet was drawn or not.
    x : sequence of str
        Columns that explain it, on all rows; a constant is added.
    family : {"linear", "logistic"}, default="linear"
        Least squares, or logistic for outcomes in [0, 1], such as shares.
    tuning : "power" or float, default="power"
        How far the machine is trusted: a factor from 0 (not at all, the audit alone)
        to 1 (fully), or the one that makes the variances smallest.
    population : {"model", "frame"}, default="model"
        Of what coefficients: of the law that made these sheets, or just of the
        regression over these sheets, whose intervals are shorter.
    level : float, default=0.95
        Coverage of intervals.
    audit_only : bool, default=False
        Whether to add what the audit says without the machine.

    Returns
    -------
    DataFrame
        ``term``, ``estimate``, ``std_error``, ``lower``, ``upper``, ``n_audited`` and
        ``n_frame`` sheets, ``machine`` (the coefficient without an audit), ``trust``
        (the factor) and ``unseen``, the share of the variance allowed for rare
        errors; ``audit_only``, ``audit_only_lower``, ``audit_only_upper`` last, if
        asked for. As in `estimate`.

    Raises
    ------
    TallyError
        If the audit is no random draw, outcomes are missing or impossible, columns of
        `x` depend on each other, or there are no more sheets than coefficients.

    See Also
    --------
    estimate : Totals and shares.

    Notes
    -----
    Weighted by the draw's probabilities; variances by its design, sheets as clusters.
    The machine's part is taken over the whole frame, audited sheets included: with
    trust ``t`` it is PPI++ with the rest as unlabelled sample and power ``t`` times
    the rest's share.

    References
    ----------
    A. N. Angelopoulos, J. C. Duchi and T. Zrnic, PPI++: Efficient Prediction-Powered
    Inference, arXiv:2311.01453, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sktally import draw_audit
    >>> from sktally.totals import ppi_regression
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"income": rng.normal(size=500)})
    >>> share = 0.5 + 0.1 * table["income"] + rng.normal(0, 0.05, 500)
    >>> table["read"] = share.where(rng.random(500) > 0.1, 0.9)
    >>> draw = draw_audit(table.index, 100, random_state=0)
    >>> drawn = table.index.astype(str).isin(draw.names)
    >>> table["paper"] = share.where(drawn)
    >>> found = ppi_regression(draw, table, hand="paper", machine="read", x=["income"])
    >>> found["term"].tolist()
    ['constant', 'income']
    >>> bool(found["lower"][1] < 0.1 < found["upper"][1])
    True
    """
    check_choice("family", family, ("linear", "logistic"))
    check_choice("population", population, ("model", "frame"))
    check_range("level", level, 0.5, 0.9999)
    if isinstance(tuning, str):
        check_choice("tuning", tuning, ("power",))
    else:
        check_range("tuning", tuning, 0, 1)
    data = _data(audit, table, hand, machine, x, family)
    design = Design(audit)
    law = population == "model"
    trust = float(tuning) if not isinstance(tuning, str) else _power(data, design)
    table = pd.DataFrame({"term": ["constant", *x]})
    main = _intervals(data, design, trust, law, level)
    shown = ("estimate", "std_error", "lower", "upper")
    table = table.assign(**{name: main[name] for name in shown})
    table = table.assign(
        n_audited=len(audit),
        n_frame=audit.n_frame,
        machine=data.solve_machine(),
        trust=trust,
        unseen=main["unseen"],
    )
    if audit_only:
        alone = _intervals(data, design, 0.0, law, level)
        table["audit_only"] = alone["estimate"]
        table["audit_only_lower"] = alone["lower"]
        table["audit_only_upper"] = alone["upper"]
    return table


def _intervals(
    data: _Data, design: Design, trust: float, law: bool, level: float
) -> dict[str, Floats]:
    """Return coefficients and their intervals at some trust in the machine."""
    fitted = data.solve(trust)
    by_hand, by_machine, leverage = data.scores(fitted, trust)
    # as HC3 of MacKinnon and White (1985)
    errors = (by_hand - trust * by_machine[data.at]) / (1 - leverage.clip(max=0.9))
    n, width = errors.shape
    variance, unseen_share, reach = (np.zeros(width) for _ in range(3))
    for j in range(width):
        parts = design.products(errors[:, j], errors[:, j])
        rare = trust**2 * unseen(by_machine[:, j], design, len(by_machine))
        variance[j] = parts.sum() + rare
        if law:
            variance[j] += design.total(by_hand[:, j] ** 2)
        unseen_share[j] = rare / variance[j] if rare else 0.0
        reach[j] = design.quantile(parts, level, n - 1, width - 1)
    error = np.sqrt(variance)
    return {
        "estimate": fitted,
        "std_error": error,
        "lower": fitted - reach * error,
        "upper": fitted + reach * error,
        "unseen": unseen_share,
    }


def _power(data: _Data, design: Design) -> float:
    """Return the trust that makes the variances smallest, each in its own unit."""
    by_hand, by_machine, _ = data.scores(data.solve(1.0), 1.0)
    above = below = 0.0
    for j in range(by_hand.shape[1]):
        hand, machine = by_hand[:, j], by_machine[:, j]
        drawn = machine[data.at]
        unit = design.products(hand, hand).sum()
        if unit > 0:
            above += design.products(hand, drawn).sum() / unit
            rare = unseen(machine, design, len(machine))
            below += (design.products(drawn, drawn).sum() + rare) / unit
    return float(np.clip(above / below, 0, 1)) if below > 0 else 1.0


@dataclass(frozen=True, eq=False)
class _Data:
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


def _data(
    audit: AuditDraw,
    table: pd.DataFrame,
    hand: str,
    machine: str,
    x: Sequence[str],
    family: str,
) -> _Data:
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
    outcome = numbers(rows, hand, "table")
    _check_there(hand, np.isnan(outcome), weight > 0, rows.index)
    read = numbers(rows, machine, "table")
    columns = {machine: read, **{name: numbers(rows, name, "table") for name in x}}
    for name, column in columns.items():
        if np.isnan(column).any():
            raise TallyError(
                f"table, column {name!r}: expected a number on every row, got none for "
                f"{listed(rows.index[np.isnan(column)])}"
            )
    outcome = np.nan_to_num(outcome)
    if family == "logistic" and not all(
        0 <= values.min() and values.max() <= 1 for values in (outcome, read)
    ):
        raise TallyError("family='logistic': expected outcomes in [0, 1]")
    matrix = np.column_stack([np.ones(len(rows)), *(columns[name] for name in x)])
    if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        raise TallyError(f"x: columns {listed(x, 12)} and the constant depend on each")
    if len(audit) <= matrix.shape[1]:
        raise TallyError(
            f"audit: expected more sheets than the {matrix.shape[1]} coefficients, got "
            f"{len(audit)}"
        )
    return _Data(matrix, outcome, read, weight, sheet, len(names), at, family)


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
