"""Parts of a report on their own: words, places of marks, batches, shifts, notes."""

import shutil
import sqlite3

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sktally.exceptions import TallyError
from sktally.report import write_report
from sktally.report._batches import batch_names, find_batches
from sktally.report._charts import WIDTH, bars, ends, reliability, segments
from sktally.report._pages import Pages
from sktally.report._render import visible
from sktally.report._shift import shift_notes
from sktally.report._words import percent
from sktally.tables import Store
from sktally.tables._image import FileState, PageName
from sktally.tables._records import PageRecord
from sktally.votes import reliability_curve

shares = st.floats(0, 1)


@given(shares, st.integers(0, 3))
@example(0.995, 0)
def test_percent_is_all_or_nothing_only_where_that_is_so(share, digits):
    text = percent(share, digits)
    assert text.endswith("\u00a0%")
    number = float(text.removesuffix("\u00a0%").split()[-1])
    assert (number == 0) == (share == 0) or text.startswith("under")
    assert (number == 100) == (100 * share == 100)
    if not text.startswith(("under", "over")):
        assert abs(number - 100 * share) <= 0.5 * 10**-digits + 1e-9


@given(st.text())
def test_nothing_that_is_written_hides_or_turns_text(text):
    shown = visible(text)
    assert not any(c in shown for c in "\u202a\u202e\u2066\u200f\x00\x1b\x85")
    shown.encode("utf-8")
    assert visible(shown) == shown


@given(st.lists(st.tuples(st.text(), st.integers(0, 10**9)), max_size=30))
def test_bars_stay_in_their_drawing(rows):
    drawn = bars((name, n, f"{n:,}") for name, n in rows)
    for row, (_, n) in zip(drawn["rows"], rows):
        assert 0 <= row["width"] <= WIDTH and (row["width"] > 0) == (n > 0)
        end = drawn["left"] + row["width"] + 6 + 6.6 * len(row["text"])
        assert end <= WIDTH + 1
        assert row["y"] + 24 <= drawn["height"]
    widths = [row["width"] for row in drawn["rows"]]
    order = np.argsort([n for _, n in rows], kind="stable")
    assert (np.diff(np.array(widths)[order]) >= 0).all()


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=6))
def test_segments_are_seen_where_there_is_something(numbers):
    drawn = segments([("x", n, "good") for n in numbers])
    assert len(drawn["parts"]) == sum(n > 0 for n in numbers)
    for part in drawn["parts"]:
        assert part["width"] >= 2 and part["x"] >= 0
        assert part["x"] + part["width"] <= WIDTH + 1e-6


@given(st.lists(st.tuples(*[shares] * 5).map(sorted), min_size=1, max_size=8))
def test_shares_and_their_intervals_stay_in_their_drawing(rows):
    names = ["share_lowest", "share_lower", "share", "share_upper", "share_highest"]
    table = pd.DataFrame(rows, columns=names).assign(field="a party with a long name")
    drawn = ends(table)
    for row in drawn["rows"]:
        at = [row[name] for name in ("lowest", "low", "at", "high", "highest")]
        assert at == sorted(at) and 0 <= at[0] and at[-1] <= WIDTH
    places = [x for x, _ in drawn["ticks"]]
    assert places == sorted(places) and max(places) <= WIDTH


def test_parties_without_a_share_have_no_marks():
    names = ["share_lowest", "share_lower", "share", "share_upper", "share_highest"]
    table = pd.DataFrame([[np.nan] * 5, [0.1] * 5], columns=names).assign(field="x")
    assert ends(table)["rows"][0]["at"] is None
    assert ends(table)["rows"][1]["at"] is not None


@given(st.lists(st.tuples(shares, st.booleans()), min_size=1, max_size=60))
def test_points_of_reliability_stay_in_their_square(rows):
    said, right = zip(*rows)
    curve = reliability_curve(np.array(right, float), np.array(said))
    drawn = reliability(curve)
    left, top, room = drawn["edge"], drawn["top"], drawn["room"]
    for point in drawn["points"]:
        assert left - 1e-6 <= point["x"] <= left + room + 1e-6
        for name in ("y", "low", "high"):
            assert top - 1e-6 <= point[name] <= top + room + 1e-6


def pages_of(n, folder="scans"):
    rows = {
        "id": np.arange(1, n + 1),
        "file": [f"{folder}/{i}.png" for i in range(n)],
        "page": 1,
        "status": "ok",
        "message": "",
        "quality": 0.9,
        "read_at": "2026-01-01T10:00:00+00:00",
        "unsure": 0,
        "doubt": 0.0,
    }
    return Pages(pd.DataFrame(rows), 0)


@pytest.mark.parametrize(
    ("n", "first", "n_batches"),
    [(0, None, 0), (7, "1 to 7", 1), (45, "1 to 22", 2), (500, "1 to 50", 10)],
)
def test_sheets_of_one_folder_are_parted_in_order(n, first, n_batches):
    pages = pages_of(n)
    found = find_batches(pages, *batch_names(pages, [], None))
    assert found.what == "order of reading" and found.n == n_batches
    assert int(found.table["n"].sum()) == n
    assert first is None or found.table["batch"].iloc[0] == first


def test_batches_in_most_trouble_come_first():
    pages = pages_of(6)
    pages.table.loc[2:3, "file"] = ["scans/b/2.png", "scans/b/3.png"]
    pages.table.loc[2, "status"] = "rejected"
    pages.table.loc[5, "unsure"] = 1
    found = find_batches(pages, *batch_names(pages, [], None))
    assert found.what == "folder" and found.table["batch"].tolist() == ["b", "."]
    assert found.table["trouble"].tolist() == [0.5, 0.25]


@pytest.fixture(scope="module")
def shifted(tmp_path_factory, whole):
    """A store of 120 sheets, of which the reader is less sure on the last 40."""
    path = tmp_path_factory.mktemp("shift") / "votes.sqlite"
    shutil.copy(whole.store, path)
    rng = np.random.default_rng(0)
    with Store(path) as store:
        run = store.run()
        records = []
        for i in range(120):
            proba = rng.dirichlet([0.01 if i < 80 else 0.05] * 12, (6, 3))
            rows = [{"field": f, "status": "ok", "message": ""} for f in run.fields]
            page = PageName.parse(f"/made/{'ab'[i >= 80]}/{i}.png")
            state = FileState(i, i, i)
            records.append(PageRecord(page, f"{i:064x}", state, rows=rows, proba=proba))
        store.add_pages(run, 1, records)
        ids = [
            n for (n,) in store.ask("SELECT id FROM pages WHERE file LIKE '/made/%'")
        ]
    return path, ids


def test_batches_of_which_the_reader_is_less_sure_are_noted(shifted):
    path, ids = shifted
    pages = pages_of(120)
    pages.table["id"] = ids
    batch = pd.Series(["a"] * 40 + ["b"] * 40 + ["c"] * 40)
    with Store(path) as store:
        notes = list(shift_notes(store, store.run(), pages, batch, []))
        assert len(notes) == 1 and notes[0].where == "batches"
        assert "c (shares differ by" in notes[0].lines[-1]
        alike = list(shift_notes(store, store.run(), pages, batch, ids[::3]))
        assert [note.where for note in alike] == ["batches"]
        picked = list(shift_notes(store, store.run(), pages, batch, ids[85:]))
        assert [note.where for note in picked] == ["reliability", "batches"]
        few = list(shift_notes(store, store.run(), pages, batch, ids[110:]))
        assert [note.where for note in few] == ["batches"]


@pytest.mark.parametrize(
    "change",
    [
        "fields SET confidence = 'x'",
        "fields SET count = 'x'",
        "fields SET count = -5",
        "fields SET proba = x'00'",
        "fields SET polygons = 'x'",
        "fields SET field = 'other'",
        "fields SET status = x'ff'",
        "pages SET file = x'ff'",
        "pages SET tally_quality = 'x'",
        "pages SET status = 5",
        "pages SET turn = 'x'",
        "pages SET read_at = 5",
        "pages SET number = 'x'",
        "pages SET sha256 = 5",
        "runs SET content = '{}'",
        "sessions SET content = 'x'",
        "reconciled SET holds = 'x'",
        "reconciliations SET content = '[]'",
        "edits SET count = 'x'",
        "edits SET who = NULL",
        "unreadable SET message = 5",
        "files SET path = 5",
        "files SET file = x'ff'",
    ],
)
def test_stores_altered_at_will_end_in_a_report_or_an_error(full, tmp_path, change):
    path = shutil.copy(full, tmp_path / "votes.sqlite")
    base = sqlite3.connect(path)
    triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    triggers = base.execute(triggers).fetchall()
    for name, _ in triggers:
        base.execute(f"DROP TRIGGER {name}")
    try:
        base.execute(f"UPDATE OR REPLACE {change}")
    except sqlite3.IntegrityError:  # no store can be altered so
        base.rollback()
    for _, sql in triggers:
        base.execute(sql)
    base.commit()
    base.close()
    out = tmp_path / "report.html"
    try:
        write_report(path, out, worst=2, intervals=False)
    except TallyError:
        assert not out.exists()
