"""Size of an audit, bounded means, readings out of a store."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import t

from sktally import (
    TallyError,
    draw_audit,
    estimate,
    load_reader,
    make_tally_pages,
    read_to_store,
)
from sktally.tables import Store, import_edits
from sktally.totals import audit_readings, audit_size
from sktally.totals._bounded import bounded_mean


def half_width(n, n_frame, spread):
    return t.ppf(0.975, n - 1) * n_frame * spread * np.sqrt((1 - n / n_frame) / n)


@given(st.integers(10, 10_000), st.floats(0.1, 50), st.floats(0.05, 0.9))
@settings(max_examples=50, deadline=None)
def test_the_smallest_audit_that_will_do(n_frame, spread, share):
    aim = half_width(max(3, int(share * n_frame)), n_frame, spread)
    n = audit_size(aim, n_frame=n_frame, spread=spread)
    assert half_width(n, n_frame, spread) <= aim * (1 + 1e-9)
    assert n == 2 or half_width(n - 1, n_frame, spread) > aim * (1 - 1e-9)


def test_the_size_holds_what_it_promises():
    rng = np.random.default_rng(0)
    paper = pd.DataFrame({"ana": rng.binomial(200, 0.4, 2000).astype(float)})
    read = paper + rng.normal(0, 4, paper.shape).round().clip(-20, 20)
    pilot = (paper - read)["ana"].iloc[:100]
    n = audit_size(700, n_frame=2000, errors=pilot, machine=read["ana"])
    draw = draw_audit(read, n, random_state=0)
    at = [int(name) for name in draw.names]
    audit = draw.with_readings(
        pd.DataFrame({"ana": paper["ana"].iloc[at].to_numpy()}, draw.names)
    )
    row = estimate(audit, read, method="difference").iloc[0]
    assert row["upper"] - row["estimate"] == pytest.approx(700, rel=0.15)
    assert audit_size(700, n_frame=2000, errors=pilot) < n


def test_no_fewer_than_all_where_all_are_needed():
    assert audit_size(1e-3, n_frame=50, spread=10) == 50
    assert audit_size(1e6, n_frame=50, spread=10) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "errors, spread: expected one of them"),
        ({"errors": [1, 2], "spread": 1}, "errors, spread: expected one of them"),
        ({"errors": [1]}, "errors of at least 2 sheets"),
        ({"errors": [0, 0]}, "none on 2 sheets"),
        ({"errors": [0, np.nan]}, "finite errors"),
        ({"spread": -1}, "spread: expected a number"),
        ({"spread": 1, "half_width": 0}, "more than 0 votes"),
        ({"spread": 1, "machine": [1, 2]}, "counts of 100 sheets"),
    ],
)
def test_bad_sizes(options, message):
    options = {"half_width": 10, "n_frame": 100, **options}
    with pytest.raises(TallyError, match=message):
        audit_size(options.pop("half_width"), **options)


@pytest.mark.parametrize("rare", [0.005, 0.05, 0.5])
def test_bounded_means_hold_for_rare_errors(rare):
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(60):
        values = np.where(rng.random(500) < rare, rng.uniform(-1, 1, 500), 0.0)
        drawn = rng.permutation(values)[:100]
        low, high = bounded_mean(drawn, -1, 1, 500, 0.95)
        held += low <= values.mean() <= high
        assert high - low < 0.6
    assert held >= 56  # of 60 at 95 %, by chance fewer once in 30 at the least


def test_bounded_means_of_all_values_are_exact():
    values = np.linspace(0, 1, 50)
    low, high = bounded_mean(values, 0, 1, 50, 0.95)
    assert low <= 0.5 <= high
    assert high - low < 0.05
    assert bounded_mean(values, 3.0, 3.0, 50, 0.95) == (3.0, 3.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    made = make_tally_pages(3, form="example", random_state=3)
    scans = [folder / f"station_{i}.png" for i in range(3)]
    for page, scan in zip(made.pages, scans, strict=True):
        Image.fromarray(page).save(scan)
    read_to_store(load_reader("example"), scans, folder / "votes.sqlite")
    with Store(folder / "votes.sqlite") as opened:
        yield opened, [str(scan) for scan in scans]


def enter(store, scans, who, counts, purpose):
    table = {"file": scans, "field": "01", "who": who, "count": counts}
    import_edits(store, pd.DataFrame(table), purpose=purpose)


def test_audit_readings_of_a_store(store):
    opened, scans = store
    draw = draw_audit(scans, 2, random_state=0)
    enter(opened, scans, "eva", ["111", "112", "113"], "correction")
    with pytest.raises(TallyError, match="no audit reading of the 2 sheets drawn"):
        audit_readings(opened, draw)
    enter(opened, scans, "ana", ["1", "2", "3"], "audit")
    enter(opened, scans[:1], "ana", ["4"], "audit")
    found = audit_readings(opened, draw).readings
    expected = dict(zip(scans, [4, 2, 3], strict=True))
    assert found["01"].to_dict() == {name: expected[name] for name in draw.names}
    enter(opened, draw.names[:1], "ben", ["77"], "audit")
    with pytest.raises(TallyError, match="people differ about .*field 01"):
        audit_readings(opened, draw)


@pytest.mark.parametrize("name", ["errors", "machine"])
def test_sizes_of_audits_need_numbers(name):
    options = {"spread": 10} if name == "machine" else {}
    with pytest.raises(TallyError, match=f"{name}: expected numbers, got could not"):
        audit_size(10, n_frame=2, **{name: ["x", 2]}, **options)
