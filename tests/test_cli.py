import re
import shutil
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from sktally import load_form, make_tally_pages
from sktally.cli import main
from sktally.cli._common import explain


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "scans"
    folder.mkdir()
    made = make_tally_pages(3, form="example", random_state=7)
    for i, page in enumerate(made.pages):
        cv2.imwrite(str(folder / f"page{i}.jpg"), page)
    return folder, made


def snapshot(folder):
    return {p.name: (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.iterdir()}


def test_read_writes_a_table_and_nothing_beside_the_scans(scans, tmp_path):
    folder, made = scans
    before = snapshot(folder)
    result = run("read", folder, "--form", "example", "--out", tmp_path / "votes.csv")
    assert result.exit_code == 0, result.output
    assert "3 pages: 3 read, 0 not read" in result.stderr
    assert snapshot(folder) == before
    table = pd.read_csv(tmp_path / "votes.csv")
    assert len(table) == 18
    assert (table["count"].to_numpy() == made.counts.ravel()).mean() > 0.9


def test_read_prints_csv_without_out(scans):
    folder, _ = scans
    result = run("read", folder / "page0.jpg", "--form", "example", "--quiet")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("file,page,field,boxes,count,confidence")
    assert len(lines) == 7


def test_one_bad_page_does_not_stop_the_batch(scans, tmp_path):
    folder, made = scans
    bad = tmp_path / "bad"
    bad.mkdir()
    cv2.imwrite(str(bad / "a_good.png"), made.pages[0])
    (bad / "b_torn.jpg").write_bytes((folder / "page1.jpg").read_bytes()[:9000])
    (bad / "c_empty.jpg").write_bytes(b"")
    cv2.imwrite(str(bad / "d_blank.png"), np.full((1100, 850), 255, np.uint8))
    cv2.imwrite(str(bad / "e_good.png"), made.pages[2])
    result = run("read", bad, "--form", "example", "--out", tmp_path / "v.parquet")
    assert result.exit_code == 3, result.output
    assert "5 pages: 2 read, 3 not read" in result.stderr
    status = pd.read_parquet(tmp_path / "v.parquet").groupby("file")["status"].first()
    assert status.tolist() == ["ok", "failed", "failed", "rejected", "ok"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["read", "{scans}", "--form", "nope"], "no form 'nope'"),
        (["read", "{scans}/gone.jpg", "--form", "example"], "gone.jpg"),
        (["read", "{tmp}", "--form", "example"], "{tmp}"),
        (
            ["read", "{scans}", "--form", "example", "--out", "{tmp}/v.xlsx"],
            "ends in .csv or .parquet",
        ),
        (
            ["read", "{scans}", "--form", "example", "--out", "{scans}/v.csv"],
            "never writes beside its input",
        ),
        (
            ["read", "{scans}", "--form", "example", "--model", "nope"],
            "nope",
        ),
        (["read", "--form", "example"], "Missing argument"),
        (["form", "check", "example", "{scans}", "--out", "{scans}"], "never writes"),
        (["demo", "--pages", "0", "--out", "{tmp}/demo"], "is not in the range x>=1"),
    ],
)
def test_wrong_usage_is_said_and_exits_with_2(scans, tmp_path, arguments, message):
    places = {"scans": scans[0], "tmp": tmp_path}
    result = run(*[a.format(**places) for a in arguments])
    if "gone.jpg" in message:
        assert result.exit_code in (2, 3)
    else:
        assert result.exit_code == 2, result.output
    assert message.format(**places) in result.output
    assert "Traceback" not in result.output


def test_warnings_are_lines_of_ours_and_torn_tags_are_silent(scans, tmp_path):
    folder, _ = scans
    whole = tmp_path / "whole.tif"
    Image.open(folder / "page0.jpg").save(whole, compression="tiff_lzw")
    torn = tmp_path / "torn.tif"
    torn.write_bytes(whole.read_bytes()[:-40])
    command = [sys.executable, "-m", "sktally.cli", "read", torn, "--form", "example"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "torn.tif: expected a whole TIFF file" in done.stderr
    assert (
        "1 page: 0 read, 1 not read; 0 ambiguous counts, 0 misfit counts" in done.stderr
    )
    assert "site-packages" not in done.stderr and "Warning" not in done.stderr


def test_shipped_forms_are_not_learnt_over(scans):
    result = run("form", "learn", "example", scans[0])
    assert result.exit_code == 2
    assert "'example' ships with sktally" in result.output
    assert "give --out FILE.toml" in result.output


def test_forms_are_listed():
    result = run("forms")
    assert result.exit_code == 0
    for name in ("example", "indonesia-2019-c1", "indonesia-2024"):
        assert name in result.output


def test_form_check_draws_every_page(scans, tmp_path):
    folder, made = scans
    upside_down = tmp_path / "turned.png"
    cv2.imwrite(str(upside_down), np.rot90(made.pages[0], 2))
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.full((1100, 850), 255, np.uint8))
    out = tmp_path / "checked"
    result = run("form", "check", "example", folder, upside_down, blank, "--out", out)
    assert result.exit_code == 3, result.output
    assert "4 of 5 pages located" in result.output
    assert "lies turned by 180 degrees" in result.output
    assert "NOT LOCATED" in result.output
    pictures = sorted(out.iterdir())
    assert len(pictures) == 5
    assert all(cv2.imread(str(p)).shape[2] == 3 for p in pictures)


def test_demo_reads_what_it_made(tmp_path):
    result = run("demo", "--out", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    assert "counts exactly right:" in result.output
    table = pd.read_csv(tmp_path / "demo" / "votes.csv")
    assert (table["count"] == table["true_count"]).mean() >= 0.97
    assert len(list((tmp_path / "demo" / "pictures").iterdir())) == 20


def test_help_is_quick():
    command = [sys.executable, "-m", "sktally.cli", "--help"]
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.5


def test_form_learn_says_when_anchors_go_first(scans, tmp_path):
    folder, _ = scans
    result = run("form", "learn", "example", folder, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "example.reference.safetensors").exists()
    assert "has 4 anchors, and pages are located by them; remove" in result.stderr


def test_a_store_from_reading_to_export(scans, tmp_path):
    folder, made = scans
    store = tmp_path / "votes.sqlite"
    before = snapshot(folder)
    command = ("read", folder, "--form", "example", "--out", store)
    first, second = run(*command), run(*command, "--jobs", 2)
    assert (first.exit_code, second.exit_code) == (0, 0), first.output
    assert "3 pages: 3 read now" in first.stderr
    assert "0 read now" in second.stderr and "3 read before" in second.stderr
    assert snapshot(folder) == before
    assert "pages: 3 read" in run("status", store).stdout
    for name in ("votes.csv", "votes.parquet", "votes.dta"):
        assert run("export", store, "--out", tmp_path / name).exit_code == 0
    printed = run("export", store, "--run", 1).stdout
    assert printed == (tmp_path / "votes.csv").read_text()
    csv = pd.read_csv(tmp_path / "votes.csv", dtype={"field": str})
    stata = pd.read_stata(tmp_path / "votes.dta")
    assert stata["final"].tolist() == csv["final"].tolist()
    parquet = pd.read_parquet(tmp_path / "votes.parquet")
    assert parquet["count"].tolist() == csv["count"].tolist()
    assert (csv["count"].to_numpy() == made.counts.ravel()).mean() > 0.9


def test_people_correct_show_and_verify_a_store(scans, tmp_path):
    folder, _ = scans
    store, edits = tmp_path / "votes.sqlite", tmp_path / "edits.csv"
    run("read", folder, "--form", "example", "--out", store)
    edits.write_text("file,field,count,who,why\npage1.jpg,01,217,ana,blot\n")
    assert (
        run("edits", "import", store, edits).stdout == "1 edit added, 0 known before\n"
    )
    assert ",217,ana,blot," in run("edits", "export", store).stdout
    shown = run(
        "show", store, "page1.jpg", "01", "--again", "--out", tmp_path / "a.png"
    )
    assert shown.exit_code == 0, shown.output
    assert "final 217" in shown.stdout and "correction by ana" in shown.stdout
    assert "read again: the same; probabilities differ by 0" in shown.stdout
    assert cv2.imread(str(tmp_path / "a.png")).shape[0] > 500
    assert run("edits", "export", store, "--run", 1).stdout.count("\n") == 2
    wrong = run("edits", "export", store, "--run", 9)
    assert wrong.exit_code == 2 and wrong.stdout == ""
    assert "expected a run of 1 to 1, got 9" in wrong.stderr
    entry = edits.read_text().replace("217", "216")
    edits.write_text(entry)
    run("edits", "import", store, edits, "--purpose", "entry")
    found = run("edits", "export", store, "--disagreements").stdout
    assert found.count("\n") == 1  # a correction has settled it
    assert run("verify", store).exit_code == 0
    whole = run("verify", store, "--rows-only").stdout
    assert whole.startswith("as it was written")
    assert run("verify", store, "--expect", whole.split()[-1]).exit_code == 0
    found = run("verify", store, "--expect", "1" * 64)
    assert found.exit_code == 1 and "no link has the hash 1111" in found.stdout
    kept = (folder / "page1.jpg").read_bytes()
    try:
        (folder / "page1.jpg").write_bytes(kept + b" ")
        found = run("verify", store)
        assert found.exit_code == 1 and "is not the file that was read" in found.stdout
        found = run("show", store, "page1.jpg")
        assert found.exit_code == 0 and "has other bytes now" in found.stderr
    finally:
        (folder / "page1.jpg").write_bytes(kept)
    found = run("show", store, "page1.jpg", "99")
    assert found.exit_code == 2 and "field: expected one of" in found.stderr


def test_show_tells_what_needs_no_scan(scans, tmp_path):
    folder, store = tmp_path / "scans", tmp_path / "votes.sqlite"
    shutil.copytree(scans[0], folder)
    run("read", folder, "--form", "example", "--out", store)
    command, out = ("show", store, "page1.jpg", "01"), tmp_path / "a.png"
    before = run(*command)
    assert before.exit_code == 0 and before.stderr == ""
    (folder / "page1.jpg").unlink()
    without = run(*command)
    assert without.exit_code == 0 and without.stdout == before.stdout
    assert "SHA-256" in without.stdout and "box 1: " in without.stdout
    told = (
        "sktally: .*page1.jpg: expected the scan .* gone, .* no picture was drawn, .*"
    )
    told += (
        "put it back for that, and see `sktally verify .*votes.sqlite --rows-only`\n"
    )
    assert re.fullmatch(told, without.stderr)
    for option in (["--out", out], ["--again"]):
        asked = run(*command, *option)
        assert asked.exit_code == 2 and asked.stdout == before.stdout
        assert asked.stderr == without.stderr
    assert not out.exists()


@pytest.mark.parametrize("out", ["/proc/new.csv", "{tmp}/gone/new.csv"])
def test_where_a_table_cannot_be_written_nothing_is_read(
    scans, tmp_path, out, monkeypatch
):
    if not Path("/proc/self").exists():
        pytest.skip("no /proc here")
    monkeypatch.setattr("sktally.tables.read_tallies", pytest.fail)
    out = Path(out.format(tmp=tmp_path))
    found = run("read", scans[0], "--form", "example", "--out", out)
    assert found.exit_code == 2 and not out.exists()
    assert "cannot be written" in found.stderr or "make it first" in found.stderr


def test_a_store_is_not_put_beside_scans(scans):
    folder, _ = scans
    found = run("read", folder, "--form", "example", "--out", folder / "votes.sqlite")
    assert found.exit_code == 2 and "never writes beside its input" in found.stderr
    found = run("status", folder / "votes.sqlite")
    assert found.exit_code == 2 and "there is no file of this name" in found.stderr


def test_what_no_longer_counts_is_told_even_quietly(scans, tmp_path):
    folder, _ = scans
    (tmp_path / "in").mkdir()
    scan, store = tmp_path / "in" / "IMG_1.jpg", tmp_path / "votes.sqlite"
    for page in ("page0.jpg", "page1.jpg"):
        shutil.copy(folder / page, scan)
        args = ("--form", "example", "--out", store, "--quiet")
        found = run("read", tmp_path / "in", *args)
        told = "no longer counted" in found.stderr
        assert found.exit_code == 0 and told == (page == "page1.jpg")


def test_stations_are_joined(scans, tmp_path):
    folder, _ = scans
    store, stations = tmp_path / "votes.sqlite", tmp_path / "stations.csv"
    stations.write_text("station,district\n0,N\n1,S\n7,S\n")
    by = ("--stations", stations, "--by", "page([0-9]).jpg")
    direct = run("read", folder, "--form", "example", "--quiet", *by)
    assert "1 page without a station" in direct.stderr
    assert "1 station without a page: 7" in direct.stderr
    assert direct.stdout.splitlines()[1].endswith(",0,N")
    run("read", folder, "--form", "example", "--out", store)
    exported = run("export", store, *by)
    assert exported.stdout.splitlines()[1].endswith(",0,N")
    assert exported.stderr == direct.stderr
    wrong = run("read", folder, "--form", "example", "--out", store, *by)
    assert wrong.exit_code == 2 and "--stations: expected a table" in wrong.stderr
    wrong = run("read", folder, "--form", "example", "--rehash")
    assert wrong.exit_code == 2 and "need --out FILE.sqlite" in wrong.stderr
    stations.write_text("name\n0\n")
    wrong = run("read", folder, "--form", "example", "--stations", stations)
    assert wrong.exit_code == 2 and "expected a column 'station'" in wrong.stderr
    assert wrong.stdout == ""  # before anything was read


@pytest.fixture(scope="module")
def sheets(tmp_path_factory):
    """A store of pages with sums, and their true counts."""
    folder = tmp_path_factory.mktemp("sums")
    made = make_tally_pages(8, form="indonesia-2019-c1", random_state=7)
    for i, page in enumerate(made.pages):
        cv2.imwrite(str(folder / f"page{i}.png"), page)
    store = tmp_path_factory.mktemp("store") / "votes.sqlite"
    command = ("read", folder, "--form", "indonesia-2019-c1", "--out", store)
    assert run(*command).exit_code == 0
    return store, folder, made


def test_a_store_is_reconciled(sheets, tmp_path):
    store, _, made = sheets
    before = pd.read_csv(StringIO(run("export", store).stdout))
    assert before["reconciled"].isna().all()
    first, again = run("reconcile", store), run("reconcile", store)
    assert (first.exit_code, again.exit_code) == (0, 0), first.output
    assert "reconciliation 1 of run 1: 8 of 8 pages, 0 of them before" in first.stderr
    assert "reconciliation 1 of run 1: 8 of 8 pages, 8 of them before" in again.stderr
    assert "slips: carry 0.02, digit 0.01, swap 0.01, other 0.02" in again.stderr
    assert "reconciliation 1: 8 of 8 pages" in run("status", store).stdout
    out = tmp_path / "votes.csv"
    assert run("export", store, "--out", out).exit_code == 0
    table = pd.read_csv(out)
    assert table["count"].equals(before["count"])
    assert (table["reconciled"].to_numpy() == made.counts.ravel()).mean() > 0.9
    assert table["reconciled_proba"].between(0, 1).all()
    assert run("export", store, "--sums", "--out", tmp_path / "a.dta").exit_code == 0
    sums = pd.read_csv(StringIO(run("export", store, "--sums").stdout))
    assert sums["sum"].tolist() == ["suara_sah", "total"] * 8
    parts = made.counts[:, [0, 2]] + made.counts[:, [1, 3]]
    wrong = (made.counts[:, [2, 4]] != parts).ravel()
    assert wrong.any() and (sums["erred"] == "clerk")[wrong].all()
    assert sums["erred"].isna().equals(sums["difference"] == 0)
    shown = run("show", store, "page0.png", "total").stdout
    assert (
        "reconciled 209 (probability 1.0000; sum holds on paper with 0.0000)" in shown
    )
    assert run("verify", store).exit_code == 0


def test_shares_of_slips_are_told_or_learnt(sheets, tmp_path):
    store = shutil.copy(sheets[0], tmp_path / "votes.sqlite")
    told = run("reconcile", store, "--slips", "carry=0.1, other=0", "--run", 1)
    assert told.exit_code == 0
    assert "slips: carry 0.1, digit 0.01, swap 0.01, other 0\n" in told.stderr
    assert run("reconcile", store, "--quiet").stderr == ""
    found = run("reconcile", store, "--from-audits")
    assert found.exit_code == 2 and "at least 50 sheets of run 1" in found.stderr
    for given in ("carry=much", "0.1", "carry=0.1,hope=0.2"):
        found = run("reconcile", store, "--slips", given)
        assert found.exit_code == 2 and "--slips: expected carry=SHARE" in found.stderr
    found = run("reconcile", store, "--slips", "carry=2")
    assert found.exit_code == 2 and "SumSlips.carry" in found.stderr
    found = run("reconcile", store, "--slips", "carry=0.1", "--from-audits")
    assert found.exit_code == 2 and "expected one of them, got both" in found.stderr


def test_a_form_without_sums_is_not_reconciled(scans, tmp_path):
    folder, _ = scans
    store = tmp_path / "votes.sqlite"
    form = tmp_path / "example.toml"
    load_form("example").model_copy(update={"sums": {}}).to_toml(form)
    run("read", folder / "page0.jpg", "--form", form, "--out", store)
    for verb in (("reconcile", store), ("export", store, "--sums")):
        found = run(*verb)
        assert found.exit_code == 2 and "form 'example' has none" in found.stderr


def test_form_check_of_the_file_alone():
    result = CliRunner().invoke(main, ["form", "check", "example"])
    assert result.exit_code == 0
    assert "no mistakes in the file; 6 fields" in result.output
    result = CliRunner().invoke(main, ["form", "check", "example", "scan.png"])
    assert result.exit_code == 2
    assert "--out: expected a folder" in result.output


def test_pages_not_read_and_copies_are_told_with_their_reason(scans, tmp_path):
    folder, _ = scans
    some = tmp_path / "some"
    some.mkdir()
    shutil.copy(folder / "page0.jpg", some / "a.jpg")
    shutil.copy(folder / "page0.jpg", some / "copy.jpg")
    (some / "notes.jpg").write_text("see fax")
    cv2.imwrite(str(some / "white.png"), np.full((900, 700), 255, np.uint8))
    store = tmp_path / "votes.sqlite"
    command = ("read", some, "--form", "example", "--out", store)
    first, second = run(*command), run(*command)
    assert "4 pages: 1 read now" in first.stderr
    assert "2 not read, 1 read before (1 copy); in" in first.stderr
    assert "0 read now" in second.stderr and "2 read before (1 copy)" in second.stderr
    status = run("status", store).stdout
    for text in (first.stderr, second.stderr, status):
        assert f"not read: {some / 'notes.jpg'}: expected JPEG" in text
        assert f"not read: {some / 'white.png'}: 0 of 4 anchors found" in text
    assert "1 copy of a page\n" in status
    assert "copy.jpg" not in first.stderr
    assert f"page       {some / 'a.jpg'}" in run("show", store, "copy.jpg").stdout
    found = run("show", store, "notes.jpg")
    assert "notes.jpg, page 1: could not be opened" in found.stderr
    assert "got a text file that begins 'see fax'" in found.stderr
    assert run("show", store, "white.png").stdout.count("0 of 4 anchors found") == 1
    checked = run("form", "check", "example", some, "--out", tmp_path / "checked")
    assert checked.stdout.splitlines()[-2].startswith("not located: ")
    assert checked.stdout.splitlines()[-1].startswith("2 of 4 pages located")


def test_many_pages_not_read_are_told_in_part(tmp_path):
    for i in range(12):
        (tmp_path / f"{i:02d}.jpg").write_text("no scan")
    store = tmp_path / "out" / "votes.sqlite"
    store.parent.mkdir()
    read = run("read", tmp_path, "--form", "example", "--out", store)
    assert read.exit_code == 3 and "... and 2 more, see sktally export" in read.stderr
    status = run("status", store).stdout
    assert status.count("not read: ") == 5
    assert "... and 7 more: `sktally export` lists them with status" in status


def test_files_that_are_gone_are_told(scans, tmp_path):
    folder, store = tmp_path / "scans", tmp_path / "votes.sqlite"
    shutil.copytree(scans[0], folder)
    command = ("read", folder, "--form", "example", "--out", store)
    run(*command)
    (folder / "page0.jpg").unlink()
    told = run(*command)
    assert told.exit_code == 0
    assert f"though the files are gone: {folder}/page0.jpg; if" in told.stderr
    assert "give --drop-gone" in told.stderr
    told = run(*command, "--drop-gone")
    assert "no longer counted, as other scans lie in their place or" in told.stderr
    assert f"dropped: {folder}/page0.jpg\n" in told.stderr
    assert len(run("export", store).stdout.splitlines()) == 1 + 2 * 6
    assert "counted" not in run(*command).stderr
    wrong = run("read", folder, "--form", "example", "--drop-gone")
    assert wrong.exit_code == 2 and "need --out FILE.sqlite" in wrong.stderr


def test_messages_speak_of_options(scans, tmp_path):
    folder, store = scans[0], tmp_path / "votes.SQLITE"
    command = ("read", folder, "--form", "example", "--out")
    none = run(*command, store, "--jobs", 0)
    assert none.exit_code == 2 and "-2 for all but one; got 0" in none.stderr
    assert run(*command, store, "--jobs", -1).exit_code == 0
    assert "3 read" in run("status", store).stdout
    assert run(*command, store, "--jobs", -500).exit_code == 0  # one at least
    wrong = run(*command, tmp_path / "votes.txt")
    assert wrong.exit_code == 2 and "or of a store in .sqlite, got" in wrong.stderr
    wrong = run("export", store, "--out", tmp_path / "votes.txt")
    assert wrong.exit_code == 2 and "of a store" not in wrong.stderr
    inner = tmp_path / "outer"
    shutil.copytree(folder, inner / "inner")
    wrong = run("read", inner, "--form", "example")
    assert wrong.exit_code == 2 and "or --recursive" in wrong.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_the_screen_is_told(scans, tmp_path):
    store = tmp_path / "votes.sqlite"
    run("read", scans[0], "--form", "example", "--out", store)
    for verb in (["export", str(store)], ["forms"]):
        command = [sys.executable, "-m", "sktally.cli", *verb]
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                command, stdout=full, stderr=subprocess.PIPE, text=True
            )
        assert done.returncode == 2
        assert "cannot go on: No space left on device; is the disk full" in done.stderr
        assert "Traceback" not in done.stderr


def test_what_the_system_refuses_is_told_with_its_name(tmp_path, capsys):
    @explain
    def verb():
        (tmp_path / "gone.csv").read_text()

    with pytest.raises(SystemExit) as ended:
        verb()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert f"cannot go on: {tmp_path}/gone.csv: No such file or directory; is" in told
