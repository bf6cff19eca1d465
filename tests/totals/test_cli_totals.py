import io
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from sktally import (
    load_reader,
    make_tally_pages,
    read_to_store,
    review_order,
    save_model,
    vote_totals,
)
from sktally.cli import main
from sktally.tables import Store, import_edits, store_table
from sktally.totals import draw_counts, store_proba
from sktally.votes import DigitCalibrator


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    made = make_tally_pages(3, form="example", random_state=7)
    names = [str(folder / f"{i}.png") for i in range(3)]
    for name, page in zip(names, made.pages):
        cv2.imwrite(name, page)
    read_to_store(load_reader("example"), names, folder / "votes.sqlite")
    stations = {"station": list("0123"), "district": list("NNSS"), "voters": 900}
    pd.DataFrame(stations).to_csv(folder / "stations.csv", index=False)
    return folder / "votes.sqlite"


@pytest.mark.filterwarnings("default")  # what is warned of becomes a line
def test_totals_are_those_of_vote_totals(store, tmp_path):
    out, stations = tmp_path / "totals.csv", store.parent / "stations.csv"
    options = ["--by", "district", "--fields", "01,02", "--registered", "voters"]
    result = run("totals", store, "--stations", stations, *options, "--out", out)
    assert result.exit_code == 0, result.output
    with pytest.warns(match="rest on a single sheet"):
        found = vote_totals(
            store,
            stations=stations,
            by="district",
            fields=["01", "02"],
            registered="voters",
            random_state=0,
        )
    written = pd.read_csv(out, dtype={"field": str})
    assert written["total"].tolist() == found.table["total"].tolist()
    assert written["highest"].tolist() == found.table["highest"].tolist()
    assert "1 of 2 groups rest on a single sheet" in result.stderr
    assert " leads " in result.stderr


def test_totals_are_printed_without_out(store):
    result = run("totals", store)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("field,total,expected,lower,upper,share,")
    assert [line.split(",")[0] for line in lines[1:]] == ["01", "02", "03"]
    result = run("totals", store, "--by", "stem")
    assert "(`--station-by`); `by` is what to group by" in result.stderr


def test_review_lists_pages_by_the_votes_that_a_look_mends(store, tmp_path):
    """Expected errors by draws of whole sheets, which are made in another way."""
    form = load_reader("example")[0].form_
    with Store(store) as opened:
        proba = np.stack([sheet.digit_proba for sheet in store_proba(opened)])
        final = store_table(opened)["final"].to_numpy(int).reshape(3, -1)
    drawn = draw_counts(proba, form, n_draws=20_000, random_state=0)
    off = np.abs(drawn - final).mean(axis=0).sum(axis=1)
    out = tmp_path / "review.csv"
    result = run("review", store, "--out", out)
    assert result.exit_code == 0, result.output
    written = pd.read_csv(out)
    at = [int(Path(file).stem) for file in written["file"]]
    assert written["votes"].to_numpy() == pytest.approx(off[at], rel=0.15, abs=0.05)
    assert written["votes_per_hour"].is_monotonic_decreasing
    assert written["votes_left"].iloc[-1] == 0
    assert result.stderr.startswith("sktally: 3 of 3 pages, 2 minutes: of ")
    first = run("review", store, "--pages", 1, "--fields", "01,02")
    assert len(first.stdout.splitlines()) == 2
    assert "sktally: 1 of 3 pages" in first.stderr
    assert run("review", store, "--votes-left", 1e9).stdout.count("\n") == 1


def test_review_takes_a_calibrator_and_voters(store, tmp_path):
    stations = ["--stations", store.parent / "stations.csv"]
    flat = DigitCalibrator()
    flat.temperature_, flat.log_loss_, flat.n_pages_ = np.array([4.0]), (1.0, 1.0), 20
    saved = save_model(flat, tmp_path / "flat")
    plain = run("review", store, *stations, "--registered", "voters")
    doubted = run("review", store, "--calibrator", saved)
    assert plain.exit_code == doubted.exit_code == 0, doubted.output
    votes = [
        pd.read_csv(io.StringIO(result.stdout))["votes"].sum()
        for result in (plain, doubted)
    ]
    assert votes[1] > 2 * votes[0]
    assert votes[1] == pytest.approx(
        review_order(store, calibrator=flat).pages["votes"].sum()
    )
    wrong = run("review", store, "--calibrator", "default")
    assert wrong.exit_code == 2
    assert "expected a reader that was calibrated, or a DigitCalib" in wrong.stderr
    totals = run("totals", store, "--calibrator", saved)
    assert totals.exit_code == 0 and totals.stdout != run("totals", store).stdout


def test_what_people_have_decided_is_not_looked_at_again(tmp_path):
    made = make_tally_pages(2, form="example", random_state=7)
    names = [str(tmp_path / f"{i}.png") for i in range(2)]
    for name, page in zip(names, made.pages):
        cv2.imwrite(name, page)
    path = tmp_path / "votes.sqlite"
    reader = load_reader("example")
    read_to_store(reader, names, path)
    fields = reader[0].form_.field_names
    edits = pd.DataFrame({"file": names[0], "field": fields, "who": "ana"})
    edits["count"] = [*map(str, made.counts[0][:-1]), ""]  # the last one cannot be read
    with Store(path) as store:
        import_edits(store, edits.iloc[:2])
        before = review_order(store).pages
        import_edits(store, edits.iloc[2:])
        after = review_order(store).pages
    assert sorted(before["fields"]) == [len(fields) - 2, len(fields)]
    assert after["file"].tolist() == [names[1]]
    with Store(path) as store:
        import_edits(store, edits.assign(file=names[1]))
    result = run("review", path)
    assert result.exit_code == 2 and "people have decided every field" in result.stderr


def test_mistakes_are_one_line(store, tmp_path):
    result = run("totals", store, "--by", "town")
    assert result.exit_code == 2
    assert result.stderr.startswith("sktally: by: no column 'town'")
    assert len(result.stderr.splitlines()) == 1
    assert run("totals", store, "--out", tmp_path / "totals.xls").exit_code == 2


@pytest.mark.parametrize(
    ("verb", "option", "value"),
    [
        ("review", "--pages", -1),
        ("review", "--votes-left", -1),
        ("review", "--page-seconds", -1),
        ("review", "--field-seconds", -0.5),
        ("totals", "--draws", 0),
        ("totals", "--confidence-level", 1),
        ("totals", "--confidence-level", 95),
        ("totals", "--seed", -1),
        ("export", "--run", 0),
        ("report", "--worst", -1),
        ("demo", "--pages", 0),
        ("demo", "--seed", -1),
        ("read", "--jobs", 1000),
    ],
)
def test_numbers_out_of_range_are_refused_alike(verb, option, value, store):
    result = run(verb, *[store] * (verb != "demo"), option, value)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.stderr
    assert "is not in the range" in result.stderr


@pytest.mark.filterwarnings("default")  # what is warned of becomes a line
def test_review_goes_on_without_stations_and_with_too_many_votes(store, tmp_path):
    """A count above the voters is misread, and its page comes first."""
    stations = tmp_path / "stations.csv"
    stations.write_text("station,voters\n0,900\n1,1\n")
    how = ["--stations", stations, "--registered", "voters"]
    result = run("review", store, *how)
    assert result.exit_code == 0, result.output
    assert "1 page without a station" in result.stderr
    table = pd.read_csv(io.StringIO(result.stdout))
    assert len(table) == 3
    over = table.set_index(table["file"].map(lambda file: Path(file).stem))
    assert over.loc["1", "counts"] == 6  # none of its counts can be right
