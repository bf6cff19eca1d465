"""Regressions on what machines read, put right by a small random audit.

Comes in: outcomes by machine for every sheet, by hand for those audited, and what
explains them. Goes out: coefficients whose intervals hold however the machine errs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally._validate import check_choice, check_range
from sktally.totals._audit import AuditDraw
from sktally.totals._fit import Rows, rows_of
from sktally.totals._variance import Design, unseen

__all__ = ["ppi_regression"]

Floats = npt.NDArray[np.float64]


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
    confidence_level: float = 0.95,
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
    confidence_level : float, default=0.95
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
    check_range("confidence_level", confidence_level, 0.5, 0.9999)
    if isinstance(tuning, str):
        check_choice("tuning", tuning, ("power",))
    else:
        check_range("tuning", tuning, 0, 1)
    data = rows_of(audit, table, hand, machine, x, family)
    design = Design(audit)
    law = population == "model"
    trust = float(tuning) if not isinstance(tuning, str) else _power(data, design)
    table = pd.DataFrame({"term": ["constant", *x]})
    main = _intervals(data, design, trust, law, confidence_level)
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
        alone = _intervals(data, design, 0.0, law, confidence_level)
        table["audit_only"] = alone["estimate"]
        table["audit_only_lower"] = alone["lower"]
        table["audit_only_upper"] = alone["upper"]
    return table


def _intervals(
    data: Rows, design: Design, trust: float, law: bool, confidence_level: float
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
        reach[j] = design.quantile(parts, confidence_level, n - 1, width - 1)
    error = np.sqrt(variance)
    return {
        "estimate": fitted,
        "std_error": error,
        "lower": fitted - reach * error,
        "upper": fitted + reach * error,
        "unseen": unseen_share,
    }


def _power(data: Rows, design: Design) -> float:
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
