"""No question on the way of a page looks at all rows, be there 100,000 pages."""

import shutil
import sqlite3
from contextlib import closing

from sktally import read_to_store
from sktally.tables import _base

# Once a reading: all files, whether they are there; runs, and the end of the chain.
ONCE = ("FROM files", "FROM unreadable", "FROM runs", "FROM chain ORDER BY id DESC")


def test_every_question_of_a_reading_has_its_index(
    reader, scans, tmp_path, monkeypatch
):
    statements = set()
    connect = _base.connect

    def traced(*args, **kwargs):
        base = connect(*args, **kwargs)
        base.set_trace_callback(statements.add)
        return base

    monkeypatch.setattr(_base, "connect", traced)
    old, new, path = tmp_path / "old", tmp_path / "new", tmp_path / "votes.sqlite"
    old.mkdir()
    for i, scan in enumerate([*scans[:3], scans[0]]):
        shutil.copy(scan, old / f"{i}.png")
    for name in ("bad.png", "worse.png"):
        (old / name).write_bytes(b"no image")
    read_to_store(reader, sorted(old.iterdir()), path)
    shutil.copy(scans[4], old / "1.png")
    read_to_store(reader, sorted(old.iterdir()), path)
    old.rename(new)
    (new / "2.png").unlink()
    read_to_store(reader, sorted(new.iterdir())[:-1], path)
    (new / "worse.png").unlink()
    read_to_store(reader, sorted(new.iterdir()), path, drop_gone=True)
    scanning = []
    with closing(sqlite3.connect(path)) as base:
        for statement in statements:
            if not statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
                continue
            plan = base.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            if any(step.startswith("SCAN") for *_, step in plan):
                scanning.append(statement)
    assert len(statements) > 40
    asked = [s for s in scanning if " WHERE " in s or not any(o in s for o in ONCE)]
    assert asked == []
