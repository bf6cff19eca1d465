from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sktally import TallyError, load_reader, make_tally_pages, read_tallies
from sktally.tables import COLUMNS, check_table_path, write_table


@pytest.fixture(scope="module")
def made():
    return make_tally_pages(3, form="example", random_state=3)


@pytest.fixture(scope="module")
def reader():
    return load_reader("example")


@pytest.fixture(scope="module")
def table(made, reader):
    blank = np.full_like(made.pages[0], 255)
    pages = [made.pages[0], blank, "missing.jpg", *made.pages[1:]]
    return read_tallies(reader, pages, batch_size=2)


def test_one_row_per_page_and_field(table, made):
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 5 * 6
    assert table["field"].tolist() == 5 * list(made.form.field_names)
    assert table["file"].drop_duplicates().tolist() == [
        "array 0",
        "array 1",
        "missing.jpg",
        "array 3",
        "array 4",
    ]
    assert str(table["count"].dtype) == "Int64"


def test_bad_pages_cost_their_own_rows_only(table, made):
    by_page = table.groupby("file")["status"].first()
    assert by_page["array 1"] == "rejected"
    assert by_page["missing.jpg"] == "failed"
    bad = table[table["file"].isin(["array 1", "missing.jpg"])]
    assert bad["count"].isna().all() and bad["confidence"].isna().all()
    assert bad["message"].str.len().min() > 20
    assert (
        bad["message"][bad["file"] == "missing.jpg"].str.contains("missing.jpg").all()
    )


def test_counts_are_those_of_the_pipeline(table, made, reader):
    read = reader.predict(made.pages)
    rows = table[table["file"].isin(["array 0", "array 3", "array 4"])]
    np.testing.assert_array_equal(rows["count"].to_numpy(int), read.ravel())
    assert (read == made.counts).mean() > 0.9
    assert rows["confidence"].between(0, 1).all()


def test_sums_that_do_not_hold_are_said_on_their_fields(reader):
    made = make_tally_pages(12, form="example", sums_hold=0.0, random_state=5)
    table = read_tallies(reader, made.pages)
    table["true"] = made.counts.ravel()
    table["wrong"] = table["count"] != table["true"]
    checked = 0
    for _, rows in table.groupby("file", sort=False):
        value = rows.set_index("field")["count"]
        message = rows.set_index("field")["message"]
        parts = value[["01", "02", "03"]].sum()
        if value.isna().any() or parts == value["valid"]:
            continue
        checked += 1
        text = f"valid reads {value['valid']} but 01 + 02 + 03 = {parts}"
        assert (
            message[["01", "02", "03", "valid"]].str.contains(text, regex=False).all()
        )
        assert text not in message["invalid"]
    assert checked > 0


@pytest.fixture(scope="module")
def amiss(made):
    """A reader by a form of which one field is described beside its place."""
    first, *others = made.form.fields
    x, y = first.start
    aside = (x + 0.9 * first.box[0], y + 0.9 * first.box[1])
    first = first.model_copy(update={"start": aside})
    return load_reader(made.form.model_copy(update={"fields": (first, *others)}))


def test_a_field_whose_frames_fit_badly_is_a_misfit(made, amiss, table):
    read = read_tallies(amiss, made.pages)
    first, others = read[read["field"] == "01"], read[read["field"] != "01"]
    assert (first["status"] == "misfit").all()
    assert not (others["status"] == "misfit").any()
    fits = [amiss[0].crop([p])[1][0].registration.field_scores for p in made.pages]
    for message, (score, *rest) in zip(first["message"], fits, strict=True):
        assert f"frames fit badly, {score:.2f} (needed 0.60)" in message
        assert score < 0.6 <= min(rest)
    alike = table[table["status"].isin(["ok", "ambiguous"]) & (table["field"] != "01")]
    np.testing.assert_array_equal(others["count"], alike["count"])


def test_a_count_above_the_largest_is_kept_and_doubtful(made, reader, table):
    first, *others = made.form.fields
    most = int(np.sort(made.counts[:, 0])[1])  # one of three pages has more
    first = first.model_copy(update={"largest": most})
    form = made.form.model_copy(update={"fields": (first, *others)})
    read = read_tallies(load_reader(form), made.pages)
    before = table[table["status"].isin(["ok", "ambiguous"])].reset_index(drop=True)
    above = (read["field"] == "01") & (read["count"] > most)
    assert above.sum() == 1
    np.testing.assert_array_equal(read["count"], before["count"])
    assert (read["status"][above] == "ambiguous").all()
    pd.testing.assert_series_equal(read["status"][~above], before["status"][~above])
    said = f"{read['count'][above].item()} is more than the {most} that the form allows"
    assert read["message"][above].item().startswith(said)
    assert not read["message"][~above].str.contains("the form allows").any()


def test_progress_is_told_of_every_page(made, reader):
    done = []
    read_tallies(reader, made.pages, batch_size=2, progress=done.append)
    assert done == [2, 1]


def test_no_pages_make_an_empty_table(reader):
    table = read_tallies(reader, [])
    assert len(table) == 0 and tuple(table.columns) == COLUMNS
    assert str(table["tally_quality"].dtype) == "Float64"


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ("scans/a.jpg", r"single path 'scans/a.jpg'; give \[path\], or of a folder"),
        (None, "pages: expected one entry a page: .* got NoneType"),
        (["a.jpg", None], r"pages\[1\]: expected a path .* got NoneType"),
    ],
)
def test_what_is_not_one_entry_a_page_is_refused(reader, pages, expected):
    with pytest.raises(TallyError, match=expected):
        read_tallies(reader, pages)


def test_pages_may_be_a_series_or_a_column(reader):
    names = pd.Series(["one.jpg", "two.jpg"], index=[7, 3], name="scan")
    for pages in (names, names.to_frame(), names.to_numpy()):
        table = read_tallies(reader, pages, batch_size=1)
        assert table["file"].drop_duplicates().tolist() == ["one.jpg", "two.jpg"]


def test_messages_name_arrays_by_their_place_in_all_batches(reader):
    blank = np.full((1100, 850), 255, np.uint8)
    table = read_tallies(reader, [blank] * 3, batch_size=2)
    last = table[table["file"] == "array 2"]
    assert len(last) == 6 and last["message"].str.startswith("array 2: ").all()


def test_wrong_readers_are_refused(made, reader):
    with pytest.raises(TallyError, match="expected a Pipeline of TallyCropper"):
        read_tallies(reader[-1], made.pages)
    with pytest.raises(TallyError, match="expected a Pipeline of TallyCropper"):
        read_tallies(reader[:-1], made.pages)
    with pytest.raises(TallyError, match="batch_size: expected an integer in"):
        read_tallies(reader, made.pages, batch_size=0)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_tables_round_trip(table, tmp_path, ending):
    path = tmp_path / f"votes{ending}"
    write_table(table, path)
    read = pd.read_csv(path) if ending == ".csv" else pd.read_parquet(path)
    assert read["count"].isna().sum() == 12
    assert (read["count"].dropna() >= 0).all()
    assert list(tmp_path.iterdir()) == [path]
    if ending == ".parquet":
        pd.testing.assert_frame_equal(read, table, check_dtype=False)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc here")
def test_a_folder_that_cannot_be_written_to():
    with pytest.raises(TallyError, match="/proc/votes.csv: cannot be written .*; choo"):
        check_table_path("/proc/votes.csv")


def test_checking_a_path_leaves_nothing(tmp_path):
    path = tmp_path / "votes.csv"
    assert check_table_path(path) == path
    assert not list(tmp_path.iterdir())
    path.write_text("kept")
    check_table_path(path)
    assert path.read_text() == "kept" and list(tmp_path.iterdir()) == [path]


def test_table_paths_are_checked(tmp_path, table):
    with pytest.raises(
        TallyError, match=r"ends in .csv or .parquet or .dta, got '.xlsx'"
    ):
        write_table(table, tmp_path / "votes.xlsx")
    with pytest.raises(TallyError, match="there is no folder"):
        write_table(table, tmp_path / "gone" / "votes.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(TallyError, match="a table to write, got that of a folder"):
        check_table_path(tmp_path / "folder.csv")
    with pytest.raises(TallyError, match="cannot be written .* name too long"):
        check_table_path(tmp_path / f"{'a' * 250}.csv")
    scan = tmp_path / "scan.jpg"
    with pytest.raises(TallyError, match="never writes beside its input"):
        check_table_path(tmp_path / "votes.csv", [str(scan)])
    with pytest.raises(TallyError, match="never writes beside its input"):
        check_table_path(tmp_path / "votes.csv", [f"{tmp_path}/scan.pdf#page=3"])
