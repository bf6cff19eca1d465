"""What people say is added, never mixed up, and decides by a stated rule."""

import shutil

import pandas as pd
import pytest
from PIL import Image

from sktally import (
    StoreError,
    TallyWarning,
    list_pages,
    load_form,
    load_reader,
    read_to_store,
)
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
        with pytest.warns(TallyWarning, match="run 2, .* has 1 page, and run 1 has 2"):
            assert again.run().id == 2
        table = store_table(again, again.run(2))
        assert table["final"].iloc[0] == 5
        assert "run 2" in next(
            line for line in store_status(again).splitlines() if "; shown" in line
        )


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


@pytest.fixture
def replaced(reader, scans, tmp_path):
    """Yield a store of which one scan was replaced after it was corrected."""
    (tmp_path / "in").mkdir()
    scan = tmp_path / "in" / "A.png"
    shutil.copy(scans[0], scan)
    read_to_store(reader, [scan], tmp_path / "votes.sqlite")
    with Store(tmp_path / "votes.sqlite") as opened:
        for purpose in ("correction", "entry", "audit"):
            import_edits(opened, edits(file=str(scan), count="150"), purpose=purpose)
    shutil.copy(scans[1], scan)
    read_to_store(reader, [scan], tmp_path / "votes.sqlite")
    with Store(tmp_path / "votes.sqlite") as opened:
        yield opened


@pytest.mark.parametrize("without", [[], ["sha256"]])
def test_edits_of_a_scan_that_was_replaced_stay_with_it(replaced, tmp_path, without):
    before = final(replaced, file="A.png")
    exported = edits_table(replaced).drop(columns=without)
    exported.to_csv(tmp_path / "backup.csv", index=False)
    with pytest.warns(TallyWarning, match="3 of 3 rows are of pages that no longer"):
        assert import_edits(replaced, tmp_path / "backup.csv") == (0, 3)
    assert final(replaced, file="A.png") == before != 150
    assert "; 3 of pages that no longer count" in store_status(replaced)


def test_no_third_entry_is_asked_for_a_scan_that_was_replaced(store, reader, replaced):
    assert disagreements(replaced).empty


def test_an_image_that_was_never_read_is_told(store):
    with pytest.raises(StoreError, match="row 2: .* no page of run 1 has the SHA-256"):
        import_edits(store, edits(count="5", sha256="0" * 64))


def test_edits_of_pages_that_were_dropped_are_refused(reader, scans, tmp_path):
    scan = tmp_path / "A.png"
    shutil.copy(scans[0], scan)
    read_to_store(reader, [scan], tmp_path / "votes.sqlite")
    scan.unlink()
    with Store(tmp_path / "votes.sqlite") as store:  # still counts
        assert import_edits(store, edits(file="A.png", count="5")) == (1, 0)
    read_to_store(reader, [], tmp_path / "votes.sqlite", drop_gone=True)
    with Store(tmp_path / "votes.sqlite") as store:
        with pytest.raises(StoreError, match=r"row 2: A.png, page 1: .* dropped"):
            import_edits(store, edits(file="A.png", count="6"))


def test_a_file_of_several_pages_needs_the_page(reader, made, tmp_path):
    first, *more = (Image.fromarray(page) for page in made.pages[:2])
    path = tmp_path / "both.tif"
    first.save(path, save_all=True, append_images=more)
    read_to_store(reader, list_pages(path), tmp_path / "votes.sqlite")
    with Store(tmp_path / "votes.sqlite") as store:
        with pytest.raises(StoreError, match="page: expected which of the 2 pages of"):
            import_edits(store, edits(file=str(path), count="5"))
        assert import_edits(store, edits(file=str(path), page="2", count="5")) == (1, 0)
        again = edits(file=f"{path}#page=2", count="6")
        assert import_edits(store, again) == (1, 0)
        assert edits_table(store)["page"].tolist() == [2, 2]


def test_capitals_make_no_second_person(store):
    read = int(store_table(store)["count"].iloc[0])
    wrong = (read + 1) % 1000
    for who in ("ana", "Ana"):
        entry = edits(count=str(wrong), who=who)
        assert import_edits(store, entry, purpose="entry") == (1, 0)
    assert final(store) is None
    assert disagreements(store)["entries"].tolist() == [f"Ana: {wrong}"]


def test_edits_of_fields_that_the_form_has_lost_are_told(store, reader, scans):
    import_edits(store, edits(field="03", count="5"))
    assert "fields that run" not in store_status(store)
    form = load_form("example")
    form = form.model_copy(update={"fields": form.fields[:2], "sums": {}})
    read_to_store(load_reader(form), scans[:2], store.path)
    assert "; 1 of fields that run 2 does not have" in store_status(store)
