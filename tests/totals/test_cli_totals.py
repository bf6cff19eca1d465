import cv2
import pandas as pd
import pytest
from click.testing import CliRunner

from sktally import load_reader, make_tally_pages, read_to_store, vote_totals
from sktally.cli import main


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
    assert len(lines) == 5


def test_mistakes_are_one_line(store, tmp_path):
    result = run("totals", store, "--by", "town")
    assert result.exit_code == 2
    assert result.stderr.startswith("sktally: by: no column 'town'")
    assert len(result.stderr.splitlines()) == 1
    assert run("totals", store, "--out", tmp_path / "totals.xls").exit_code == 2
