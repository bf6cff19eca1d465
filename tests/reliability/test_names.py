"""Odd names and odd files, wherever a file is named: told, and never waited for."""

import os
import random
import shutil
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest

from sktally import (
    TallyError,
    list_pages,
    load_form,
    load_model,
    load_reader,
    read_page,
    read_tallies,
    read_to_store,
    save_model,
)
from sktally.digits._weights import find_model
from sktally.tables import (
    Store,
    check_store_path,
    check_table_path,
    import_edits,
    join_stations,
    show_page,
    store_table,
    verify,
)

BUSY = 60 if os.environ.get("SKTALLY_RELIABILITY") == "full" else 3  # seconds


@pytest.fixture(scope="module")
def some(scans, tmp_path_factory):
    """Two scans in a folder of their own, and a store of them beside it."""
    folder = tmp_path_factory.mktemp("names") / "some"
    folder.mkdir()
    for scan in sorted(scans.iterdir())[:2]:
        shutil.copy(scan, folder)
    return folder


@pytest.fixture(scope="module")
def store(reader, some):
    read_to_store(reader, list_pages(some), some.parent / "votes.sqlite")
    with Store(some.parent / "votes.sqlite") as opened:
        yield opened


NAMES = {
    "NUL": "a\0b",
    "too long": "n" * 300,
    "too deep": "/".join(["d" * 200] * 30),
    "link to itself": "loop",
    "in a link to itself": "loop/x",
    "half a character": "\ud800",
    "below a file": "file/x",
}
USES = {
    "form": lambda name, _: load_form(f"{name}.toml"),
    "shipped form": lambda name, _: load_form(name),
    "model": lambda name, _: load_model(name),
    "saved model": lambda name, _: save_model(load_reader("example"), name),
    "store": lambda name, _: Store(name),
    "new store": lambda name, _: Store(f"{name}/x.sqlite", make=True),
    "edits": lambda name, store: import_edits(store, name),
    "stations": lambda name, store: join_stations(store_table(store), name),
    "page": lambda name, _: read_page(name),
    "page by number": lambda name, _: read_page(f"{name}#page=2"),
    "show": lambda name, store: show_page(store, name),
}


@pytest.fixture
def odd_folder(tmp_path, monkeypatch):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")
    (tmp_path / "file").write_text("text")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_to_nothing_are_told(odd_folder, store, use, name):
    if use == "saved model" and name == "link to itself":
        pytest.skip("loop.json is a name as good as any")
    with pytest.raises(TallyError) as caught:
        USES[use](NAMES[name], store)
    assert len(str(caught.value)) > 20


@pytest.mark.parametrize("name", NAMES)
def test_pages_that_lead_to_nothing_are_rows(odd_folder, reader, some, name):
    pages = [*list_pages(some), NAMES[name]]
    path = some.parent / "odd.sqlite"
    path.unlink(missing_ok=True)
    assert check_store_path(path, pages) == path
    told = read_to_store(reader, pages, path)
    assert (told.read, told.not_read) == (2, 1)
    with Store(path) as store:
        assert len(store_table(store)) == 18
        assert list(verify(store)) == []


@pytest.mark.parametrize("name", ["NUL", "link to itself", "half a character"])
def test_tables_of_pages_that_lead_to_nothing(odd_folder, tmp_path_factory, name):
    path = tmp_path_factory.mktemp("out") / "votes.csv"
    assert check_table_path(path, [NAMES[name]]) == path


def test_tables_of_names_in_any_encoding(reader, some, tmp_path):
    odd = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.jpg")
    shutil.copy(list_pages(some)[0], odd)
    table = read_tallies(reader, [odd])
    assert table["file"].str.endswith(r"caf\xe9.jpg").all()


def test_commands_take_names_in_any_encoding(some, tmp_path):
    folder, path = tmp_path / "scans", tmp_path / "votes.sqlite"
    folder.mkdir()
    odd = os.fsdecode(bytes(folder) + b"/caf\xe9.jpg")
    long = folder / ("n" * 251 + ".jpg")
    for scan, name in zip(list_pages(some), (odd, long)):
        shutil.copy(scan, name)
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    (folder / "round").symlink_to(folder)
    command = [sys.executable, "-m", "sktally.cli"]
    arguments = ["read", folder, "--recursive", "--form", "example", "--out", path]
    found = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert found.returncode == 3 and "2 read now" in found.stderr, found.stderr
    edits = tmp_path / "edits.csv"
    edits.write_text("file,field,who,count\ncaf\\xe9.jpg,01,ana,5\n")
    with Store(path) as store:
        assert import_edits(store, edits) == (1, 0)
        assert show_page(store, odd).text.count("correction by ana") == 1
        assert list(verify(store)) == []
    found = subprocess.run([*command, "export", path], capture_output=True, text=True)
    assert found.returncode == 0 and r"caf\xe9.jpg,1,01" in found.stdout


@pytest.mark.parametrize("what", ["form", "weights", "store", "list"])
def test_pipes_are_not_waited_for(some, tmp_path, at_most, what):
    pipe = tmp_path / "pipe.toml"
    if what == "weights":
        shutil.copy(find_model("default"), tmp_path / "pipe.json")
        pipe = tmp_path / "pipe.safetensors"
    os.mkfifo(pipe)
    use = {"form": load_form, "weights": load_model, "store": Store, "list": read_page}
    with at_most(20), pytest.raises(TallyError, match=r"regular|pipe|no file"):
        use[what](pipe)


def test_files_that_change_while_they_are_read(reader, scans, tmp_path):
    """Whatever is read while a scanner writes: at the end bytes and counts agree."""
    sources = [scan.read_bytes() for scan in sorted(scans.iterdir())[:6]]
    folder = tmp_path / "busy"
    folder.mkdir()
    files = [folder / f"{i}.jpg" for i in range(6)]
    stop, draw = threading.Event(), random.Random(0)

    def write():
        while not stop.wait(draw.uniform(0.02, 0.1)):
            file, content = draw.choice(files), draw.choice(sources)
            half = len(content) // draw.choice([1, 2])
            with file.open("wb") as stream:  # in place, some of it for a while torn
                stream.write(content[:half])
                stream.flush()
                stop.wait(draw.uniform(0, 0.05))
                stream.write(content[half:])

    for file, content in zip(files, sources):
        file.write_bytes(content)
    path = tmp_path / "votes.sqlite"
    writer = threading.Thread(target=write)
    writer.start()
    try:
        end, n_not_read = time.monotonic() + BUSY, 0
        while time.monotonic() < end:
            told = read_to_store(reader, files, path)
            assert told.done == 6
            n_not_read += told.not_read
    finally:
        stop.set()
        writer.join()
    assert n_not_read > 0  # torn, or another when it was read than when it was hashed
    assert read_to_store(reader, files, path).not_read == 0
    still = tmp_path / "still.sqlite"
    clean = tmp_path / "clean"
    clean.mkdir()
    for i, content in enumerate(sources):
        (clean / f"{i}.jpg").write_bytes(content)
    read_to_store(reader, list_pages(clean), still)
    keys, tables = ["sha256", "field"], []
    for name in (path, still):
        with Store(name) as store:
            table = store_table(store, replaced=True)
            tables.append(table[table["status"] != "failed"].set_index(keys)["count"])
            assert [p for p in verify(store) if not p.startswith("image")] == []
    both = pd.concat(tables, axis=1, join="inner", keys=["busy", "still"])
    assert len(both) >= 6 and both["busy"].equals(both["still"].rename("busy"))
