"""Files that are renamed, moved, repaired, replaced or taken away count once."""

import shutil

import pytest

from sktally import load_reader, read_to_store, vote_totals
from sktally.tables import Store, store_status, store_table


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


def test_a_damaged_file_that_was_deleted_is_forgotten(reader, folders, tmp_path):
    old, _, path = folders
    (old / "2.png").write_bytes(b"torn")
    read(reader, old, path)
    old.rename(tmp_path / "away")  # as a disk that is not there
    read_to_store(reader, [], path)
    assert counted(path)["2.png"] == "failed"
    (tmp_path / "away").rename(old)
    (old / "2.png").unlink()
    read(reader, old, path)
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
    assert told.gone == []  # this run never saw it
    assert read(reader, old, path).gone == [str(old / "0.png")]
