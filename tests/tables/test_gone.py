"""Files that are renamed, moved, repaired, replaced or taken away count once."""

import shutil

import pandas as pd
import pytest
from PIL import Image

from sktally import (
    StoreError,
    list_pages,
    load_reader,
    read_to_store,
    vote_totals,
)
from sktally.tables import (
    Store,
    edits_table,
    file_copies,
    import_edits,
    store_status,
    store_table,
)


@pytest.fixture
def folders(scans, tmp_path):
    """A folder of four scans; two more to come; and a store to be."""
    old = tmp_path / "old"
    old.mkdir()
    for i, scan in enumerate(scans[:4]):
        shutil.copy(scan, old / f"{i}.png")
    return old, scans[4:], tmp_path / "votes.sqlite"


def read(reader, folder, path, **how):
    return read_to_store(reader, sorted(folder.rglob("*.*")), path, **how)


def counted(path):
    """The names of files that count, without their folders, and their statuses."""
    with Store(path) as store:
        table = store_table(store).drop_duplicates(["file", "page"])
    names = [name.rsplit("/", 1)[-1] for name in table["file"]]
    assert len(set(names)) == len(names)
    return dict(zip(names, table["status"], strict=True))


def test_a_renamed_file_is_no_copy(reader, folders):
    old, _, path = folders
    read(reader, old, path)
    (old / "0.png").rename(old / "zero.png")
    told = read(reader, old, path)
    assert (told.before, told.copies, told.gone, told.replaced) == (4, 0, [], [])
    with Store(path) as store:
        assert "0 copies of pages" in store_status(store)
    told = read(reader, old, path)
    assert (told.before, told.copies) == (4, 0)


@pytest.mark.parametrize("deep", [False, True])
def test_a_sheet_scanned_anew_in_a_folder_that_was_moved(
    reader, folders, tmp_path, deep
):
    old, more, path = folders
    if deep:
        for name in ("0.png", "1.png"):
            (old / "a").mkdir(exist_ok=True)
            (old / name).rename(old / "a" / name)
    read(reader, old, path)
    new = tmp_path / "archive" / "2024"
    new.parent.mkdir()
    old.rename(new)
    anew = new / "a" / "1.png" if deep else new / "1.png"
    shutil.copy(more[0], anew)
    told = read(reader, new, path)
    assert (told.read, told.before, told.copies) == (1, 3, 0)
    assert [name.rsplit("/", 1)[-1] for name in told.replaced] == ["1.png"]
    assert told.gone == []
    assert sorted(counted(path)) == ["0.png", "1.png", "2.png", "3.png"]
    with Store(path) as store:
        table = store_table(store)
        assert table["file"].str.endswith(str(anew)).sum() == 6
        assert "1 replaced since" in store_status(store)
    assert read(reader, new, path).replaced == []


def test_a_folder_was_not_moved_for_one_file_that_was(reader, folders, tmp_path):
    old, more, path = folders
    new = tmp_path / "new"
    new.mkdir()
    shutil.copy(more[0], new / "1.png")
    shutil.copy(more[1], new / "2.png")
    read(reader, tmp_path / "old", path)
    shutil.copy(old / "0.png", new / "0.png")
    shutil.rmtree(old)  # to save space, say: its other sheets were other sheets
    told = read(reader, new, path)
    assert (told.read, told.before, told.replaced) == (2, 1, [])
    assert len(told.gone) == 3
    assert len(store_table(path)) == 6 * 6


def test_files_that_are_gone_count_until_told(reader, folders):
    old, more, path = folders
    read(reader, old, path)
    (old / "3.png").unlink()
    shutil.copy(more[0], old / "3 anew.png")
    told = read(reader, old, path)
    assert told.gone == [str(old / "3.png")] and told.replaced == []
    assert len(counted(path)) == 5
    told = read(reader, old, path, drop_gone=True)
    assert told.replaced == [str(old / "3.png")] and told.gone == []
    assert sorted(counted(path)) == ["0.png", "1.png", "2.png", "3 anew.png"]
    shutil.copy(old / "0.png", old / "again.png")
    (old / "0.png").unlink()  # the same bytes are there
    assert read(reader, old, path, drop_gone=True).replaced == []
    assert len(counted(path)) == 4


def test_a_page_that_cannot_be_looked_at_now_was_read(reader, folders):
    old, _, path = folders
    read(reader, old, path)
    names = sorted(old.iterdir())
    (old / "3.png").unlink()
    told = read_to_store(reader, names, path)
    assert (told.read, told.before, told.not_read) == (0, 4, 0)
    assert told.gone == [str(old / "3.png")]
    assert set(counted(path).values()) == {"ok"} and len(counted(path)) == 4


def test_a_damaged_file_replaces_what_it_was(reader, folders):
    old, _, path = folders
    read(reader, old, path)
    good = (old / "2.png").read_bytes()
    (old / "2.png").write_bytes(good[:2000])
    told = read(reader, old, path)
    assert (told.before, told.not_read) == (3, 1)
    assert counted(path) == {
        "0.png": "ok",
        "1.png": "ok",
        "3.png": "ok",
        "2.png": "failed",
    }
    (old / "2.png").write_bytes(good)
    assert read(reader, old, path).before == 4
    assert set(counted(path).values()) == {"ok"}


def test_a_repaired_file_is_known_by_any_of_its_names(reader, folders, monkeypatch):
    old, _, path = folders
    good = (old / "2.png").read_bytes()
    (old / "2.png").write_bytes(good[:2000])
    monkeypatch.chdir(old)
    assert read_to_store(reader, ["2.png"], path).not_read == 1
    assert read_to_store(reader, [old / "2.png"], path).not_read == 1
    assert counted(path) == {"2.png": "failed"}
    (old / "2.png").write_bytes(good)
    read_to_store(reader, [old / "2.png"], path)
    assert counted(path) == {"2.png": "ok"}


def test_a_damaged_file_that_was_deleted_is_listed_until_told(reader, folders):
    old, _, path = folders
    (old / "2.png").write_bytes(b"torn")
    read(reader, old, path)
    (old / "2.png").unlink()
    assert read(reader, old, path).gone == [str(old / "2.png")]
    assert counted(path)["2.png"] == "failed"
    assert read(reader, old, path, drop_gone=True).gone == []
    assert sorted(counted(path)) == ["0.png", "1.png", "3.png"]


def test_a_damaged_file_moved_with_its_folder_is_one(reader, folders, tmp_path):
    old, _, path = folders
    good = (old / "2.png").read_bytes()
    (old / "2.png").write_bytes(b"torn")
    read(reader, old, path)
    new = tmp_path / "new"
    old.rename(new)
    read(reader, new, path)
    assert list(counted(path).values()) == ["ok"] * 3 + ["failed"]
    (new / "2.png").write_bytes(good)
    read(reader, new, path)
    assert list(counted(path).values()) == ["ok"] * 4


def test_equal_names_in_two_folders_are_two_files(reader, scans, tmp_path, monkeypatch):
    path = tmp_path / "votes.sqlite"
    for i in range(2):
        here = tmp_path / str(i)
        (here / "scans").mkdir(parents=True)
        shutil.copy(scans[i], here / "scans" / "1.png")
        (here / "scans" / "2.png").write_bytes(bytes(5 + i))
        monkeypatch.chdir(here)
        told = read_to_store(reader, ["scans/1.png", "scans/2.png"], path)
        assert (told.read, told.not_read) == (1, 1)
    table = store_table(path)
    assert table["file"].unique().tolist() == [
        "scans/1.png",
        str(tmp_path / "1/scans/1.png"),
        str(tmp_path / "1/scans/2.png"),
        "scans/2.png",
    ]
    assert not table.duplicated(["file", "page", "field"]).any()
    vote_totals(path)


def test_a_folder_that_cannot_be_looked_into_is_not_gone(reader, folders, tmp_path):
    old, _, path = folders
    read(reader, old, path)
    old.rename(tmp_path / "away")
    old.symlink_to(old)  # stands for a drive that answers with an error
    told = read_to_store(reader, [], path, drop_gone=True)
    assert told.gone == told.replaced == []
    assert len(counted(path)) == 4


def test_other_runs_keep_what_they_read(reader, folders):
    old, _, path = folders
    read(reader, old, path)
    other = load_reader("example")
    other[0].set_params(cell_size=40).fit()
    (old / "0.png").unlink()
    told = read(other, old, path)
    assert told.gone == [str(old / "0.png")]
    told = read(other, old, path, drop_gone=True)
    assert told.replaced == [str(old / "0.png")]  # which the other run had counted
    assert sorted(counted(path)) == ["1.png", "2.png", "3.png"]
    assert read(reader, old, path).before == 3
    assert sorted(counted(path)) == ["1.png", "2.png", "3.png"]


def test_a_later_copy_does_not_take_the_name(reader, folders):
    old, _, path = folders
    read(reader, old, path)
    (old / "0.png").rename(old / "7.png")
    read(reader, old, path)
    shutil.copy(old / "7.png", old / "5.png")
    assert read(reader, old, path).copies == 1
    assert sorted(counted(path)) == ["1.png", "2.png", "3.png", "7.png"]


def test_names_are_those_of_today(reader, folders):
    old, more, path = folders
    read(reader, old, path)
    with Store(path) as store:
        import_edits(store, edit(old / "0.png", "7"))
        exported = edits_table(store)
    (old / "0.png").rename(old / "a")
    (old / "1.png").rename(old / "0.png")
    (old / "a").rename(old / "1.png")
    read(reader, old, path)
    with Store(path) as store:
        assert edits_table(store)["file"].tolist() == [str(old / "1.png")]
        assert import_edits(store, edits_table(store)) == (0, 1)
        table = store_table(store)
        final = table[(table["field"] == "01")].set_index("file")["final"]
        assert final[str(old / "1.png")] == 7
        # who names it as it was called is understood as it is called
        assert import_edits(store, exported.drop(columns=["made_at", "sha256"])) == (
            1,
            0,
        )
    (old / "2.png").rename(old / "9.png")
    shutil.copy(more[0], old / "2.png")
    told = read(reader, old, path)
    assert (told.read, told.before, told.copies) == (1, 4, 0)
    assert sorted(counted(path)) == ["0.png", "1.png", "2.png", "3.png", "9.png"]
    vote_totals(path)
    with Store(path) as store:
        assert file_copies(store) == {}


def edit(file, count):
    row = {"file": [str(file)], "field": ["01"], "who": ["ana"], "count": [count]}
    return pd.DataFrame(row)


def test_edits_go_back_to_where_they_came_from(reader, folders, tmp_path):
    old, _, path = folders
    read(reader, old, path)
    with Store(path) as store:
        for who, count in (("ana", "1"), ("ana", "2"), ("bob", "3")):
            rows = edit(old / "0.png", count)
            import_edits(store, rows.assign(who=who))
        edits_table(store).to_csv(tmp_path / "edits.csv", index=False)
        assert import_edits(store, tmp_path / "edits.csv") == (0, 3)
        assert store_table(store)["final"][0] == 3


def test_a_name_of_two_files_is_refused(reader, scans, tmp_path, monkeypatch):
    path = tmp_path / "votes.sqlite"
    for i in range(2):
        here = tmp_path / str(i)
        here.mkdir()
        shutil.copy(scans[i], here / "1.png")
        monkeypatch.chdir(here)
        read_to_store(reader, ["1.png"], path)
    with Store(path) as store:
        with pytest.raises(StoreError, match="another file here; give the whole path"):
            import_edits(store, edit("1.png", "7"))
        assert import_edits(store, edit(here / "1.png", "7")) == (1, 0)


def test_a_file_is_one_however_it_is_spelt(reader, folders, tmp_path, monkeypatch):
    old, more, path = folders
    (tmp_path / "link").symlink_to(old)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    names = [f"../old/{i}.png" for i in range(4)]
    assert read_to_store(reader, names, path).read == 4
    told = read(reader, tmp_path / "link", path)
    assert (told.read, told.before, told.copies) == (0, 4, 0)
    shutil.copy(more[0], old / "2.png")
    told = read(reader, old, path)
    assert (told.read, len(told.replaced)) == (1, 1)
    assert len(counted(path)) == 4
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").rmdir()
    told = read(reader, tmp_path / "link", path, drop_gone=True)
    assert told.replaced == told.gone == []


def test_what_counts_no_longer_and_again_is_told(reader, folders, tmp_path):
    old, more, path = folders
    read(reader, old, path)
    shutil.copytree(old, tmp_path / "backup")
    shutil.copy(more[0], old / "1.png")
    assert read(reader, old, path).replaced == [str(old / "1.png")]
    told = read(reader, tmp_path / "backup", path)
    assert told.restored == [str(tmp_path / "backup" / "1.png")]
    assert len(store_table(path)) == 5 * 6


def test_a_disk_that_is_not_there(reader, folders, tmp_path):
    old, more, path = folders
    new = tmp_path / "new"
    shutil.copytree(old, new)
    shutil.copy(more[0], new / "3.png")  # another sheet
    read_to_store(reader, [*sorted(old.iterdir()), *sorted(new.iterdir())], path)
    assert len(store_table(path)) == 5 * 6
    (new / "torn.png").write_bytes(b"torn")
    read(reader, new, path)
    old.rename(tmp_path / "away")
    shutil.move(new / "torn.png", tmp_path)
    told = read(reader, new, path)
    assert told.replaced == []
    assert told.gone == [str(new / "torn.png"), str(old / "3.png")]
    assert len(store_table(path)) == 6 * 6


@pytest.mark.parametrize("at_first", [slice(0, 3), slice(3, 4)])
def test_a_folder_that_was_moved_is_read_in_two_goes(
    reader, folders, tmp_path, at_first
):
    old, more, path = folders
    read(reader, old, path)
    new = tmp_path / "new"
    old.rename(new)
    shutil.copy(more[0], new / "3.png")
    names = sorted(new.iterdir())
    read_to_store(reader, names[at_first], path)
    told = read_to_store(reader, names, path)
    if at_first.start == 0:
        assert told.replaced == [str(old / "3.png")]
        assert sorted(counted(path)) == ["0.png", "1.png", "2.png", "3.png"]
    else:  # nothing tells that it is the same sheet
        assert told.gone == [str(old / "3.png")]
        assert len(store_table(path)) == 5 * 6


def test_pages_of_a_file_that_was_damaged(reader, made, folders):
    old, _, path = folders
    shutil.rmtree(old)
    old.mkdir()
    first, *others = map(Image.fromarray, made.pages[:3])
    scan = old / "all.tif"
    first.save(scan, save_all=True, append_images=others)
    whole = scan.read_bytes()

    def statuses():
        table = store_table(path).drop_duplicates(["file", "page"])
        return dict(zip(table["page"], table["status"], strict=True))

    read_to_store(reader, list_pages(scan), path)
    assert statuses() == {1: "ok", 2: "ok", 3: "ok"}
    scan.write_bytes(whole[: len(whole) // 2])
    told = read_to_store(reader, [scan], path)
    assert told.not_read == 1 and told.replaced == [str(scan)]
    assert statuses() == {1: "failed", 2: "failed", 3: "failed"}
    first.save(scan, save_all=True, append_images=others[:1])
    read_to_store(reader, list_pages(scan), path)
    assert statuses() == {1: "ok", 2: "ok"}


def test_names_of_a_folder_that_was_moved_are_those_of_today(reader, folders, tmp_path):
    old, _, path = folders
    read(reader, old, path)
    new = tmp_path / "new"
    old.rename(new)
    names = sorted(new.iterdir())
    for some in (names[:2], names):
        told = read_to_store(reader, some, path)
        assert (told.read, told.before, told.copies) == (0, len(some), 0)
        assert told.gone == told.replaced == []
    found = store_table(path)["file"].unique().tolist()
    assert sorted(found) == [str(name) for name in names]
