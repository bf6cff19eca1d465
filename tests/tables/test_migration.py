"""A store that version 1 wrote is a store."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from sktally import StoreError, read_to_store
from sktally.tables import (
    Store,
    _schema,
    reconcile_store,
    show_page,
    store_table,
    verify,
)
from sktally.tables._origin import identify

STORE_1 = Path(__file__).parents[1] / "data" / "store_1.sqlite"
# as `make_store_1.py` printed it
END = "b9c56a6b72a75eb2abcdb4d329df13a3b7f96d09eb34344b801a60b36c57cbc8"


@pytest.fixture
def path(tmp_path):
    return Path(shutil.copy(STORE_1, tmp_path / "votes.sqlite"))


def version(path):
    base = sqlite3.connect(path)
    found = base.execute("PRAGMA user_version").fetchone()[0]
    base.close()
    return found


def test_it_is_brought_to_this_version_and_keeps_its_hashes(path):
    assert version(path) == 1
    with Store(path) as store:
        assert store.end() == (6, END)
        assert list(verify(store, images=False, expect=END)) == []
        table = store_table(store)
    assert version(path) == _schema.VERSION
    assert table["count"].tolist() == [12, 30, 42, 12, 30, 48, 12, 31, 42]
    assert table["final"].tolist() == [12, 30, 42, 12, 30, 48, 12, 30, 42]
    assert table["reconciled"].isna().all() and table["reconciled_proba"].isna().all()
    with Store(path) as store:  # once more, with nothing to do
        assert store.end() == (6, END)


def test_it_is_reconciled(path):
    assert reconcile_store(path).done == 3
    with Store(path) as store:
        table = store_table(store)
        assert list(verify(store, images=False, expect=END)) == []
        shown = show_page(store, "station_0.png")  # its scans never were
    assert shown.picture is None and "is gone, or has other bytes now" in shown.problem
    assert table["reconciled"].tolist()[:6] == [12, 30, 42, 12, 30, 42]
    assert table["final"].tolist()[-3:] == [12, 30, 42]  # the correction stays


def test_one_that_was_altered_is_left_as_it_is(path):
    base = sqlite3.connect(path)
    base.execute("DROP TRIGGER pages_update")
    base.close()
    with pytest.raises(StoreError, match="pages_update differ; somebody changed them"):
        Store(path)
    assert version(path) == 1


def test_one_that_cannot_be_written(path, monkeypatch):
    monkeypatch.setattr(_schema.os, "access", lambda *_: False)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="version 1, to be .* copy it to where"):
        Store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["as given", "in full"])
def test_files_that_were_not_read_are_listed_until_they_are(
    path, reader, scans, monkeypatch, name
):
    key, content = identify(reader, None)
    base = sqlite3.connect(path)
    base.execute("INSERT INTO runs VALUES (7, ?, ?)", (key, json.dumps(content)))
    for file in ("station_0.png", "elsewhere.png"):
        row = (7, file, 1, f"{file}: torn", "2026-01-01T00:00:00Z")
        base.execute("INSERT INTO unreadable VALUES (?, ?, ?, ?, ?)", row)
    base.commit()
    base.close()
    with Store(path) as store:
        lost = store_table(store, store.run(7))
        assert lost["file"].unique().tolist() == ["elsewhere.png", "station_0.png"]
    monkeypatch.chdir(scans[0].parent)
    read = scans[0].name if name == "as given" else scans[0]
    told = read_to_store(reader, [read], path, drop_gone=True)
    assert told.read == 1
    with Store(path) as store:
        table = store_table(store, store.run(7))
    lost = table[table["sha256"].isna()]["file"].unique().tolist()
    # in which folder that was, such a store does not say
    assert lost == ["elsewhere.png", "station_0.png"][: 1 if name == "as given" else 2]
