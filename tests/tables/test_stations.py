"""Pages find their stations, and what does not fit is told."""

import cv2
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from sktally import TallyError, TallyWarning, load_reader, read_to_store, vote_totals
from sktally.cli import main
from sktally.tables import file_copies, join_stations, read_codes
from sktally.totals import review_order

STATIONS = pd.DataFrame(
    {"station": ["0017", "0018", "0019"], "district": ["N", "S", "S"], "voters": 500}
)


def table(*files):
    rows = [(file, 1, name) for file in files for name in ("01", "02")]
    return pd.DataFrame(rows, columns=["file", "page", "field"])


def test_by_the_stem_of_the_file():
    joined, report = join_stations(table("a/0017.jpg", "a/17.jpg"), STATIONS)
    assert joined["district"].tolist()[:2] == ["N", "N"]
    assert joined["voters"].isna().tolist() == [False, False, True, True]
    assert joined[["file", "page", "field"]].equals(table("a/0017.jpg", "a/17.jpg"))
    assert report.unmatched == ["a/17.jpg"]  # text, not a number
    assert report.missing == ["0018", "0019"] and report.double == {}
    assert "2 stations without a page: 0018, 0019" in report.text


def test_by_a_pattern_with_stations_twice():
    pages = table(
        "x/tps_0017_a.jpg", "x/tps_0017_b.jpg", "x/tps_0018.jpg", "x/other.jpg"
    )
    joined, report = join_stations(pages, STATIONS, by=r"tps_([0-9]{4})")
    assert joined["station"].isna().sum() == 2
    assert report.double == {"0017": ["x/tps_0017_a.jpg", "x/tps_0017_b.jpg"]}
    assert report.unmatched == ["x/other.jpg"] and report.missing == ["0019"]
    assert "1 station with several pages: 0017 (x/tps_0017_a.jpg, x" in report.text


def test_everything_fits():
    _, report = join_stations(table("0017.jpg", "0018.jpg", "0019.jpg"), STATIONS)
    assert report.text == ""


def test_of_no_pages(tmp_path):
    joined, report = join_stations(table(), STATIONS)
    assert len(joined) == 0 and len(report.missing) == 3


def with_qr(text, made):
    """A made page with a QR code in its upper margin, skewed as a photo might be."""
    code = cv2.QRCodeEncoder.create().encode(text)
    code = cv2.resize(code, None, fx=5, fy=5, interpolation=cv2.INTER_NEAREST)
    code = cv2.copyMakeBorder(code, 20, 20, 20, 20, cv2.BORDER_CONSTANT, value=255)
    page = np.vstack([np.full((len(code), made.shape[1]), 230, np.uint8), made])
    page[: len(code), 40 : 40 + code.shape[1]] = code
    turn = cv2.getRotationMatrix2D((300, 300), 2.0, 1.0)
    size = page.shape[1::-1]
    return cv2.warpAffine(page, turn, size, borderValue=(230,))


LEFT = """0001101 0011001 0010011 0111101 0100011
          0110001 0101111 0111011 0110111 0001011""".split()
PARITY = """OOOOOO OOEOEE OOEEOE OOEEEO OEOOEE
            OEEOOE OEEEOO OEOEOE OEOEEO OEEOEO""".split()


def ean13(digits, width):
    """Draw an EAN-13 bar code, by its specification."""
    right = ["".join("10"[int(b)] for b in code) for code in LEFT]
    even = [code[::-1] for code in right]
    first, *rest = map(int, digits)
    pairs = zip(PARITY[first], rest[:6])
    shown = "".join((LEFT if p == "O" else even)[d] for p, d in pairs)
    bits = f"101{shown}01010{''.join(right[d] for d in rest[6:])}101"
    bar = np.array([0 if b == "1" else 255 for b in bits], np.uint8)
    size = (len(bits) * width, 40 * width)
    return cv2.resize(bar[None], size, interpolation=cv2.INTER_NEAREST)


def test_by_codes_on_the_pages(made, tmp_path):
    files = []
    for i, text in enumerate(["0017", "0018"]):
        files.append(str(tmp_path / f"scan_{i}.png"))
        cv2.imwrite(files[-1], with_qr(text, made.pages[i]))
    files.append(str(tmp_path / "scan_2.png"))
    cv2.imwrite(files[-1], made.pages[2])  # has none
    joined, report = join_stations(
        table(*files, str(tmp_path / "none.png")), STATIONS, by="code"
    )
    assert joined["station"].dropna().tolist() == ["0017"] * 2 + ["0018"] * 2
    assert report.unmatched == [files[2], str(tmp_path / "none.png")]
    assert report.unopened == [str(tmp_path / "none.png")]
    told = "1 page whose code was not read, as the file is gone or cannot be opened: "
    assert f"{told}{tmp_path}/none.png" in report.text.splitlines()
    named = join_stations(table("none.png"), STATIONS)[1]
    assert named.unmatched == ["none.png"] and named.unopened == []


@pytest.mark.parametrize("width", [3, 4, 6])
def test_bar_codes(width):
    page = np.full((2200, 1700), 255, np.uint8)
    bars = ean13("4006381333931", width)
    page[100 : 100 + len(bars), 100 : 100 + bars.shape[1]] = bars
    assert read_codes(page) == ["4006381333931"]
    assert read_codes(np.full((2200, 1700), 255, np.uint8)) == []


def test_lists_that_are_none(tmp_path):
    pages = table("0017.jpg")
    with pytest.raises(TallyError, match="expected a column 'station', got district"):
        join_stations(pages, STATIONS[["district"]])
    with pytest.raises(TallyError, match="each station once, got more than once: 0017"):
        join_stations(pages, pd.concat([STATIONS, STATIONS[:1]]))
    with pytest.raises(TallyError, match="columns that the table has not, got page"):
        join_stations(pages, STATIONS.assign(page=3))
    with pytest.raises(TallyError, match="row 3 names no station"):
        join_stations(pages, STATIONS.assign(station=["1", " ", "2"]))
    with pytest.raises(TallyError, match="got 'tps_.*' with 0"):
        join_stations(pages, STATIONS, by="tps_.*")
    with pytest.raises(TallyError, match=r"regular expression, got '\('"):
        join_stations(pages, STATIONS, by="(")
    with pytest.raises(TallyError, match="expected a CSV file, but there is none of"):
        join_stations(pages, tmp_path / "none.csv")
    empty = tmp_path / "empty.csv"
    empty.touch()
    with pytest.raises(TallyError, match="got an empty one"):
        join_stations(pages, empty)


COPIES = {"a/0017_copy.jpg": ["a/0017.jpg", "b/0017.jpg"], "a/0018.jpg": ["a/0019.jpg"]}


def test_a_copy_names_the_station_of_its_original():
    pages = table("a/0017_copy.jpg", "a/0018.jpg")
    joined, report = join_stations(pages, STATIONS, copies=COPIES)
    assert joined["station"].tolist() == ["0017"] * 2 + ["0018"] * 2
    assert report.copied == {"a/0017_copy.jpg": "b/0017.jpg"}
    assert report.unmatched == [] and report.missing == ["0019"]  # own names go first
    told = "1 page whose station a copy of the file names: a/0017_copy.jpg (b/0017.jpg)"
    assert told in report.text
    assert join_stations(pages, STATIONS)[1].unmatched == ["a/0017_copy.jpg"]


def test_copies_that_name_two_stations_name_none():
    copies = {"x.jpg": ["0017.jpg", "0018.jpg"]}
    report = join_stations(table("x.jpg"), STATIONS, copies=copies)[1]
    assert report.unmatched == ["x.jpg"] and report.copied == {}
    by = {"by": "tps_([0-9]+)", "copies": {"x.jpg": ["other.jpg", "tps_0019.jpg"]}}
    joined, report = join_stations(table("x.jpg"), STATIONS, **by)
    assert joined["station"].tolist() == ["0019"] * 2


def test_a_copy_that_sorts_first_in_a_store(made, tmp_path):
    names = [tmp_path / name for name in ("TPS_001 copy.png", "TPS_001.png")]
    for name in names:
        cv2.imwrite(str(name), made.pages[0])
    store, out = tmp_path / "votes.sqlite", tmp_path / "votes.csv"
    told = read_to_store(load_reader("example"), names, store)
    assert (told.read, told.copies) == (1, 1)
    assert file_copies(store) == {str(names[0]): [str(names[1])]}
    stations = tmp_path / "stations.csv"
    stations.write_text("station,district,voters\nTPS_001,N,900\n")
    args = ["export", store, "--stations", stations, "--out", out]
    done = CliRunner().invoke(main, [str(arg) for arg in args])
    assert "whose station a copy of the file names" in done.stderr
    assert "without a" not in done.stderr
    assert set(pd.read_csv(out)["district"]) == {"N"}
    with pytest.warns(TallyWarning, match="rest on a single sheet"):
        totals = vote_totals(store, stations=stations, by="district", random_state=0)
    assert totals.groups["district"].tolist() == ["N"]
    assert set(totals.table["n_missing"]) == {0}
    plan = review_order(store, stations=stations, registered="voters")
    assert len(plan.pages) == 1


@pytest.mark.parametrize(
    ("column", "found"),
    [
        ("007,12", ["007", "12"]),
        (" 01 ,1", ["01", "1"]),
        ("1E5,12", ["1E5", "12"]),
        ("+01,12", ["+01", "12"]),
        ("NA,N", ["NA", "N"]),
        ("310,95", [310, 95]),
        (" 310 ,0", [310, 0]),
        ("310,NA", [310, None]),
        ("310,", [310, None]),
        ("-1,0.5", [-1.0, 0.5]),
        (",", [None, None]),
    ],
)
def test_codes_stay_text_and_numbers_are_numbers(tmp_path, column, found):
    listed = tmp_path / "stations.csv"
    one, two = column.split(",")
    listed.write_text(f"station,column\nNA,{one}\n001,{two}\n")
    joined, _ = join_stations(table("NA.jpg", "001.jpg"), listed)
    values = joined["column"].tolist()[::2]
    assert [None if pd.isna(value) else value for value in values] == found
    assert joined["station"].tolist()[::2] == ["NA", "001"]
