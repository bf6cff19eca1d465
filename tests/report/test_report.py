"""What a report says, that it escapes, and that it refuses what it cannot do."""

import re
import shutil
import sqlite3
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from sktally import TallyForm, load_reader, read_to_store, vote_totals
from sktally.cli import main
from sktally.exceptions import StoreError, TallyError, TallyWarning
from sktally.report import write_report as write_whole_report
from sktally.report._pages import gather_pages
from sktally.tables import Store, _schema, import_edits, store_status, sums_table
from sktally.tables._image import FileState, PageName
from sktally.tables._records import PageRecord
from sktally.totals import ranking

write_report = partial(write_whole_report, images=False)  # quicker

quiet = pytest.mark.filterwarnings("ignore::sktally.exceptions.TallyWarning")


@pytest.fixture(scope="module")
def report(full, stations, tmp_path_factory, parsed):
    out = tmp_path_factory.mktemp("out") / "report.html"
    how = {"title": "<script>alert(0)</script> \u202evil", "by": "district"}
    write_whole_report(full, out, stations=stations, **how)
    return parsed(out)


def test_sheets_and_counts_are_those_of_the_store(report, full):
    with Store(full) as store:
        status = store_status(store)
    assert "pages: 12 read, 0 of them doubtful, 1 rejected, 1 that could not" in status
    assert "12 of 14 sheets were read." in report.text
    assert "They hold 72 counts, all of them read for sure." in report.text
    assert "blank.png" in report.text and "damaged.png" in report.text


@quiet
def test_totals_are_those_of_vote_totals(report, full, stations):
    found = vote_totals(full, stations=stations, random_state=0)
    for row in found.table.itertuples():
        assert f"{row.field} {row.total:,} {row.lower:,}–{row.upper:,}" in report.text
    assert f"{ranking(found)}." in report.text
    grouped = vote_totals(full, stations=stations, by="district", random_state=0)
    row = grouped.table[grouped.table["district"] == "N"].iloc[0]
    assert f"{row['district']} {row['field']} {row['total']:,} " in report.text


def test_sums_are_those_of_the_sums_table(report, full):
    with Store(full) as store:
        table = sums_table(store)
    for name, part in table.groupby("sum"):
        holds = int((part["difference"] == 0).sum())
        erred = [int((part["erred"] == who).sum()) for who in ("clerk", "machine")]
        assert f"{name} {holds} {erred[0]} {erred[1]} 0" in report.text
    n = int((table["difference"] != 0).sum())
    assert f"{n} sums do not hold as read: " in report.text
    assert "station_" in report.text and "Holds on paper" in report.text


def test_audits_say_how_often_the_machine_is_right(report, full, made):
    with Store(full) as store:
        ask = (
            "SELECT f.count FROM pages p JOIN fields f ON f.page = p.id WHERE p.status"
        )
        counts = [n for (n,) in store.ask(f"{ask} = 'ok' ORDER BY p.id, f.place")]
    right = sum(a == b for a, b in zip(counts, made.counts.ravel().tolist()))
    assert (
        f"Audits have read 72 counts on 12 sheets: {100 * right / 72:.1f}"
        in report.text
    )
    assert "Reliability by confidence; Brier score 0." in report.text
    assert "audit 72 72 12 1" in report.text


def test_warnings_are_inside(report):
    for text in (
        "2 sheets were not read; no votes of them are counted.",
        "Readings of 1 count disagree; no total holds these.",
        "2 stations without a sheet.",
        "2 sheets without a station in the list.",
        "1 file has the bytes of another and counts once.",
    ):
        assert text in report.text
    assert report.text.count("without a station in the list") == 1


def test_names_are_escaped(report):
    names = [name for name, _ in report.tags]
    assert not {"script", "b", "i", "iframe", "object"} & set(names)
    for i in range(4):
        assert f"<script>alert({i})" in report.text
    assert "<b>south & 'east'" in report.text and "<i>gone</i>" in report.text
    assert "\u202e" not in report.text and "\\u202evil" in report.text
    for _, attributes in report.tags:
        assert not [name for name in attributes if name.startswith("on")]


def test_names_of_fields_are_escaped(tmp_path, parsed):
    names = ["<script>alert(4)</script>", "a & b's", "<b>all"]
    square = {"start": [100, 100], "box": [40, 50], "places": 1}
    form = TallyForm.from_dict(
        {
            "name": "<i>form",
            "title": "</title><script>alert(5)</script>",
            "page": {"width": 600, "height": 600},
            "fields": [{"name": name, **square} for name in names],
            "sums": {names[2]: names[:2]},
        }
    )
    content = {
        "form": {"name": form.name, "sha256": form.fingerprint(), "fields": names},
        "model": {"sha256": "0" * 64, "name": "<img src=x onerror=alert(6)>"},
        "settings": {},
    }
    content["form"]["toml"] = form.to_toml()
    proba = np.full((3, 1, 12), 1 / 12)
    rows = [
        {"field": name, "boxes": str(n), "count": n, "confidence": 0.5}
        | {"status": "ok", "message": "<u>", "tally_quality": 0.5}
        for name, n in zip(names, (1, 2, 4))
    ]
    page = PageName.parse("/scans/1.png")
    record = PageRecord(page, "0" * 64, FileState(1, 1, 1), rows=rows, proba=proba)
    with Store(tmp_path / "v.sqlite", make=True) as store:
        run, session = store.begin("made", content)
        store.add_pages(run, session, [record])
    found = parsed(write_report(tmp_path / "v.sqlite", tmp_path / "r.html"))
    assert not {"script", "i", "b", "u", "img"} & {name for name, _ in found.tags}
    for text in (*names, "alert(5)", "onerror=alert(6)"):
        assert text in found.text


def test_nothing_is_asked_of_any_server(report):
    for _, attributes in report.tags:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert re.match("#|data:", attributes.get(name, "#"))
    policy = [m for m in report.all("meta") if "http-equiv" in m][0]["content"]
    assert policy.startswith("default-src 'none'")


def test_screen_readers_find_their_way(report):
    assert report.all("html") == [{"lang": "en"}]
    assert len(report.ids) == len(set(report.ids))
    for _, attributes in report.tags:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in report.ids
        for name in attributes.get("aria-labelledby", "").split():
            assert name in report.ids
    levels = [int(tag[1]) for tag, _ in report.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:]))
    assert len(report.all("caption")) == len(report.all("table"))
    assert all(found.get("scope") in ("col", "row") for found in report.all("th"))
    assert all(found["alt"] for found in report.all("img"))
    charts = report.all("svg")
    assert len(charts) == 5 and all(found["role"] == "img" for found in charts)
    assert len(report.all("main")) == len(report.all("nav")) == 1


def test_the_same_store_makes_the_same_bytes(full, tmp_path, parsed):
    first, second = (
        write_report(full, tmp_path / name) for name in ("a.html", "b.htm")
    )
    assert first.read_bytes() == second.read_bytes()
    dated = write_report(full, tmp_path / "c.html", dated=True)
    lines = dated.read_text().replace("This report was made at", "").splitlines()
    others = set(lines) ^ set(first.read_text().splitlines())
    assert len(parsed(dated).all("time")) == 1 and len(others) == 2


def test_boxes_are_cut_out_of_the_scans_that_are_still_there(whole, tmp_path, parsed):
    found = parsed(write_whole_report(whole.store, tmp_path / "r.html", worst=3))
    assert len(found.all("img")) == 3 * 7 + 1 and len(found.all("article")) == 3
    assert found.all("img")[0]["src"].startswith("data:image/png;base64,iVBOR")
    plain = parsed(write_report(whole.store, tmp_path / "r.html"))
    assert not plain.all("img") and "Pictures were left out" in plain.text
    none = parsed(write_report(whole.store, tmp_path / "r.html", worst=0))
    assert not none.all("article")


def test_a_scan_that_is_gone_or_another_is_said_to_be(tmp_path, made, parsed):
    scans = tmp_path / "scans"
    scans.mkdir()
    for i in range(2):
        _write(scans / f"{i}.png", made.pages[i])
    pages, store = [str(scans / f"{i}.png") for i in range(2)], tmp_path / "v.sqlite"
    read_to_store(load_reader("example"), pages, store)
    (scans / "0.png").unlink()
    (scans / "1.png").write_bytes(b"other")
    found = parsed(write_whole_report(store, tmp_path / "r.html"))
    assert not found.all("img")
    assert found.text.count("no pictures: the file that was read is gone") == 2
    assert "Do not rely" not in found.text
    found = parsed(write_whole_report(store, tmp_path / "r.html", scans=True))
    assert "is not as it was written (2 problems)" in found.text


def _write(path, page):
    import cv2

    cv2.imwrite(str(path), page)


def test_an_altered_store_is_said_to_be_at_the_top(store, tmp_path, parsed):
    base = sqlite3.connect(store)
    triggers = base.execute("SELECT name, sql FROM sqlite_master WHERE type='trigger'")
    triggers = triggers.fetchall()
    for name, _ in triggers:
        base.execute(f"DROP TRIGGER {name}")
    base.execute("UPDATE fields SET count = 7 WHERE page = 2 AND place = 0")
    for _, sql in triggers:
        base.execute(sql)
    base.commit()
    base.close()
    found = parsed(write_report(store, tmp_path / "r.html"))
    assert (
        "Do not rely on this report. The store is not as it was written" in found.text
    )
    assert "was altered (link" in found.text


def test_what_is_missing_is_said_how_to_get(whole, tmp_path, parsed):
    text = parsed(write_report(whole.store, tmp_path / "r.html")).text
    assert "sktally edits import votes.sqlite audit.csv --purpose audit" in text
    assert "sktally reconcile votes.sqlite" in text
    assert "Nobody has corrected, entered or audited a count." in text


def test_batches_are_folders_days_or_columns(whole, stations, tmp_path, parsed):
    text = parsed(write_report(whole.store, tmp_path / "r.html")).text
    assert "Batches are by folder" in text and "north 8 6 0 25.0" in text
    text = parsed(write_report(whole.store, tmp_path / "r.html", by="day")).text
    assert "Batches are by day of reading" in text
    how = {"stations": stations, "by": ["district", "voters"]}
    text = parsed(write_report(whole.store, tmp_path / "r.html", **how)).text
    assert "Batches are by district, voters" in text and "N, 900 6 6 0 0" in text
    with pytest.raises(TallyError, match="by: expected columns of the stations, or"):
        write_report(whole.store, tmp_path / "r.html", by="town")


@quiet
def test_a_report_without_intervals_has_the_same_totals(whole, tmp_path, parsed):
    text = parsed(write_report(whole.store, tmp_path / "r.html", intervals=False)).text
    table = vote_totals(whole.store, random_state=0).table
    for row in table.itertuples():
        assert f"{row.field} {row.total:,} {row.total:,}–" in text


def test_a_run_of_no_sheets_is_reported(tmp_path, parsed):
    store = tmp_path / "v.sqlite"
    read_to_store(load_reader("example"), [str(tmp_path / "gone.png")], store)
    (tmp_path / "out").mkdir()
    text = parsed(write_report(store, tmp_path / "out" / "r.html")).text
    assert "0 of 1 sheet were read." in text and "There are no totals: " in text
    read_to_store(load_reader("example"), [], tmp_path / "w.sqlite")
    text = parsed(write_report(tmp_path / "w.sqlite", tmp_path / "r.html")).text
    assert "0 of 0 sheets were read." in text


def test_a_run_may_be_chosen(store, whole, tmp_path, parsed):
    reader = load_reader("example")
    reader[-1].set_params(blank_right="zero")
    read_to_store(reader, [str(whole.names[0])], store)
    with pytest.warns(TallyWarning, match="run 2, .* 1 page, and run 1 has 13"):
        text = parsed(write_report(store, tmp_path / "r.html")).text
    assert "run 2 of 2" in text and "1 of 1 sheet was read" in text
    text = parsed(write_report(store, tmp_path / "r.html", run=1)).text
    assert "run 1 of 2" in text and "12 of 14 sheets were read" in text
    with pytest.raises(StoreError, match="expected a run of 1 to 2, got 3"):
        write_report(store, tmp_path / "r.html", run=3)


def test_a_store_of_version_1_is_reported(tmp_path, parsed):
    old = Path(__file__).parents[1] / "data" / "store_1.sqlite"
    shutil.copy(old, tmp_path / "v.sqlite")
    text = parsed(write_report(tmp_path / "v.sqlite", tmp_path / "r.html")).text
    assert "All 3 sheets were read" in text and "Do not rely" not in text


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("report.txt", "expected a name that ends in .html, got '.txt'"),
        ("report", "expected a name that ends in .html, got 'no ending'"),
        ("folder.html", "expected the name of a file, got that of a folder"),
        (f"{'x' * 251}.html", "expected a name that a file can have, got another"),
        ("gone/report.html", "there is no folder .*gone; make it first"),
    ],
)
def test_out_must_be_a_file_that_can_be_written(whole, tmp_path, out, message):
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(TallyError, match=message):
        write_report(whole.store, tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.html"]


def test_nothing_is_written_beside_scans_or_over_the_store(store, whole, tmp_path):
    with pytest.raises(TallyError, match="sktally never writes beside its input"):
        write_report(whole.store, whole.scans / "north" / "report.html")
    (tmp_path / "linked").symlink_to(whole.scans / "north")
    with pytest.raises(TallyError, match="sktally never writes beside its input"):
        write_report(whole.store, tmp_path / "linked" / "report.html")
    named = tmp_path / "votes.html"
    shutil.copy(store, named)
    with pytest.raises(TallyError, match="that is the store itself"):
        write_report(named, named)


def test_stores_that_cannot_be_read_are_said_to_be(store, tmp_path, monkeypatch):
    with pytest.raises(StoreError, match="expected a store, but there is no file"):
        write_report(tmp_path / "gone.sqlite", tmp_path / "r.html")
    with Store(tmp_path / "empty.sqlite", make=True):
        pass
    with pytest.raises(StoreError, match="nothing was read into it yet"):
        write_report(tmp_path / "empty.sqlite", tmp_path / "r.html")
    (tmp_path / "text.sqlite").write_text("no store at all, but text\n" * 50)
    with pytest.raises(StoreError, match="not a SQLite file"):
        write_report(tmp_path / "text.sqlite", tmp_path / "r.html")
    monkeypatch.setattr(_schema, "_PATIENCE", 0.1)
    other = sqlite3.connect(store, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="another process has been writing"):
        write_report(store, tmp_path / "r.html")
    other.close()
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("worst", [-1, 201, 1.5])
def test_worst_is_checked(whole, tmp_path, worst):
    with pytest.raises(TallyError, match="worst: expected an integer"):
        write_report(whole.store, tmp_path / "r.html", worst=worst)


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_the_command_does_the_same(full, stations, tmp_path):
    out = tmp_path / "report.html"
    options = ["--by", "district", "--worst", 2, "--title", "Here", "--registered"]
    options += ["voters", "--fields", "01,02", "--no-intervals", "--run", 1]
    result = run("report", full, "--out", out, "--stations", stations, *options)
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith(f"sktally: wrote {out}, 0.")
    again = write_whole_report(
        full,
        tmp_path / "again.html",
        by=["district"],
        worst=2,
        title="Here",
        stations=stations,
        registered="voters",
        fields=["01", "02"],
        intervals=False,
    )
    assert again.read_bytes() == out.read_bytes()
    result = run("report", full, "--out", tmp_path / "report.pdf")
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1


def test_lists_are_cut_and_say_so(tmp_path, parsed):
    pages = [str(tmp_path / f"gone_{i}.png") for i in range(130)]
    store = tmp_path / "v.sqlite"
    read_to_store(load_reader("example"), pages, store)
    (tmp_path / "out").mkdir()
    text = parsed(write_report(store, tmp_path / "out" / "r.html")).text
    assert "The first 100 of 130; sktally export v.sqlite lists them all." in text
    assert text.count("gone_") < 250


def test_stations_as_a_table(full, stations, tmp_path, parsed):
    listed = pd.read_csv(stations)
    out = write_report(full, tmp_path / "r.html", stations=listed, by=["district"])
    assert "2 stations without a sheet." in parsed(out).text


@quiet
def test_a_sheet_that_people_read_is_counted_and_said_to_be(store, whole, tmp_path):
    """Words and numbers agree where a page that was refused has been typed in."""
    blank = str(whole.scans / "north" / "blank.png")
    plain = write_report(store, tmp_path / "plain.html").read_text(encoding="utf-8")
    assert "2 sheets were not read; no votes of them are counted." in plain
    typed = {"file": [blank] * 2, "field": ["01", "02"], "count": ["40", "2"]}
    with Store(store) as opened:
        run, n = opened.run(), 12
        assert gather_pages(opened, run).n_by_hand == 0
        wrong = pd.DataFrame(typed).assign(who="ana")
        import_edits(opened, wrong[1:], purpose="entry")  # one reading decides nothing
        assert gather_pages(opened, run).n_by_hand == 0
        import_edits(opened, wrong, purpose="correction")
        assert gather_pages(opened, run).n_by_hand == 1
    text = write_report(store, tmp_path / "typed.html").read_text(encoding="utf-8")
    assert "12 of 14 sheets were read" in text
    assert "2 sheets were not read; 1 of them counts as people say; no votes" in text
    assert "1 sheet that was not read is among them, with what people say of it" in text
    table = vote_totals(store, random_state=0).table.set_index("field")
    assert table.loc["01", "n_read"] == n + 1 and table.loc["03", "n_read"] == n
    row = f"{table.loc['01', 'total']:,}</td>"
    assert row in text and row not in plain
    assert "sheets that have a final count" in text
    assert "Votes by party, of the sheets that were read" not in text
