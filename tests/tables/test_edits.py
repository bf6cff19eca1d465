"""What people say is added, never mixed up, and decides by a stated rule."""

import pandas as pd
import pytest

from sktally import StoreError, read_to_store
from sktally.tables import (
    Store,
    disagreements,
    edits_table,
    import_edits,
    store_status,
    store_table,
)


@pytest.fixture
def store(reader, scans, tmp_path):
    read_to_store(reader, scans[:2], tmp_path / "votes.sqlite")
    with Store(tmp_path / "votes.sqlite") as opened:
        yield opened


def final(store, field="01", file="station_0.png"):
    table = store_table(store)
    row = table[table["file"].str.endswith(file) & (table["field"] == field)]
    value = row["final"].iloc[0]
    return None if pd.isna(value) else int(value)


def edits(**columns):
    rows = {"file": ["station_0.png"], "field": ["01"], "who": ["ana"]}
    return pd.DataFrame(rows | {k: [v] for k, v in columns.items()})


def test_corrections_replace_the_final_count_only(store):
    as_read = store_table(store)["count"]
    assert import_edits(store, edits(count="217", why="looked at it")) == (1, 0)
    assert final(store) == 217
    assert import_edits(store, edits(boxes="x23")) == (1, 0)
    assert final(store) == 23
    assert import_edits(store, edits(boxes="")) == (1, 0)
    assert final(store) is None  # it cannot be read
    assert store_table(store)["count"].equals(as_read)


def test_entries_must_agree(store, made):
    table = store_table(store)
    read = int(table["count"].iloc[0])
    import_edits(store, edits(count=str(read)), purpose="entry")
    assert final(store) == read and disagreements(store).empty
    wrong = (read + 1) % 1000
    import_edits(store, edits(count=str(wrong), who="ben"), purpose="entry")
    assert final(store) == read  # two of three
    import_edits(store, edits(count=str(wrong), who="eva"), purpose="entry")
    assert final(store) is None
    listed = disagreements(store)
    assert listed[["field", "count"]].values.tolist() == [["01", read]]
    assert listed["entries"][0] == f"ana: {read}, ben: {wrong}, eva: {wrong}"
    import_edits(store, edits(count=str(wrong), who="ana"), purpose="entry")
    assert final(store) == wrong and disagreements(store).empty


def test_audits_change_nothing(store):
    before = final(store)
    import_edits(store, edits(count="999"), purpose="audit")
    assert final(store) == before
    assert edits_table(store)["purpose"].tolist() == ["audit"]


def test_the_same_file_twice_adds_nothing(store, tmp_path):
    file = tmp_path / "edits.csv"
    edits(count="5", why="blot, not a digit").to_csv(file, index=False)
    assert import_edits(store, file) == (1, 0)
    assert import_edits(store, file) == (0, 1)
    exported = edits_table(store).drop(columns="made_at")
    exported.to_csv(file, index=False)
    assert import_edits(store, file) == (0, 1)


def test_edits_belong_to_the_image(store, reader, scans, tmp_path):
    import_edits(store, edits(count="5"))
    other = type(reader)(reader.steps)
    read_to_store(other, scans[:1], store.path, origin={"sha256": "0", "name": "other"})
    with Store(store.path) as again:
        assert again.run().id == 2 and final(again) == 5


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"file": "none.png"}, "row 2: none.png, page 1: no such page in run 1"),
        ({"page": "2"}, "page 2: no such page"),
        ({"page": "9" * 20}, "page: expected 1, 2, ..., got '9999"),
        ({"page": "two"}, "page: expected 1, 2, ..., got 'two'"),
        ({"field": "99"}, "field: expected one of 01, 02, .*, got '99'"),
        ({"who": ""}, "who: expected the name of the person, got nothing"),
        ({"count": "1000"}, r"count: expected 0 to 999 \(3 boxes\).*got '1000'"),
        ({"count": "-1"}, "got '-1'"),
        ({"count": "12.0"}, "got '12.0'"),
        ({"boxes": "x2"}, "boxes: expected 3 characters"),
        ({"boxes": "a23"}, "expected one of '0123456789x_' per box"),
        ({"boxes": "X23"}, "in 'X23'; only a lower-case 'x' is a crossed box"),
        ({"boxes": "x23", "count": "24"}, "count: 'x23' is 23, got 24"),
        ({"purpose": "guess"}, "purpose: expected correction or entry or audit"),
    ],
)
def test_mistakes_are_told_and_nothing_is_added(store, row, message):
    both = pd.concat([edits(**({"count": "5"} | row)), edits(count="7")])
    with pytest.raises(StoreError, match=message) as caught:
        import_edits(store, both)
    assert "1 of 2 rows have mistakes, and none was added" in str(caught.value)
    assert edits_table(store).empty


def test_what_is_no_list_of_edits(store, tmp_path):
    with pytest.raises(StoreError, match="missing: boxes or count"):
        import_edits(store, edits())
    with pytest.raises(StoreError, match="unknown: colour"):
        import_edits(store, edits(count="1", colour="red"))
    with pytest.raises(StoreError, match="none.csv: .*, but there is none of this n"):
        import_edits(store, tmp_path / "none.csv")
    empty = tmp_path / "empty.csv"
    empty.touch()
    with pytest.raises(StoreError, match="got an empty one"):
        import_edits(store, empty)
    empty.write_bytes(b"file,field\xff\xfe\n")
    with pytest.raises(StoreError, match="expected a CSV file in UTF-8"):
        import_edits(store, empty)
    empty.write_text("file;field;who;count\na.png;01;ana;7\n")
    with pytest.raises(StoreError, match="file separated by semicolons; save it with"):
        import_edits(store, empty)


def test_a_file_that_was_replaced_is_what_it_is_now(store, reader, scans, made):
    scans[0].write_bytes(scans[5].read_bytes())
    read_to_store(reader, scans[:1], store.path)
    import_edits(store, edits(file=str(scans[0]), count="7"))
    for replaced, counts in ((False, 1), (True, 2)):
        table = store_table(store, replaced=replaced)
        rows = table[(table["file"] == str(scans[0])) & (table["field"] == "01")]
        assert len(rows) == counts and rows["final"].tolist()[-1] == 7
    assert rows["final"].tolist()[0] != 7
    assert "1 replaced since" in store_status(store)
    with pytest.raises(StoreError, match="2 pages of run 1 go by that name"):
        import_edits(store, edits(count="8"))


def test_a_person_may_go_back_to_what_was_said_before(store):
    for count in ("13", "14", "13"):
        assert import_edits(store, edits(count=count)) == (1, 0)
    assert final(store) == 13
    twice = pd.concat([edits(count="15"), edits(count="15")])
    assert import_edits(store, twice) == (1, 1)


def test_names_without_end_do_not_fill_the_screen(store):
    with pytest.raises(StoreError, match="row 2: 0000") as caught:
        import_edits(store, edits(file="0" * 10_000, count="7"))
    assert len(str(caught.value)) < 1000


def test_what_was_exported_is_imported(store, tmp_path):
    import_edits(store, edits(count="217", why="looked at it"))
    table = edits_table(store)
    assert "made_at" in table
    table.to_csv(tmp_path / "edits.csv", index=False)
    assert import_edits(store, tmp_path / "edits.csv") == (0, 1)
