"""Regressions: an independent oracle, known answers, and bad input."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from sktally import TallyError, draw_audit
from sktally.totals import ppi_regression

NAMES = {"hand": "paper", "machine": "read", "x": ["income"]}


def made(n=600, n_audited=150, family="linear", seed=0, wrong=0.1, **options):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"income": rng.normal(size=n)})
    if family == "linear":
        y = 0.5 + 0.1 * table["income"] + rng.normal(0, 0.1, n)
    else:
        y = pd.Series((rng.random(n) < expit(0.3 + table["income"])).astype(float))
    bad = rng.random(n) < wrong
    table["read"] = y.where(~bad, 1.0)
    draw = draw_audit(table.index, n_audited, random_state=rng, **options)
    table["paper"] = y.where(table.index.astype(str).isin(draw.names))
    return draw, table, y


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of scikit-learn, in ppi_py
@pytest.mark.parametrize("family", ["linear", "logistic"])
@pytest.mark.parametrize("power", [0.0, 0.4, 0.6])
def test_as_the_authors_package_has_it(family, power):
    ppi = pytest.importorskip("ppi_py", reason="the authors' package: ppi-python")
    draw, table, _ = made(8000, 2500, family=family)
    x = np.column_stack([np.ones(len(table)), table["income"]])
    drawn = table["paper"].notna().to_numpy()
    point, interval = {
        "linear": (ppi.ppi_ols_pointestimate, ppi.ppi_ols_ci),
        "logistic": (ppi.ppi_logistic_pointestimate, ppi.ppi_logistic_ci),
    }[family]
    paper, read = table["paper"].to_numpy(), table["read"].to_numpy()
    data = (x[drawn], paper[drawn], read[drawn], x[~drawn], read[~drawn])
    expected = point(*data, lam=power)
    low, high = interval(*data, alpha=0.05, lam=power)
    trust = power / (1 - drawn.mean())
    found = ppi_regression(draw, table, **NAMES, family=family, tuning=trust)
    # its least squares divide each part by a matrix of its own, ours both by one
    near = 0.25 * found["std_error"].min() if power and family == "linear" else 1e-6
    np.testing.assert_allclose(found["estimate"], expected, rtol=1e-5, atol=near)
    seen = found["std_error"] ** 2 * (1 - found["unseen"])
    ours = 2 * 1.96 * np.sqrt(seen)
    np.testing.assert_allclose(ours, high - low, rtol=0.03)


def test_the_audit_alone_is_least_squares_with_its_sandwich():
    draw, table, _ = made(n_audited=100)
    found = ppi_regression(draw, table, **NAMES, tuning=0.0, population="frame")
    audited = table.loc[[int(name) for name in draw.names]]
    x = np.column_stack([np.ones(100), audited["income"]])
    inverse = np.linalg.inv(x.T @ x)
    fitted = inverse @ x.T @ audited["paper"]
    np.testing.assert_allclose(found["estimate"], fitted)
    other = ppi_regression(draw, table, **NAMES, population="frame", audit_only=True)
    np.testing.assert_allclose(other["audit_only_lower"], found["lower"])
    np.testing.assert_allclose(other["audit_only"], fitted)
    left = audited["paper"].to_numpy() - x @ fitted
    hat = np.sum(x @ inverse * x, axis=1)
    moved = (left / (1 - hat))[:, None] * x @ inverse
    error = np.sqrt((1 - 100 / 600) * 100 * moved.var(axis=0, ddof=1))
    np.testing.assert_allclose(found["std_error"], error)


def test_a_census_gives_the_regression_of_the_frame():
    draw, table, y = made(n_audited=600)
    found = ppi_regression(draw, table, **NAMES, population="frame")
    x = np.column_stack([np.ones(600), table["income"]])
    np.testing.assert_allclose(found["estimate"], np.linalg.lstsq(x, y)[0])
    np.testing.assert_allclose(found["std_error"], 0, atol=1e-12)


@pytest.mark.parametrize("family", ["linear", "logistic"])
def test_biased_machines_are_put_right_and_intervals_hold(family):
    true = 0.1 if family == "linear" else 1.0
    hits, machine, width, alone = [], [], [], []
    for seed in range(60):
        draw, table, _ = made(family=family, seed=seed, wrong=0.2)
        found = ppi_regression(draw, table, **NAMES, family=family).iloc[1]
        only = ppi_regression(draw, table, **NAMES, family=family, tuning=0.0)
        hits.append(found["lower"] < true < found["upper"])
        machine.append(found["machine"])
        width.append(found["std_error"])
        alone.append(only["std_error"][1])
    assert np.mean(hits) > 0.87  # 95 % of 60 less 2.8 standard errors
    assert abs(np.mean(machine) - true) > 0.15 * true
    assert np.mean(width) < np.mean(alone)


def test_stratified_draws_are_weighted():
    strata = np.repeat(["a", "b"], 300)
    more = np.where(strata == "a", 0.3, 0)
    options = {"method": "stratified", "strata": strata}
    options["allocation"] = {"a": 90, "b": 30}
    draw, table, y = made(n_audited=120, **options)
    table["paper"], table["read"] = table["paper"] + more, table["read"] + more
    found = ppi_regression(draw, table, **NAMES, population="frame").iloc[0]
    x = np.column_stack([np.ones(600), table["income"]])
    true = np.linalg.lstsq(x, y + more)[0][0]
    unweighted = table["paper"].mean()
    assert abs(found["estimate"] - true) < 3 * found["std_error"]
    assert abs(unweighted - true) > 5 * found["std_error"]


def test_rows_of_one_sheet_are_a_cluster():
    draw, table, _ = made(wrong=0.0)
    twice = pd.concat([table, table])
    one, two = (
        ppi_regression(draw, rows, **NAMES, tuning=0.0) for rows in (table, twice)
    )
    np.testing.assert_allclose(one["estimate"], two["estimate"])
    np.testing.assert_allclose(one["std_error"], two["std_error"])


def test_a_worthless_machine_is_not_trusted():
    draw, table, _ = made()
    table["read"] = np.random.default_rng(0).permutation(table["read"])
    found = ppi_regression(draw, table, **NAMES)
    assert found["trust"][0] < 0.2


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.assign(paper=np.nan), {}, "'paper': .* missing for"),
        (lambda t: t.assign(paper=0.5), {}, "by hand of sheets not drawn"),
        (lambda t: t.assign(read=np.nan), {}, "'read': expected a number on every"),
        (lambda t: t.assign(income=1), {}, "income and the constant depend on each"),
        (lambda t: t.drop(columns="income"), {}, "table: no column 'income'"),
        (lambda t: t.iloc[:-1], {}, "rows of the 600 sheets .* got 599 sheets"),
        (lambda t: t.iloc[:0], {}, "at least one sheet"),
        (lambda t: t + 0, {"x": "income"}, "x: expected a list"),
        (lambda t: t + 0, {"x": []}, "x: expected a list"),
        (lambda t: t * 5, {"family": "logistic"}, r"expected outcomes in \[0, 1\]"),
        (lambda t: t + 0, {"family": "probit"}, "family: expected one of"),
        (lambda t: t + 0, {"tuning": 2}, r"tuning: expected a number in \[0, 1\]"),
        (lambda t: t + 0, {"tuning": "best"}, "tuning: expected one of 'power'"),
        (lambda t: t + 0, {"population": "all"}, "population: expected one of"),
    ],
)
def test_bad_input(change, options, message):
    draw, table, _ = made()
    with pytest.raises(TallyError, match=message):
        ppi_regression(draw, change(table), **{**NAMES, **options})


def test_a_queue_is_no_audit_and_outcomes_must_differ():
    draw, table, _ = made()
    with pytest.raises(TallyError, match="expected an AuditDraw, got list"):
        ppi_regression(draw.names, table, **NAMES)
    few, small, _ = made(n_audited=2)
    with pytest.raises(TallyError, match="more sheets than the 2 coefficients"):
        ppi_regression(few, small, **NAMES)
    table["paper"] = table["paper"].where(table["paper"].isna(), 1.0)
    with pytest.raises(TallyError, match="logistic regression: no solution"):
        ppi_regression(
            draw, table.assign(read=1.0), **NAMES, family="logistic", tuning=0.0
        )
