"""A table in parts is the table, and costs the memory of one part."""

import gc
import hashlib
import tracemalloc

import pandas as pd
import pytest

from sktally import StoreError, read_to_store
from sktally.tables import (
    Store,
    _values,
    import_edits,
    store_parts,
    store_table,
    write_table,
)
from sktally.tables._image import FileState, PageName
from sktally.tables._records import PageRecord


@pytest.fixture
def store(reader, scans, tmp_path, monkeypatch):
    """Six pages, two that cannot be opened, edits; parts of one page."""
    path = tmp_path / "votes.sqlite"
    gone = [scans[0].with_name(f"gone_{i}.png") for i in range(2)]
    read_to_store(reader, [*gone, *scans], path)
    edits = {"file": [str(scans[4]), str(scans[1])], "field": "02", "who": "ana"}
    with Store(path) as opened:
        import_edits(opened, pd.DataFrame({**edits, "count": ["999", "998"]}))
        monkeypatch.setattr(_values, "_AT_ONCE", 6)
        yield opened


def test_parts_are_the_table(store, tmp_path):
    parts = list(store_parts(store))
    assert [len(part) for part in parts] == [6] * 8
    whole = store_table(store)
    for name in ("page", "count", "final", "confidence"):
        assert pd.concat(parts, ignore_index=True)[name].equals(whole[name])
    assert whole["final"].isin([999, 998]).sum() == 2
    for ending in (".csv", ".parquet", ".dta"):
        write_table(store_parts(store), tmp_path / f"parts{ending}")
        write_table(whole, tmp_path / f"whole{ending}")
    same = [tmp_path / f"{name}.csv" for name in ("parts", "whole")]
    assert same[0].read_bytes() == same[1].read_bytes()
    assert same[0].read_text() == whole.to_csv(index=False)
    for read, ending in ((pd.read_parquet, ".parquet"), (pd.read_stata, ".dta")):
        both = [read(tmp_path / f"{name}{ending}") for name in ("parts", "whole")]
        assert both[0].equals(both[1])


def test_parts_are_of_one_moment(store, reader, scans):
    whole = store_table(store)
    gone = scans[0].with_name("gone_1.png")
    with store.reading():
        parts = store_parts(store)
        first = next(parts)
        gone.write_bytes(scans[0].read_bytes() + b" ")  # it came, and is read
        assert read_to_store(reader, [gone], store.path).read == 1
        rest = list(parts)
    found = pd.concat([first, *rest], ignore_index=True)
    assert found["file"].tolist() == whole["file"].tolist()
    assert (store_table(store)["file"] == str(gone)).sum() == 6
    with Store(store.path) as other:
        other.begin("a", store.run().content)  # nothing is left locked


def test_a_first_part_without_text(store, reader, scans, tmp_path):
    """Types of a column come from the whole, not from the part that is first."""
    path = tmp_path / "b.sqlite"
    read_to_store(reader, [scans[0].with_name("gone.png")], path)
    with Store(path) as other:
        parts = [next(store_parts(other)), next(store_parts(store))]
    write_table(iter(parts), tmp_path / "b.parquet")
    read = pd.read_parquet(tmp_path / "b.parquet")
    assert read["boxes"].tolist()[6:] == parts[1]["boxes"].tolist()
    assert read["boxes"][:6].isna().all()


def test_nothing_read_is_a_table_without_rows(reader, tmp_path):
    path = tmp_path / "votes.sqlite"
    read_to_store(reader, [], path)
    with Store(path) as opened:
        assert [len(part) for part in store_parts(opened)] == [0]


def test_what_fails_half_way_leaves_no_file(store, tmp_path):
    def broken():
        yield next(store_parts(store))
        raise StoreError("no more")

    (tmp_path / "out").mkdir()
    for ending in (".csv", ".parquet"):
        with pytest.raises(StoreError, match="no more"):
            write_table(broken(), tmp_path / "out" / f"a{ending}")
    assert list((tmp_path / "out").iterdir()) == []


def test_memory_does_not_grow_with_the_pages(reader, tmp_path, monkeypatch):
    monkeypatch.setattr(_values, "_AT_ONCE", 600)
    path = tmp_path / "votes.sqlite"
    read_to_store(reader, [], path)
    peaks = []
    with Store(path) as opened:
        run = opened.run()
        for n in (1000, 2000, 3000):  # the first imports and compiles what it needs
            opened.add_pages(run, 1, [_made(run, n + i) for i in range(1000)])
            gc.collect()
            tracemalloc.start()
            write_table(store_parts(opened, run), tmp_path / "votes.csv")
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert len(pd.read_csv(tmp_path / "votes.csv")) == 18_000
    assert peaks[2] < 1.2 * peaks[1], peaks


def _made(run, i):
    """Return a page as if it had been read."""
    row = {"boxes": "_12", "count": 12, "confidence": 0.9, "status": "ok"}
    rows = [{"field": name, "message": "", **row} for name in run.fields]
    sha256 = hashlib.sha256(str(i).encode()).hexdigest()
    page = PageName.parse(f"/data/scans/station_{i}.png")
    return PageRecord(page, sha256, FileState(1, 1, 1), rows=rows)
