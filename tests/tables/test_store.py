"""A store keeps pages whole, once, and for good."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sktally import (
    StoreError,
    TallyError,
    list_pages,
    load_reader,
    read_tallies,
    read_to_store,
)
from sktally.tables import (
    Store,
    _schema,
    check_store_path,
    check_table_path,
    show_page,
    store_status,
    store_table,
    verify,
)
from sktally.tables._files import image_of
from sktally.tables._origin import form_of


def table(path, run=None):
    with Store(path) as store:
        return store_table(store, store.run(run))


def test_holds_what_read_tallies_returns(reader, scans, tmp_path):
    path = tmp_path / "votes.sqlite"
    told = read_to_store(reader, scans, path)
    assert (told.read, told.not_read, told.before, told.copies) == (6, 0, 0, 0)
    expected = read_tallies(reader, scans)
    found = table(path)
    for name in expected:
        assert found[name].equals(expected[name]), name
    assert found["final"].equals(found["count"])
    assert found["reconciled"].isna().all()
    with Store(path) as store:
        proba, quads = store.ask("SELECT proba, polygons FROM fields LIMIT 1")[0]
    assert np.frombuffer(proba, "<f4").reshape(3, 12).sum(1) == pytest.approx(1, 1e-3)
    assert np.isfinite(np.frombuffer(quads, "<f4")).all()


def test_same_command_goes_on(reader, scans, tmp_path):
    path = tmp_path / "votes.sqlite"
    assert read_to_store(reader, scans[:4], path).read == 4
    told = read_to_store(reader, scans, path)
    assert (told.read, told.before, told.done, told.copies) == (2, 4, 6, 0)
    assert read_to_store(reader, scans, path, rehash=True).before == 6
    fresh = tmp_path / "fresh.sqlite"
    read_to_store(reader, scans, fresh)
    assert table(path).equals(table(fresh))


def test_copies_and_renamed_files_are_known(reader, scans, tmp_path):
    path = tmp_path / "votes.sqlite"
    twin = scans[0].with_name("twin.png")
    shutil.copy(scans[0], twin)
    told = read_to_store(reader, [scans[0], twin], path)
    assert (told.read, told.copies, told.before, told.done) == (1, 1, 1, 2)
    twin.rename(twin.with_name("renamed.png"))
    told = read_to_store(reader, [twin.with_name("renamed.png")], path)
    assert (told.read, told.before, told.copies) == (0, 1, 1)
    assert len(table(path)) == 6  # fields of one page


def test_another_name_of_the_same_file_is_no_copy(reader, scans, tmp_path, monkeypatch):
    path = tmp_path / "votes.sqlite"
    monkeypatch.chdir(scans[0].parent)
    told = read_to_store(reader, [scans[0].name, scans[0], scans[1].name], path)
    assert (told.read, told.before, told.copies) == (2, 1, 0)
    scans[1].touch()
    for _ in range(2):
        told = read_to_store(reader, scans[:2], path)
        assert (told.before, told.copies) == (2, 0)
    shutil.copy(scans[0], "twin.png")
    told = read_to_store(reader, [scans[0], "twin.png", scans[0].name], path)
    assert (told.before, told.copies) == (3, 1)
    with Store(path) as store:
        assert "1 copy of a page" in store_status(store)


def test_another_reader_is_another_run(reader, scans, tmp_path):
    path = tmp_path / "votes.sqlite"
    read_to_store(reader, scans[:2], path)
    other = load_reader("example")
    other[0].set_params(cell_size=40).fit()
    assert read_to_store(other, scans[:1], path).read == 1
    assert read_to_store(reader, scans[:2], path).before == 2
    assert [len(table(path, run)) for run in (None, 1, 2)] == [12, 12, 6]
    with (
        Store(path) as store,
        pytest.raises(StoreError, match="a run of 1 to 2, got 3"),
    ):
        store.run(3)


def test_pages_that_cannot_be_read_are_rows_and_tried_again(reader, scans, tmp_path):
    path = tmp_path / "votes.sqlite"
    late, torn = scans[0].with_name("late.png"), scans[0].with_name("torn.png")
    torn.write_bytes(scans[0].read_bytes()[:3000])
    told = read_to_store(reader, [late, torn, scans[1]], path)
    assert (told.read, told.not_read) == (1, 2)
    found = table(path)
    rows = found[found["file"] == str(late)]
    assert len(rows) == 6 and (rows["status"] == "failed").all()
    assert rows["message"].str.contains("none of this name").all()
    assert (found[found["file"] == str(torn)]["status"] == "failed").all()
    shutil.copy(scans[0], late)
    told = read_to_store(reader, [late, torn, scans[1]], path)
    assert (told.read, told.before, told.not_read) == (1, 1, 1)
    assert (table(path)["file"] == str(late)).sum() == 6
    shutil.copy(scans[2], torn)  # what was mended is one page, not two
    assert read_to_store(reader, [torn], path).read == 1
    assert table(path).groupby("file").size().tolist() == [6, 6, 6]
    assert table(path)[lambda t: t["file"] == str(late)]["status"].eq("ok").all()


def test_a_file_that_changes_meanwhile_is_read_again(reader, scans, tmp_path):
    path = tmp_path / "votes.sqlite"
    with Store(path, make=True) as store:
        from sktally.tables._batch import _changed
        from sktally.tables._image import PageName
        from sktally.tables._records import PageRecord

        record = PageRecord(PageName.parse(scans[0]), *image_of(store, scans[0]))
    assert _changed(record) == ""
    shutil.copy(scans[1], scans[0])
    assert "changed while it was read" in _changed(record)
    scans[0].unlink()
    assert "changed while it was read" in _changed(record)


def test_names_in_any_encoding(reader, scans, tmp_path):
    path = tmp_path / "votes.sqlite"
    odd = os.fsdecode(bytes(scans[0].parent) + b"/caf\xe9 \xff.png")
    long = scans[0].with_name("n" * 251 + ".png")
    shutil.copy(scans[0], odd)
    shutil.copy(scans[1], long)
    told = read_to_store(reader, [odd, long], path)
    assert told.read == 2
    assert table(path)["file"].iloc[0].endswith(r"caf\xe9 \xff.png")
    assert read_to_store(reader, [odd, long], path).before == 2
    torn = os.fsdecode(bytes(scans[0].parent) + b"/torn \xff.png")
    Path(torn).write_bytes(b"no picture")
    gone = os.fsdecode(bytes(scans[0].parent) + b"/gone \xff.png")
    assert read_to_store(reader, [torn, gone], path).not_read == 2
    messages = table(path).groupby("file")["message"].first()
    assert [r"gone \xff.png" in text for text in messages].count(True) == 1
    assert [r"torn \xff.png" in text for text in messages].count(True) == 1


def test_jobs_change_nothing(reader, scans, tmp_path):
    torn = scans[0].with_name("torn.png")
    torn.write_bytes(b"\x89PNG\r\n\x1a\n torn")
    pages = [*scans, torn] * 2
    read_to_store(reader, pages, tmp_path / "one.sqlite")
    told = read_to_store(reader, pages, tmp_path / "two.sqlite", n_jobs=2)
    assert told.read == 6 and told.not_read == 2  # the torn one is tried each time
    one, two = table(tmp_path / "one.sqlite"), table(tmp_path / "two.sqlite")
    assert one.to_csv() == two.to_csv()


@pytest.mark.slow
def test_a_worker_that_dies_costs_nothing(scans, tmp_path, monkeypatch):
    """One page kills its process for good, and another only the first time."""
    (tmp_path / "dying.py").write_text(
        "import os, pathlib\n"
        "from sktally import TallyCropper\n"
        "class Dying(TallyCropper):\n"
        "    def crop(self, X):\n"
        "        for name in map(pathlib.Path, X):\n"
        "            if name.name == 'station_1.png':\n"
        "                os.kill(os.getpid(), 9)\n"
        "            once = name.parent.parent / 'once'\n"
        "            if name.name == 'station_4.png' and not once.exists():\n"
        "                once.touch()\n"
        "                os.kill(os.getpid(), 9)\n"
        "        return super().crop(X)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    from dying import Dying

    reader = load_reader("example")
    good = read_tallies(reader, scans)
    reader.steps[0] = ("crop", Dying("example").fit())
    told = read_to_store(reader, scans, tmp_path / "votes.sqlite", n_jobs=2)
    assert (told.read, told.not_read) == (5, 1)
    found = table(tmp_path / "votes.sqlite")
    bad = found["file"].str.endswith("station_1.png")
    assert found[bad]["message"].str.contains("the process that read it died").all()
    same = [*good.columns]
    good = good[~good["file"].str.endswith("station_1.png")]
    assert found[~bad][same].equals(good.reset_index(drop=True))


def test_ctrl_c_ends_after_the_pages_under_way(reader, scans, tmp_path):
    path = tmp_path / "votes.sqlite"
    calls, before = [], signal.getsignal(signal.SIGINT)  # ignored in the background

    def interrupt(told):
        calls.append(told.done)
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    pages = []
    for i in range(3):  # more than are read at once
        for scan in scans:
            pages.append(scan.with_name(f"{i}_{scan.name}"))
            pages[-1].write_bytes(scan.read_bytes() + b"\0" * i)
    told = read_to_store(reader, pages, path, progress=interrupt)
    assert told.stopped and told.done == told.read == 16
    assert not read_to_store(reader, pages, path).stopped
    assert len(table(path)) == 6 * 18
    assert signal.getsignal(signal.SIGINT) is before


def test_works_in_a_thread(reader, scans, tmp_path):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(read_to_store(reader, scans[:1], tmp_path / "a.db"))
    )
    thread.start()
    thread.join()
    assert found[0].read == 1


def test_no_pages_at_all(reader, tmp_path):
    assert read_to_store(reader, [], tmp_path / "a.sqlite").done == 0
    assert len(table(tmp_path / "a.sqlite")) == 0


def test_what_is_no_page_or_reader(reader, made, scans, tmp_path):
    path = tmp_path / "a.sqlite"
    with pytest.raises(TallyError, match="expected the path of a file, got an array"):
        read_to_store(reader, [made.pages[0]], path)
    with pytest.raises(TallyError, match="reader: expected a Pipeline"):
        read_to_store(reader[-1], scans, path)
    with pytest.raises(TallyError, match="n_jobs"):
        read_to_store(reader, scans, path, n_jobs=0)
    assert not path.exists()


def test_where_a_store_may_be(scans, tmp_path):
    assert check_store_path(tmp_path / "a.sqlite", scans).name == "a.sqlite"
    with pytest.raises(StoreError, match="never writes beside its input"):
        check_store_path(scans[0].with_name("a.sqlite"), scans)
    with pytest.raises(StoreError, match="there is no folder"):
        check_store_path(tmp_path / "none" / "a.sqlite", scans)


@pytest.mark.parametrize("check", [check_store_path, check_table_path])
def test_nothing_is_written_beside_links_to_scans(scans, tmp_path, check):
    links, out = tmp_path / "links", tmp_path / "out"
    links.mkdir()
    out.mkdir()
    link = links / "scan.png"
    link.symlink_to(scans[0])
    name = "a.sqlite" if check is check_store_path else "a.csv"
    assert check(out / name, [link]) == out / name
    for folder in (links, scans[0].parent):
        with pytest.raises(TallyError, match=f"pages lie in {folder}, and sktally"):
            check(folder / name, [link])
    (tmp_path / "other").symlink_to(links)  # a folder by another name
    with pytest.raises(TallyError, match=f"pages lie in {links}, and sktally"):
        check(tmp_path / "other" / name, [f"{link}#page=1"])
    (out / name).symlink_to(links / name)  # a file that is elsewhere
    with pytest.raises(TallyError, match=f"pages lie in {links}, and sktally"):
        check(out / name, [link])


def test_what_is_no_store(tmp_path):
    with pytest.raises(StoreError, match="there is no file of this name"):
        Store(tmp_path / "none.sqlite")
    with pytest.raises(StoreError, match="there is no folder"):
        Store(tmp_path / "none" / "a.sqlite", make=True)
    text = tmp_path / "text.sqlite"
    text.write_text("file,page\n" * 100)
    with pytest.raises(StoreError, match="not a SQLite file"):
        Store(text, make=True)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as base:
        base.execute("CREATE TABLE mine (x)")
    base.close()
    with pytest.raises(StoreError, match="not one that sktally made"):
        Store(other, make=True)
    folder = tmp_path / "folder.sqlite"
    folder.mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(folder, make=True)


def change(path, *statements):
    base = sqlite3.connect(path)
    for statement in statements:
        base.execute(statement)
    base.commit()
    base.close()


def test_stores_of_other_versions(tmp_path):
    path = tmp_path / "a.sqlite"
    Store(path, make=True).close()
    change(path, "PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=f"version {_schema.VERSION} or older, got 99"):
        Store(path)
    empty = tmp_path / "empty.sqlite"
    empty.touch()  # version 0: brought to the newest
    with Store(empty) as store:
        assert store.ask("PRAGMA user_version") == [(_schema.VERSION,)]


def test_tables_that_were_tampered_with(tmp_path):
    path = tmp_path / "a.sqlite"
    Store(path, make=True).close()
    change(path, "CREATE TRIGGER spy AFTER INSERT ON pages BEGIN SELECT 1; END")
    with pytest.raises(StoreError, match="spy differ; somebody changed them"):
        Store(path)
    path.unlink()
    Store(path, make=True).close()
    change(
        path,
        "DROP TRIGGER fields_update",
        "CREATE TRIGGER fields_update AFTER INSERT ON fields BEGIN SELECT 1; END",
    )
    with pytest.raises(StoreError, match="fields_update differ"):
        Store(path)


def test_rows_cannot_be_changed_by_mistake(reader, scans, tmp_path):
    path = tmp_path / "a.sqlite"
    read_to_store(reader, scans[:1], path)
    with Store(path) as store:
        for statement in ("UPDATE fields SET count = 1", "DELETE FROM pages"):
            with pytest.raises(StoreError, match="are added, never changed"):
                store.ask(statement)


def test_a_store_that_another_process_holds(reader, scans, tmp_path, monkeypatch):
    path = tmp_path / "a.sqlite"
    read_to_store(reader, scans[:1], path)
    monkeypatch.setattr(_schema, "_PATIENCE", 0.1)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another process has been writing to it"):
        read_to_store(reader, scans, path)
    holder.execute("ROLLBACK")
    holder.close()
    assert read_to_store(reader, scans, path).before == 1


def test_a_full_store_keeps_what_it_has(reader, scans, tmp_path):
    path = tmp_path / "a.sqlite"
    read_to_store(reader, scans[:2], path)
    before = table(path)
    with Store(path) as store:
        pages = store.ask("PRAGMA page_count")[0][0]
        store.ask(f"PRAGMA max_page_count = {pages}")
        run, session = store.begin(store.run().reader, store.run().content)
        from sktally.tables._image import PageName
        from sktally.tables._records import PageRecord

        page = PageName.parse(scans[3])
        rows = [{"field": "01", "status": "ok", "message": "x" * 10**6}]
        record = PageRecord(page, *image_of(store, scans[3]), rows=rows)
        with pytest.raises(StoreError, match="the disk is full; what was committed"):
            store.add_pages(run, session, [record])
    assert table(path).equals(before)
    assert read_to_store(reader, scans, path).read == 4


def test_what_is_no_regular_file(reader, scans, tmp_path):
    loop, pipe = tmp_path / "loop.png", tmp_path / "pipe.png"
    loop.symlink_to(loop)
    os.mkfifo(pipe)
    path = tmp_path / "votes.sqlite"
    told = read_to_store(reader, [loop, pipe, tmp_path, scans[0]], path)
    assert (told.read, told.not_read) == (1, 3)
    messages = table(path).groupby("file")["message"].first()
    assert "got a pipe, socket or device" in messages[str(pipe)]
    assert "got a folder" in messages[str(tmp_path)]
    assert messages[str(loop)]


def test_pages_of_one_file_are_told_apart(reader, made, tmp_path):
    sheets = [Image.fromarray(page) for page in made.pages[:3]]
    file = tmp_path / "three.tif"
    sheets[0].save(file, save_all=True, append_images=sheets[1:])
    path = tmp_path / "store" / "votes.sqlite"
    path.parent.mkdir()
    assert read_to_store(reader, list_pages(file), path).read == 3
    found = table(path)
    assert found["page"].tolist() == [1] * 6 + [2] * 6 + [3] * 6
    assert found["sha256"].nunique() == 1
    right = found["count"].to_numpy(float) == made.counts[:3].ravel()
    assert right.mean() > 0.9
    with Store(path) as store:
        shown = show_page(store, f"{file}#page=2", "01", reader=reader)
    assert (
        "three.tif, page 2: ok" in shown.text and "read again: the same" in shown.text
    )


@pytest.mark.slow
def test_two_processes_read_into_one_store(scans, tmp_path):
    path = tmp_path / "votes.sqlite"
    pages = []
    for i in range(6):
        for scan in scans:
            pages.append(scan.with_name(f"{i}_{scan.name}"))
            pages[-1].write_bytes(scan.read_bytes() + b"\0" * i)
    command = [sys.executable, "-m", "sktally.cli", "read", str(scans[0].parent)]
    command += ["--form", "example", "--out", str(path), "--quiet"]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    with Store(path) as store:
        assert store.ask("SELECT COUNT(*) FROM pages") == [(36,)]
        assert len(store.runs()) == 1
        assert list(verify(store)) == []


def test_a_store_that_cannot_be_written_can_be_read(
    reader, scans, tmp_path, monkeypatch
):
    path = tmp_path / "votes.sqlite"
    read_to_store(reader, scans[:2], path)
    before = {p.name for p in tmp_path.iterdir()}
    # root may write anything, whatever the permissions are
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert len(table(path)) == 12
    with Store(path) as store:
        assert list(verify(store)) == []
        with pytest.raises(StoreError, match="cannot be written to; copy it"):
            store.begin("a", {})
    assert {p.name for p in tmp_path.iterdir()} == before
    path.with_name("votes.sqlite-wal").write_bytes(b"rest")
    with pytest.raises(StoreError, match="votes.sqlite-wal beside it holds a part"):
        Store(path)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_unexpected_error_costs_its_page_only(scans, tmp_path, monkeypatch, n_jobs):
    (tmp_path / "failing.py").write_text(
        "from sktally import TallyCropper\n"
        "class Failing(TallyCropper):\n"
        "    def crop(self, X):\n"
        "        if any(name.endswith('station_1.png') for name in X):\n"
        "            raise ZeroDivisionError('by nought')\n"
        "        return super().crop(X)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    from failing import Failing

    reader = load_reader("example")
    reader.steps[0] = ("crop", Failing("example").fit())
    told = read_to_store(reader, scans, tmp_path / "votes.sqlite", n_jobs=n_jobs)
    assert (told.read, told.not_read) == (5, 1)
    found = table(tmp_path / "votes.sqlite")
    bad = found[found["file"].str.endswith("station_1.png")]
    assert bad["message"].str.contains(r"ZeroDivisionError: by nought").all()


def test_a_worker_that_dies_while_it_answers(scans, tmp_path, monkeypatch):
    """What it left half said neither stops the others nor is waited for."""
    (tmp_path / "dying_late.py").write_text(
        "import multiprocessing, os, signal, threading\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from sktally import CellNormalizer\n"
        "def die(delay):\n"
        "    threading.Timer(delay, os.kill, [os.getpid(), signal.SIGKILL]).start()\n"
        "class Dying(CellNormalizer):\n"
        "    def transform(self, X):\n"
        "        left = sorted(Path(os.environ['DELAYS']).iterdir())\n"
        "        if not left or multiprocessing.parent_process() is None:\n"
        "            return super().transform(X)\n"
        "        left[0].unlink(missing_ok=True)\n"
        "        die(float(left[0].name))\n"
        "        return np.zeros(300_000_000, np.uint8)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    delays = tmp_path / "delays"
    delays.mkdir()
    monkeypatch.setenv("DELAYS", str(delays))
    for delay in (0.05, 0.1, 0.2, 0.3, 0.4):
        (delays / str(delay)).touch()
    from dying_late import Dying

    reader = load_reader("example")
    plain = reader.steps[1][1]
    reader.steps[1] = ("normalize", Dying(**plain.get_params()))
    vars(reader.steps[1][1]).update(vars(plain))
    told = read_to_store(reader, scans, tmp_path / "votes.sqlite", n_jobs=2)
    assert told.read + told.not_read == len(scans)


def test_pages_of_another_form_stay_not_read(reader, scans, tmp_path):
    blank = scans[0].with_name("blank.png")
    Image.new("L", (800, 1000), "white").save(blank)
    path = tmp_path / "votes.sqlite"
    for before in (0, 1):
        told = read_to_store(reader, [blank], path)
        assert (told.before, told.not_read) == (before, 1)
    assert table(path)["status"].eq("rejected").all()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_damaged_twins_are_rows_each(reader, scans, tmp_path, n_jobs):
    torn = [scans[0].with_name(f"torn_{i}.png") for i in range(3)]
    for file in torn:
        file.write_bytes(scans[0].read_bytes()[:2000])
    path = tmp_path / "votes.sqlite"
    told = read_to_store(reader, [*torn, scans[0]], path, n_jobs=n_jobs)
    assert (told.read, told.not_read, told.done) == (1, 3, 4)
    assert table(path)["file"].nunique() == 4


def test_a_script_that_cannot_start_workers_is_told(scans, tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from sktally import load_reader, read_to_store\n"
        f"pages = {[str(scan) for scan in scans]}\n"
        f"store = {str(tmp_path / 'votes.sqlite')!r}\n"
        "read_to_store(load_reader('example'), pages, store, n_jobs=2)\n"
    )
    found = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert found.returncode == 1
    assert "n_jobs=2: expected processes that start" in found.stderr
    assert len(table(tmp_path / "votes.sqlite")) == 0  # no page is to blame


def test_a_form_that_was_tampered_with(reader, scans, tmp_path):
    path = tmp_path / "votes.sqlite"
    read_to_store(reader, scans[:1], path)
    with Store(path) as store:
        run = store.run()
    run.content["form"]["toml"] = "name = "
    with pytest.raises(StoreError, match="run 1: expected the form that its pages"):
        form_of(run)
