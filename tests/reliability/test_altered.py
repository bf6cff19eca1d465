"""Stores that were damaged, or altered past their triggers, are told or still right.

`verify` is what finds an alteration; the other verbs must only end in our words.
"""

import os
import shutil
import sqlite3
from contextlib import closing

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from sktally import TallyError, make_tally_pages, read_to_store
from sktally.persist import model_origin, reader_of_run
from sktally.tables import (
    Store,
    disagreements,
    edits_table,
    import_edits,
    show_page,
    store_status,
    store_table,
    verify,
)
from sktally.tables._typed import ask_typed

FULL = os.environ.get("SKTALLY_RELIABILITY") == "full"
FUZZ = settings(
    max_examples=2000 if FULL else 40,
    derandomize=not FULL,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
SAFE = {
    "status": store_status,
    "export": store_table,
    "edits export": edits_table,
    "disagreements": disagreements,
    "verify": lambda store: list(verify(store)),
    "run": lambda store: store.run(),
}
VERBS = SAFE | {
    "show": lambda store: show_page(store, "s.png", "01"),
    "again": lambda store: reader_of_run(store.run()),
}


@pytest.fixture(scope="module")
def whole(reader, tmp_path_factory):
    """Return a store with a page, a file that could not be read, and entries."""
    folder = tmp_path_factory.mktemp("altered")
    scan, path = folder / "scans" / "s.png", folder / "whole.sqlite"
    scan.parent.mkdir()
    made = make_tally_pages(1, form="example", random_state=0)
    Image.fromarray(made.pages[0]).save(scan)
    pages = [scan, scan.with_name("gone.png")]
    read_to_store(reader, pages, path, origin=model_origin("default"))
    rows = {"file": "s.png", "field": ["01", "01"], "who": ["ana", "ben"]}
    with Store(path) as store:
        entries = pd.DataFrame(rows | {"count": ["5", "6"]})
        assert import_edits(store, entries, purpose="entry") == (2, 0)
        assert list(verify(store)) == []
        for verb in VERBS.values():
            verb(store)
    return path


def copied(whole):
    path = whole.with_name("altered.sqlite")
    for file in whole.parent.glob("altered.sqlite*"):
        file.unlink()
    shutil.copy(whole, path)
    return path


def altered(whole, *statements):
    """Return a copy in which statements were run past the triggers."""
    path = copied(whole)
    with closing(sqlite3.connect(path)) as base:
        triggers = base.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall()
        for name, _ in triggers:
            base.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            base.execute(statement)
        for _, statement in triggers:
            base.execute(statement)
        base.commit()
    return path


def tried(path, verbs):
    """Run verbs; return the names of those that ended well."""
    well = []
    for name, verb in verbs.items():
        try:
            with Store(path) as store:
                verb(store)
        except TallyError as error:
            assert str(error).strip()
        else:
            well.append(name)
    return well


@FUZZ
@given(data=st.data())
def test_damaged_files_are_told(whole, data):
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        at = data.draw(st.integers(0, len(content)))
        patch = data.draw(st.one_of(st.binary(max_size=40), st.just(bytes(500))))
        content[at : at + len(patch)] = patch
    if data.draw(st.sampled_from([False, False, True])):
        del content[data.draw(st.integers(0, len(content))) :]
    path = copied(whole)
    path.write_bytes(content)
    tried(path, SAFE)


COLUMNS = {
    "runs": ["reader", "content"],
    "sessions": ["content"],
    "pages": ["sha256", "number", "file", "status", "message", "tally_quality"],
    "fields": ["field", "boxes", "count", "confidence", "status", "polygons", "proba"],
    "edits": ["sha256", "number", "field", "purpose", "count", "who", "why", "file"],
    "chain": ["kind", "ref", "hash"],
    "files": ["file", "sha256", "size", "mtime_ns"],
    "unreadable": ["file", "number", "message"],
}
VALUES = ["'x'", "x'ff00'", "-1", "1e308", "9e999", "''", "'['", "'[1]'", "x''", "1.5"]
SETTINGS = "UPDATE runs SET content = json_set(content, '$.settings', json('{}'))"
PATH = "UPDATE runs SET content = json_set(content, '$.model.path', 5)"
CHANGES = st.sampled_from(sorted(COLUMNS)).flatmap(
    lambda table: st.tuples(
        st.just(table), st.sampled_from(COLUMNS[table]), st.sampled_from(VALUES)
    )
)


@FUZZ
@given(CHANGES)
@example(("fields", "count", "1e308"))
@example(("fields", "count", "9e999"))
@example(("fields", "count", "'['"))
@example(("pages", "number", "x''"))
@example(("edits", "count", "'x'"))
@example(("unreadable", "number", "9e999"))
@example(("runs", "content", "'[1]'"))
def test_values_of_other_types_are_told(whole, change):
    table, column, value = change
    path = altered(whole, f"UPDATE OR IGNORE {table} SET {column} = {value}")
    well = tried(path, SAFE)
    evidence = table not in ("files", "unreadable")
    with Store(whole) as store:
        ask = f"SELECT {column} FROM {table} ORDER BY {column}"
        before = store.ask(ask)
    with closing(sqlite3.connect(path)) as base:
        changed = base.execute(ask).fetchall() != before
    if evidence and changed and "verify" in well:
        with Store(path) as store:
            assert list(verify(store))


@pytest.mark.parametrize(
    ("verb", "statement", "message"),
    [
        ("export", "UPDATE fields SET count = 1e308", "expected a whole number"),
        ("status", "UPDATE fields SET count = 'x'", "expected a whole number"),
        ("edits export", "UPDATE edits SET count = x''", "expected a whole number"),
        ("again", SETTINGS, "settings of a reader"),
        ("export", "UPDATE runs SET content = '[]'", "not described as sktally does"),
    ],
)
def test_what_is_said_of_altered_stores(whole, verb, statement, message):
    with (
        Store(altered(whole, statement)) as store,
        pytest.raises(TallyError, match=message),
    ):
        VERBS[verb](store)


@pytest.mark.parametrize(
    "statement", ["UPDATE pages SET sha256 = 'x'", "UPDATE files SET path = 1"]
)
def test_a_scan_that_an_altered_store_does_not_lead_to_is_not_shown(whole, statement):
    with Store(altered(whole, statement)) as store:
        shown = VERBS["show"](store)
    assert shown.picture is None
    assert "not compared with the scan: put it back for that, and s" in shown.problem


@pytest.mark.parametrize(
    ("verb", "statement"),
    [
        ("export", "DELETE FROM sessions"),
        ("verify", "UPDATE files SET path = 1"),
        ("verify", PATH),
        ("show", "DELETE FROM chain"),
        ("show", "DELETE FROM fields"),
        ("show", "UPDATE pages SET transform = '[1]'"),
        ("show", "UPDATE pages SET transform = '['"),
        ("show", "UPDATE pages SET score = 'x'"),
        ("show", "UPDATE pages SET residual = x'00'"),
        ("show", "UPDATE fields SET polygons = x'00'"),
        ("show", "UPDATE fields SET proba = x'00'"),
        ("show", "UPDATE fields SET confidence = 'x'"),
    ],
)
def test_altered_stores_end_in_our_words(whole, verb, statement):
    tried(altered(whole, statement), {verb: VERBS[verb]})


def test_show_of_a_store_whose_fields_are_damaged(whole):
    path = copied(whole)
    with Store(path) as store:
        ask = "SELECT rootpage FROM sqlite_master WHERE name = 'fields'"
        root, size = store.ask(ask)[0][0], store.ask("PRAGMA page_size")[0][0]
    content = bytearray(path.read_bytes())
    content[(root - 1) * size : root * size] = b"\xff" * size
    path.write_bytes(content)
    tried(path, {"show": VERBS["show"]})


def test_numbers_of_pages_are_never_missing(whole):
    """Not even in rows whose bytes are damaged."""
    with (
        Store(whole) as store,
        pytest.raises(TallyError, match="number: expected a whole number, got None"),
    ):
        ask_typed(store, "SELECT file, NULL AS number FROM pages")


def test_reading_into_a_damaged_store_ends_in_our_words(reader, whole):
    path = copied(whole)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    scan = whole.parent / "scans" / "s.png"
    with pytest.raises(TallyError, match=r"altered.sqlite: .*go back|recover"):
        read_to_store(reader, [scan], path, origin=model_origin("default"))
