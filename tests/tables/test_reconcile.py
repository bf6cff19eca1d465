"""Counts of a store are read once more given their sums, beside what was read."""

import hashlib
import os
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.exceptions import NotFittedError

from sktally import StoreError, TallyError, TallyForm, load_model, save_model
from sktally.cli import main
from sktally.tables import (
    SUMS_COLUMNS,
    Store,
    _reconcile,
    _sums,
    _values,
    audited_calibrator,
    audited_slips,
    import_edits,
    reconcile_store,
    store_status,
    store_table,
    sums_parts,
    sums_table,
    verify,
)
from sktally.tables._image import FileState, PageName
from sktally.tables._records import PageRecord
from sktally.tables._sheets import add_sheets
from sktally.votes import (
    DigitCalibrator,
    SumSlips,
    boxes_to_counts,
    fit_slips,
    reconcile_tallies,
)

NAMES = ["a", "b", "all"]
SUMS = {"all": ["a", "b"]}
FORM = TallyForm.from_dict(
    {
        "name": "sums",
        "page": {"width": 600, "height": 600},
        "fields": [
            {"name": name, "start": [100, 100 + 100 * i], "box": [40, 50], "places": 3}
            for i, name in enumerate(NAMES)
        ],
        "sums": SUMS,
    }
)
SHEETS = [
    ("012", "030", "042"),  # adds up
    ("012", "030", "048"),  # misread, perhaps: the 8 may be a 2
    ("012", "030", "142"),  # a clerk's slip: every box is clear
    ("012", "03_", "042"),  # no count by itself
]
RARE = SumSlips(carry=0.001, digit=0.001, swap=0.001, other=0.001)


def proba_of(boxes, unsure):
    """Return probabilities of boxes that read so, an 8 as perhaps a 2."""
    labels = [["0123456789x_".index(c) for c in text] for text in boxes]
    proba = (1 - 1e-5) * np.eye(12)[labels] + 1e-5 / 12
    if unsure:
        for place in np.argwhere(np.array(labels) == 8):
            proba[(*place, [2, 8])] = 0.02, 0.97999
    return (proba / proba.sum(axis=-1, keepdims=True)).astype(np.float32)


def record(i, boxes, **other):
    counts = boxes_to_counts(list(boxes))[0]
    rows = [
        {"field": name, "boxes": text, "count": int(n) if n >= 0 else None}
        | {"confidence": 0.9, "status": "ok", "message": "", "tally_quality": 0.9}
        for name, text, n in zip(NAMES, boxes, counts, strict=True)
    ]
    page = PageName.parse(f"/scans/station_{i}.png")
    sha256 = hashlib.sha256(str(i).encode()).hexdigest()
    said = {"rows": rows, "proba": proba_of(boxes, i % 2 == 1)} | other
    return PageRecord(page, sha256, FileState(1, 1, i), **said)


def make(path, sheets, start=0, form=FORM):
    """Put pages into a store as if they had been read."""
    described = {"name": form.name, "sha256": form.fingerprint()}
    described |= {"fields": list(form.field_names), "toml": form.to_toml()}
    content = {"form": described, "model": {"sha256": "0" * 64}, "settings": {}}
    with Store(path, make=True) as store:
        run, session = store.begin("made", content)
        records = [record(start + i, boxes) for i, boxes in enumerate(sheets)]
        store.add_pages(run, session, records)
    return path


@pytest.fixture
def path(tmp_path):
    return make(tmp_path / "votes.sqlite", SHEETS)


def table(path):
    with Store(path) as store:
        return store_table(store)


def column(path, name):
    values = table(path)[name].astype(object)
    return [None if pd.isna(v) else v for v in values]


def random_sheets(n, seed=0):
    rng = np.random.default_rng(seed)
    parts = rng.integers(0, 300, (n, 2))
    off = rng.choice([0, 1, 20], n, p=[0.8, 0.1, 0.1])
    whole = np.column_stack([parts, parts.sum(axis=1) + off])
    return [tuple(f"{count:03d}" for count in sheet) for sheet in whole]


def test_three_counts_side_by_side(path):
    before = table(path)
    assert before["reconciled"].isna().all()
    told = reconcile_store(path, slips=RARE)
    assert (told.number, told.pages, told.done, told.before) == (1, 4, 4, 0)
    found = table(path)
    assert found["count"].equals(before["count"])
    read = [12, 30, 42, 12, 30, 48, 12, 30, 142, 12, None, 42]
    assert column(path, "count") == read
    mended = [12, 30, 42, 12, 30, 42, 12, 30, 142, 12, 30, 42]
    assert column(path, "reconciled") == mended
    assert column(path, "final") == mended
    expected = reconcile_tallies(
        np.stack([proba_of(s, i % 2 == 1) for i, s in enumerate(SHEETS)]),
        FORM,
        slips=RARE,
    )
    assert found["reconciled_proba"].tolist() == expected.proba.ravel().tolist()
    with Store(path) as store:
        sums = sums_table(store)
        assert list(verify(store, images=False)) == []
    assert tuple(sums) == SUMS_COLUMNS
    assert sums["holds"].tolist() == expected.holds.ravel().tolist()
    assert sums["difference"].fillna(-1).tolist() == [0, 6, 100, -1]
    assert sums["parts"].fillna(-1).tolist() == [42, 42, 42, -1]
    assert sums["erred"].tolist() == ["", "machine", "clerk", ""]


def test_a_count_is_mended_only_where_the_sheet_settles_it(path):
    reconcile_store(path, slips=SumSlips(0.1, 0.3, 0.1, 0.1))
    found = table(path)[3:6]
    unsure = found["reconciled_proba"].iloc[2]
    assert found["reconciled"].iloc[2] == 42 and 0.5 < unsure < 0.95
    assert found["final"].iloc[2] == 48


def test_a_sheet_on_which_a_clerk_probably_erred_is_left_whole(tmp_path):
    """The sum is wrong on paper, and no doubt of a box changes that."""
    sheet = ("012", "008", "999")  # 012 + 002 or 008
    path = make(tmp_path / "votes.sqlite", [("000",) * 3, sheet])
    reconcile_store(path, slips=RARE)
    with Store(path) as store:
        assert sums_table(store)["erred"].tolist() == ["", "clerk"]
    assert column(path, "final")[3:] == [12, 8, 999]


def test_people_go_first(path):
    reconcile_store(path, slips=RARE)
    rows = [
        ("station_1.png", "all", "correction", "48"),
        ("station_3.png", "b", "audit", "39"),
        ("station_0.png", "a", "entry", "12"),
        ("station_0.png", "b", "entry", "31"),
    ]
    names = ["file", "field", "purpose", "count"]
    with Store(path) as store:
        import_edits(store, pd.DataFrame(rows, columns=names).assign(who="ana"))
    final = column(path, "final")
    assert final[:6] == [12, None, 42, 12, 30, 48] and final[10] == 30


@pytest.mark.parametrize("together", [1, 3, 64])
def test_batches_do_not_matter(tmp_path, monkeypatch, together):
    sheets = random_sheets(20)
    path = make(tmp_path / "votes.sqlite", sheets)
    monkeypatch.setattr(_reconcile, "_TOGETHER", together)
    seen = []
    reconcile_store(path, progress=lambda told: seen.append(told.done))
    assert seen == [*range(together, 20, together), 20]
    proba = np.stack([proba_of(s, i % 2 == 1) for i, s in enumerate(sheets)])
    expected = reconcile_tallies(proba, FORM)
    assert column(path, "reconciled") == expected.counts.ravel().tolist()
    assert column(path, "reconciled_proba") == expected.proba.ravel().tolist()
    for parts, whole in ((_sums, sums_table), (_values, store_table)):
        with Store(path) as store:
            at_once = whole(store)
            monkeypatch.setattr(parts, "_AT_ONCE", 7)
            assert whole(store).equals(at_once)
    with Store(path) as store:
        assert [len(part) for part in sums_parts(store)] == [2] * 10


KILLED = """
import os, signal, sys
from sktally.tables import _reconcile
_reconcile._TOGETHER = 3
_reconcile.reconcile_store(
    sys.argv[1], progress=lambda told: os.kill(os.getpid(), signal.SIGKILL)
)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_killed_and_repeated_is_as_undisturbed(tmp_path):
    sheets = random_sheets(10)
    whole, path = (make(tmp_path / f"{n}.sqlite", sheets) for n in ("whole", "killed"))
    reconcile_store(whole)
    command = [sys.executable, "-c", KILLED, str(path)]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    with Store(path) as store:
        assert "reconciliation 1: 3 of 10 pages" in store_status(store)
        assert list(verify(store, images=False)) == []
    told = reconcile_store(path)
    assert (told.number, told.before, told.done) == (1, 3, 10)
    assert table(path).equals(table(whole))
    assert reconcile_store(path).before == 10


def test_interrupted_within_a_batch_writes_nothing_of_it(path, monkeypatch):
    class Interrupting(DigitCalibrator):
        def transform(self, X):
            raise KeyboardInterrupt

    calibrator = Interrupting()
    calibrator.temperature_ = np.ones(1)
    with pytest.raises(KeyboardInterrupt):
        reconcile_store(path, calibrator=calibrator)
    assert table(path)["reconciled"].isna().all()


def test_pages_that_came_later_are_added(path):
    reconcile_store(path)
    make(path, SHEETS, start=4)
    assert table(path)["reconciled"].isna().sum() == 12
    told = reconcile_store(path)
    assert (told.number, told.pages, told.before, told.done) == (1, 8, 4, 8)
    assert column(path, "reconciled")[:12] == column(path, "reconciled")[12:]


def test_two_at_once_do_each_page_once(path, monkeypatch):
    monkeypatch.setattr(_reconcile, "_TOGETHER", 2)
    inner = []

    def meanwhile(told):
        if not inner:
            inner.append(reconcile_store(path))

    outer = reconcile_store(path, progress=meanwhile)
    assert [(told.before, told.done) for told in (*inner, outer)] == [(2, 4), (0, 4)]
    with Store(path) as store:
        again = reconcile_tallies(proba_of(SHEETS[0], False)[None], FORM)
        add_sheets(store, 1, [1], again, [2])  # as if it had been done meanwhile
        assert [page for (page,) in store.ask("SELECT page FROM sheets")] == [
            1,
            2,
            3,
            4,
        ]
        assert list(verify(store, images=False)) == []


def test_other_slips_are_another_reconciliation(path, monkeypatch):
    first = reconcile_store(path)
    guessed = table(path)
    second = reconcile_store(path, slips=RARE)
    rare = table(path)
    assert (first.number, second.number) == (1, 2)
    assert not rare["reconciled_proba"].equals(guessed["reconciled_proba"])
    third = reconcile_store(path)  # back to the first
    assert third.number == 3 and table(path).equals(guessed)
    monkeypatch.setattr(_reconcile, "_TOGETHER", 2)

    def stop(told):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconcile_store(path, slips=RARE, progress=stop)
    assert table(path).equals(guessed)  # the fourth is not whole
    assert reconcile_store(path, slips=RARE).number == 4
    assert table(path).equals(rare)
    with Store(path) as store:
        lines = [x for x in store_status(store).splitlines() if "reconciliation" in x]
        assert [line.endswith("; shown") for line in lines] == [False] * 3 + [True]
        assert "reconciliation 4: 4 of 4 pages, slips carry 0.001, " in lines[3]
        assert list(verify(store, images=False)) == []


def test_the_same_slips_in_other_numbers_are_one_reconciliation(path):
    first = reconcile_store(path, slips=SumSlips(0, 0.5, 0, 0))
    again = reconcile_store(
        path, slips=SumSlips(np.int64(0), np.float32(0.5), 0.0, np.float64(0))
    )
    assert again.number == first.number and again.before == again.done


def test_other_versions_are_another_reconciliation(path, monkeypatch):
    reconcile_store(path)
    monkeypatch.setattr(_reconcile, "versions", lambda *_: {"sktally": "9"})
    assert reconcile_store(path).number == 2


def test_probabilities_are_calibrated(path):
    calibrator = DigitCalibrator()
    with pytest.raises(NotFittedError):
        reconcile_store(path, calibrator=calibrator)
    calibrator.temperature_ = np.array([3.0])
    reconcile_store(path)
    plain = table(path)["reconciled_proba"]
    assert reconcile_store(path, calibrator=calibrator).number == 2
    assert (table(path)["reconciled_proba"] < plain).all()
    with Store(path) as store:
        (noted,) = store.ask("SELECT content FROM reconciliations WHERE id = 2")
    assert '"temperature": [3.0]' in noted[0]
    assert "matrix" not in noted[0]
    calibrator.log_loss_, calibrator.n_pages_ = (1.0, 0.9), 20
    saved = save_model(calibrator, path.parent / "calibrator")
    given = ["reconcile", str(path), "--calibrator", str(saved)]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("reconciliation 2 of run 1: 4 of 4 pages, 4 of")
    given[-1] = "default"
    assert "call calibrate before save_model" in CliRunner().invoke(main, given).stderr


def test_pages_that_were_not_read_have_nothing_to_reconcile(path):
    nothing = [{"field": name, "status": "rejected", "message": ""} for name in NAMES]
    lost = record(9, SHEETS[0], rows=nothing, proba=None, status="rejected")
    with Store(path) as store:
        store.add_pages(store.run(), 1, [lost, record(10, SHEETS[0], proba=None)])
    told = reconcile_store(path)
    assert (told.pages, told.done) == (5, 5)
    assert column(path, "reconciled")[12:] == [None] * 6
    with Store(path) as store:
        assert len(sums_table(store)) == 5


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (
            "UPDATE reconciled SET count = 7 WHERE sheet = 2",
            "sheets: row 2",
        ),
        (
            "UPDATE reconciled SET proba = 1 WHERE sheet = 3",
            "sheets: row 3",
        ),
        (
            "UPDATE reconciled SET holds = 1 WHERE sheet = 3",
            "sheets: row 3",
        ),
        ("DELETE FROM reconciled WHERE sheet = 1 AND place = 2", "sheets: row 1"),
        ("INSERT INTO reconciled VALUES (1, 3, 1, 1, 1)", "sheets: row 1"),
        ("UPDATE sheets SET page = 9 WHERE id = 4", "sheets: row 4"),
        ("DELETE FROM sheets WHERE id = 4", "sheets: row 4 was deleted"),
        (
            "DELETE FROM sheets WHERE id = 4",
            "reconciled: rows of sheet 4, which",
        ),
        (
            "INSERT INTO sheets VALUES (9, 1, 9, 'today')",
            "sheets: row 9 was put in from outside",
        ),
        ("UPDATE reconciliations SET content = '{}'", "reconciliations: row 1"),
    ],
)
def test_what_was_altered_is_found(path, tamper, statement, found):
    reconcile_store(path)
    tamper(path, statement)
    with Store(path) as store:
        told = list(verify(store, images=False))
    assert any(text.startswith(found) for text in told), told
    if found == "sheets: row 2":
        assert any("(/scans/station_1.png) was altered" in text for text in told)


@pytest.mark.parametrize("names", ["[]", "[1, 2, 3]"])
def test_fields_that_were_altered_are_told(path, tamper, names):
    change = f"json_set(content, '$.form.fields', json('{names}'))"
    tamper(path, f"UPDATE runs SET content = {change}")
    for verb in (store_table, sums_table):
        with Store(path) as store, pytest.raises(StoreError, match="altered"):
            verb(store)


def test_what_was_altered_is_not_shown_as_a_number(path, tamper):
    reconcile_store(path)
    tamper(path, "UPDATE reconciled SET count = 'many' WHERE sheet = 2 AND place = 1")
    with pytest.raises(
        StoreError, match="field b: reconciled: expected a whole number"
    ):
        table(path)
    tamper(path, "UPDATE fields SET proba = x'00' WHERE page = 2 AND place = 1")
    with pytest.raises(StoreError, match="page 2: expected the probabilities of 3 fi"):
        reconcile_store(path, slips=RARE)


def test_rows_cannot_be_changed_by_mistake(path):
    reconcile_store(path)
    with Store(path) as store:
        for name in ("reconciliations", "sheets", "reconciled"):
            with pytest.raises(StoreError, match="are added, never changed"):
                store.ask(f"DELETE FROM {name}")


def test_a_form_without_sums(tmp_path):
    form = FORM.model_copy(update={"sums": {}})
    path = make(tmp_path / "votes.sqlite", SHEETS, form=form)
    with pytest.raises(StoreError, match="form 'sums' has none; add a .sums. table"):
        reconcile_store(path)
    with Store(path) as store, pytest.raises(StoreError, match="form 'sums' has none"):
        sums_table(store)


def test_slips_that_are_none(path):
    with pytest.raises(TallyError, match="slips: expected SumSlips or 'audits', got 1"):
        reconcile_store(path, slips=1)
    assert table(path)["reconciled"].isna().all()


def readings(sheets, **other):
    rows = [
        {"file": f"/scans/station_{i}.png", "field": name, "count": str(int(text))}
        for i, sheet in enumerate(sheets)
        for name, text in zip(NAMES, sheet, strict=True)
    ]
    return pd.DataFrame(rows).assign(**{"who": "ana", "purpose": "audit"} | other)


def test_slips_are_learnt_from_audits_of_whole_sheets(tmp_path):
    sheets = random_sheets(60)
    path = make(tmp_path / "votes.sqlite", sheets)
    with Store(path) as store:
        import_edits(store, readings(sheets[:49]))
        import_edits(store, readings(sheets, purpose="entry"))  # are not audits
        import_edits(store, readings(sheets, purpose="correction"))
        part = readings(sheets[:60])
        import_edits(store, part[(part.index >= 49 * 3) & (part["field"] != "b")])
        with pytest.raises(StoreError, match="at least 50 sheets .* a, b, got 49"):
            audited_slips(store)
    with pytest.raises(StoreError, match="at least 50 sheets"):
        reconcile_store(path, slips="audits")
    with Store(path) as store:
        import_edits(store, part)
        # read anew, and by another person who reads another count
        import_edits(store, readings([("001", "002", "013"), *sheets[1:]])[:3])
        other = readings([sheets[0], ("000", "000", "000")], who="ben")
        import_edits(store, other[other["file"].str.endswith("_1.png")])
        slips, n = audited_slips(store)
    known = np.array([[1, 2, 13], *np.array(sheets[2:], int).tolist()])
    assert (slips, n) == (fit_slips(known, NAMES, SUMS), 60)
    told = reconcile_store(path, slips="audits")
    assert (told.slips, told.audited, told.done) == (slips, 60, 60)
    with Store(path) as store:
        assert "(of 60 audited sheets); shown" in store_status(store)


def test_a_guess_does_not_hide_what_was_learnt_from_audits(tmp_path):
    def shown():
        with Store(path) as store:
            (line,) = [x for x in store_status(store).splitlines() if "; shown" in x]
        return int(line.split()[1].rstrip(":"))

    sheets = random_sheets(60)
    path = make(tmp_path / "votes.sqlite", sheets)
    with Store(path) as store:
        import_edits(store, readings(sheets))
    reconcile_store(path)
    reconcile_store(path, slips="audits")
    assert reconcile_store(path).number == 3
    assert shown() == 2
    reconcile_store(path, slips=RARE)  # somebody wants it so
    assert shown() == 4
    assert reconcile_store(path).number == 5
    assert shown() == 2
    make(path, random_sheets(1, seed=1), start=60)
    assert reconcile_store(path).number == 5
    assert shown() == 5  # it covers more pages
    assert reconcile_store(path, slips="audits").number == 6
    assert shown() == 6


def test_memory_does_not_grow_with_the_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(_reconcile, "_TOGETHER", 8)
    peaks = []
    for n in (24, 72):
        path = make(tmp_path / f"{n}.sqlite", [("012", "030", "042")] * n)
        tracemalloc.start()
        assert reconcile_store(path).done == n
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0], peaks


@pytest.fixture
def sheets():
    """What is written; the machine takes each 3 for an 8."""
    return random_sheets(60)


@pytest.fixture
def misread(tmp_path, sheets):
    read = [[text.replace("3", "8") for text in sheet] for sheet in sheets]
    return make(tmp_path / "votes.sqlite", read)


def test_learns_what_the_audits_say(misread, sheets):
    with Store(misread) as store:
        with pytest.raises(StoreError, match=r"votes.sqlite: .* at least 20 .* got 0"):
            audited_calibrator(store)
        import_edits(store, readings(sheets, purpose="correction"))  # are not audits
        import_edits(store, readings(sheets[:40]))
        # a page of which nothing was audited but what two people read differently
        other = readings([sheets[0], ("000", "000", "000")], who="ben")
        import_edits(store, other[other["file"].str.endswith("_1.png")])
        found = audited_calibrator(store)
    read = [[text.replace("3", "8") for text in sheet] for sheet in sheets[:40]]
    proba = [proba_of(boxes, i % 2 == 1) for i, boxes in enumerate(read)]
    known = np.array(sheets[:40], int)
    differ = np.array([int(text) != 0 for text in sheets[1]])
    known[1, differ] = -1
    by_hand = DigitCalibrator(by="place", method="matrix").fit(np.stack(proba), known)
    assert found.n_pages_ == by_hand.n_pages_
    np.testing.assert_allclose(found.matrix_, by_hand.matrix_, atol=1e-6)
    np.testing.assert_allclose(found.intercept_, by_hand.intercept_, atol=1e-6)
    assert found.transform(proba_of(["008"], False)[None, :, :])[0, 0, 2, 3] > 0.3


def test_a_store_without_audits_and_what_is_asked_wrongly(misread):
    with Store(misread) as store, pytest.raises(TallyError, match="^method: expected"):
        audited_calibrator(store, method="isotonic")
    result = CliRunner().invoke(main, ["calibrate", str(misread), "--out", "c"])
    assert result.exit_code == 2
    assert "`sktally edits import`" in result.output


def test_the_command_saves_what_reconcile_takes(misread, sheets, tmp_path):
    with Store(misread) as store:
        import_edits(store, readings(sheets[:50]))
    out = tmp_path / "calibrator"
    result = CliRunner().invoke(main, ["calibrate", str(misread), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "learnt from 50 audited pages: log loss of a box" in result.output
    with Store(misread) as store:
        expected = audited_calibrator(store)
    assert (load_model(out).matrix_ == expected.matrix_).all()
    reconcile_store(misread)
    plain = table(misread)
    given = ["reconcile", str(misread), "--calibrator", str(out)]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 0, result.output
    assert "reconciliation 2" in result.output
    # of sheets that no audit has read, more come out as they were written
    truth = np.array(sheets, int)[50:].ravel()
    late = plain["file"].str.extract(r"station_(\d+)", expand=False).astype(int) >= 50
    both = [t.loc[late, "reconciled"].to_numpy() for t in (plain, table(misread))]
    right = [(counts == truth).sum() for counts in both]
    assert right[1] > right[0]


def test_only_a_temperature(misread, sheets):
    with Store(misread) as store:
        import_edits(store, readings(sheets))
        found = audited_calibrator(store, store.run(1), by="all", method="temperature")
    assert found.matrix_ is None
    assert found.temperature_[0] > 1  # sure, and often wrong
