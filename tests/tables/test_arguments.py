"""Stores and runs that are none, wherever they are asked for."""

import numpy as np
import pytest

from sktally import StoreError, TallyError, draw_audit, read_to_store, vote_totals
from sktally.report import write_report
from sktally.tables import (
    Store,
    disagreements,
    file_copies,
    reconcile_store,
    show_page,
    store_parts,
    store_table,
    sums_parts,
    sums_table,
    verify,
)
from sktally.totals import audit_readings, store_proba

OF_RUNS = {
    "store_table": store_table,
    "store_parts": lambda store, run=None: list(store_parts(store, run)),
    "disagreements": disagreements,
    "sums_table": sums_table,
    "sums_parts": lambda store, run=None: list(sums_parts(store, run)),
    "file_copies": file_copies,
    "show_page": lambda store, run=None: show_page(store, "station_0.png", run=run),
    "store_proba": lambda store, run=None: list(store_proba(store, run)),
    "vote_totals": lambda store, run=None: vote_totals(store, n_draws=9, run=run),
}
BY_PATH = ("store_table", "file_copies", "vote_totals")
OPEN = {name: ask for name, ask in OF_RUNS.items() if name not in BY_PATH} | {
    "verify": lambda store: list(verify(store)),
    "audit_readings": lambda store: audit_readings(
        store, draw_audit(["a.png", "b.png"], 2, random_state=0)
    ),
}


@pytest.fixture
def path(reader, scans, tmp_path):
    path = tmp_path / "votes.sqlite"
    read_to_store(reader, scans[:2], path)
    return path


def test_runs_by_number_or_as_they_are(path):
    with Store(path) as store:
        run = store.run()
        assert store.run(1) == store.run(np.int64(1)) == store.run(run) == run
        for ask in OF_RUNS.values():
            shown = [str(ask(store, which)) for which in (None, 1, run)]
            assert len(set(shown)) == 1
    assert store_table(path, run=1).equals(store_table(path))
    assert reconcile_store(path, run=run).run == reconcile_store(path, run=1).run == 1


@pytest.mark.parametrize("ask", OF_RUNS.values(), ids=OF_RUNS)
@pytest.mark.parametrize(
    ("run", "told"),
    [
        (0, "expected a run of 1 to 1, got 0"),
        (9, "expected a run of 1 to 1, got 9"),
        ("1", r"run: expected the number of a run, or a Run .* got '1' \(str\)"),
        (True, r"run: expected the number .* got True \(bool\)"),
    ],
)
def test_runs_that_are_none(path, ask, run, told):
    with Store(path) as store, pytest.raises(StoreError, match=told):
        ask(store, run)


def test_a_run_of_another_store(path, reader, scans, tmp_path):
    other = tmp_path / "other.sqlite"
    read_to_store(reader, scans[:1], other, origin={"sha256": "0", "name": "other"})
    with Store(other) as store:
        run = store.run()
    told = "run: expected a run of .*votes.sqlite, got run 1 of another store"
    with pytest.raises(StoreError, match=told):
        store_table(path, run)


@pytest.mark.parametrize("ask", OPEN.values(), ids=OPEN)
def test_a_path_where_a_store_must_be_open(path, ask):
    with pytest.raises(StoreError, match=r"expected an open Store, .* open it: `with"):
        ask(path)


@pytest.mark.parametrize(
    "ask",
    [Store, store_table, file_copies, reconcile_store, vote_totals],
    ids=lambda ask: ask.__name__,
)
def test_what_is_no_store(ask):
    with pytest.raises(TallyError, match=r"(store|source): expected .*, got (3|int)"):
        ask(3)
    with pytest.raises(TallyError, match="(store|source): expected .*, got None"):
        ask(None)


def test_a_report_of_no_store(tmp_path):
    with pytest.raises(StoreError, match=r"or its path as str or Path, got 3 \(int\)"):
        write_report(3, tmp_path / "report.html")
