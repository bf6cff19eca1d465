import warnings
from itertools import product

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sktally import (
    TallyError,
    TallyWarning,
    load_reader,
    make_tally_pages,
    read_to_store,
    vote_totals,
)
from sktally.tables import Store, import_edits, store_table
from sktally.totals import store_proba
from sktally.totals._result import figures
from sktally.totals._room import Room
from sktally.votes import count_posterior

FIELDS = ["x", "y", "z"]


def exact_total(proba, field):
    """Return the distribution of a total: counts of sheets are independent."""
    whole = np.ones(1)
    for sheet in proba:
        posterior = count_posterior(sheet[field], blank_right="zero")
        one = np.zeros(posterior.counts[-1] + 1)
        one[posterior.counts] = posterior.proba
        whole = np.convolve(whole, one)
    return whole


def test_draws_of_a_total_are_its_convolution(kit, plain_form):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 1000, (6, 3))
    proba = kit.doubtful(counts, rng)
    table = kit.table_of(counts, FIELDS)
    n = 10_000
    found = vote_totals(
        table, form=plain_form, digit_proba=proba, n_draws=n, random_state=1
    )
    assert (found.table["total"] == counts.sum(axis=0)).all()
    for j in range(3):
        exact = np.cumsum(exact_total(proba, j))
        draws = found.draws[:, 0, j].astype(int)
        seen = np.searchsorted(np.sort(draws), np.arange(len(exact)), "right") / n
        assert np.abs(seen - exact).max() < 1.95 / np.sqrt(n)  # Kolmogorov, 0.1 %
        row = found.table.iloc[j]
        error = 4 * np.sqrt(0.025 * 0.975 / n)
        assert exact[row["lower"]] > 0.025 - error
        assert exact[row["lower"] - 1] < 0.025 + error
        assert exact[row["upper"]] > 0.975 - error
        assert exact[row["upper"] - 1] < 0.975 + error
        mean = exact_total(proba, j) @ np.arange(len(exact))
        assert row["expected"] == pytest.approx(mean, rel=0.02)


def test_shares_are_drawn_with_their_parties(kit, plain_form):
    """A vote that may be one of x cannot be one of y at the same time."""
    counts = np.array([[500, 300, 200]])
    proba = kit.doubtful(counts, np.random.default_rng(0), share=0)
    proba[0, 0, 0] = 0
    proba[0, 0, 0, [5, 8]] = 0.5  # 500 or 800
    with pytest.warns(TallyWarning, match="rest on a single sheet"):
        found = vote_totals(
            kit.table_of(counts, FIELDS), form=plain_form, digit_proba=proba
        ).table
    assert found["share_lower"].tolist() == pytest.approx([0.5, 300 / 1300, 200 / 1300])
    assert found["share_upper"].tolist() == pytest.approx([800 / 1300, 0.3, 0.2])


def test_groups_add_up_to_all(kit, plain_form):
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 300, (9, 3))
    table = kit.table_of(counts, FIELDS, district=list("NSNWSWNSW"))
    options = {"form": plain_form, "digit_proba": kit.doubtful(counts, rng)}
    options |= {"n_draws": 100, "random_state": 4}
    whole = vote_totals(table, **options)
    parts = vote_totals(table, by="district", **options)
    assert parts.groups["district"].tolist() == ["N", "S", "W"]
    assert (parts.draws.sum(axis=1) == whole.draws[:, 0]).all()
    assert parts.table["total"].sum() == counts.sum()
    assert parts.table["n_read"].eq(3).all()
    again = vote_totals(table, by=["district"], **options)
    pd.testing.assert_frame_equal(parts.table, again.table)


def test_what_people_decided_is_certain(kit, plain_form):
    rng = np.random.default_rng(2)
    counts = rng.integers(0, 300, (2, 3))
    table = kit.table_of(counts, FIELDS).assign(final=lambda t: t["count"])
    table.loc[0, "final"] = 777
    proba = kit.doubtful(counts, rng, share=1)
    options = {"form": plain_form, "digit_proba": proba, "random_state": 0}
    found = vote_totals(table, by="file", **options).table
    assert found.loc[0, ["total", "lower", "upper"]].tolist() == [777] * 3
    assert (found["lower"] < found["upper"])[1:].all()
    as_read = vote_totals(table, by="file", counts="count", **options).table
    assert as_read.loc[0, "total"] == counts[0, 0]
    assert as_read.loc[0, "lower"] < as_read.loc[0, "upper"]
    told = table.assign(certain=True)
    sure = vote_totals(told, by="file", **options).table
    assert (sure["lower"] == sure["upper"]).all()


pytestmark = pytest.mark.filterwarnings("ignore:.*rest on a single sheet")


def test_a_certain_field_tells_the_others_of_its_sum(kit, small_form):
    counts = np.array([[13, 24, 42]])
    proba = np.array([[kit.boxes_of(n, 2) for n in counts[0]]])
    proba[0, 0, 1, [3, 8]] = 0.5
    proba[0, 1, 1, [4, 9]] = 0.5
    table = kit.table_of(counts, ["a", "b", "both"])
    table["final"] = table["count"].where(table["field"] != "b", 29)
    found = vote_totals(table, form=small_form, digit_proba=proba, random_state=0)
    assert found.fields == ["a", "b"]
    assert (found.draws[:, 0, 0] == 13).mean() > 0.95


def test_what_sums_say_of_a_field_not_read_is_no_certainty(kit, small_form):
    table = kit.table_of([[13, -1, 42]], ["a", "b", "both"])
    table["reconciled"] = table["count"].fillna(29)
    table["final"] = table["reconciled"]
    proba = np.array([[kit.boxes_of(n, 2) for n in (13, 0, 42)]])
    proba[0, 1] = np.nan
    found = vote_totals(table, form=small_form, digit_proba=proba, random_state=0)
    assert found.table["total"].tolist() == [13, 29]
    of_b = found.draws[:, 0, 1]
    assert 0.9 < (of_b == 29).mean() < 1  # clerks err
    as_read = vote_totals(
        table, counts="count", form=small_form, digit_proba=proba, random_state=0
    )
    assert as_read.table["total"].tolist() == [13, 0]
    assert as_read.table["n_unread"].tolist() == [0, 1]


def test_weights_count_draws_too(kit, plain_form):
    counts = np.array([[1, 2, 3], [4, 5, 6]])
    options = {"form": plain_form, "random_state": 0, "n_draws": 50}
    options["digit_proba"] = kit.doubtful(counts, np.random.default_rng(0), share=1)
    table = kit.table_of(counts, FIELDS, once=[1, 1], thrice=[3, 3], first=[1, 0])
    once = vote_totals(table, weights="once", **options)
    assert (
        vote_totals(table, weights="thrice", **options).draws == 3 * once.draws
    ).all()
    first = vote_totals(table, by="file", **options).draws[:, 0]
    assert (vote_totals(table, weights="first", **options).draws[:, 0] == first).all()


def test_ends_of_intervals_are_draws_on_the_outer_side():
    draws = np.array([1.0, 3.0, 4.0, 8.0])[:, None, None]
    nothing = Room(np.zeros((1, 1)), np.zeros((1, 1)))
    found = figures(draws[0], draws, nothing, np.ones((1, 1)), 0.5)
    assert (found["lower"].item(), found["upper"].item()) == (1, 8)


def test_weights_count_sheets_several_times(kit):
    counts = np.array([[1, 2, 3], [4, 5, 6]])
    once = vote_totals(kit.table_of(counts, FIELDS, w=[1, 3]), weights="w").table
    often = vote_totals(kit.table_of(counts[[0, 1, 1, 1]], FIELDS)).table
    assert once["total"].tolist() == often["total"].tolist()
    assert once["share"].tolist() == often["share"].tolist()


# What was not read


@settings(max_examples=30, deadline=None)
@given(
    counts=st.lists(st.tuples(*[st.integers(-1, 3)] * 3), min_size=1, max_size=2),
    spare=st.sampled_from([0, 1, 2, None]),
)
def test_bounds_are_the_extremes_of_all_that_is_possible(kit, counts, spare):
    counts = np.array(counts[:1] if spare is None else counts)
    if not (counts >= 0).any():
        return
    most = 9 if spare is None else spare  # of a box, or of the voters that are left
    voters = np.maximum(counts, 0).sum(axis=1) + most
    table = kit.table_of(counts, FIELDS, voters=voters).assign(boxes="1")
    found = vote_totals(table, registered=None if spare is None else "voters").table
    possible = [
        [
            way
            for way in product(*([n] if n >= 0 else range(most + 1) for n in row))
            if spare is None or sum(way) <= limit
        ]
        for row, limit in zip(counts, voters)
    ]
    sums = np.array([np.sum(ways, axis=0) for ways in product(*possible)])
    assert (found["lowest"] == sums.min(axis=0)).all()
    assert (found["highest"] == sums.max(axis=0)).all()
    if sums.sum(axis=1).min() > 0:
        shares = sums / sums.sum(axis=1, keepdims=True)
        lowest, highest = found["share_lowest"], found["share_highest"]
        assert lowest.tolist() == pytest.approx(shares.min(axis=0).tolist())
        assert highest.tolist() == pytest.approx(shares.max(axis=0).tolist())


def test_missing_stations_are_bounded_by_their_voters(kit, plain_form):
    table = kit.table_of([[50, 30, 20], [-1, -1, -1]], FIELDS)
    stations = pd.DataFrame(
        {
            "station": ["0", "1", "2"],
            "district": ["N", "N", "S"],
            "voters": [200, 80, 70],
        }
    )
    found = vote_totals(
        table, stations=stations, by="district", registered="voters"
    ).table
    north, south = found.iloc[:3], found.iloc[3:]
    assert north["total"].tolist() == [50, 30, 20]
    assert north["highest"].tolist() == [130, 110, 100]
    assert north["share_highest"].tolist() == pytest.approx(
        [130 / 180, 110 / 180, 100 / 180]
    )
    assert north["share_lowest"].tolist() == pytest.approx(
        [50 / 180, 30 / 180, 20 / 180]
    )
    assert (north["n_read"] == 1).all() and (north["n_unread"] == 1).all()
    assert south["total"].eq(0).all() and south["share"].isna().all()
    assert south["highest"].eq(70).all() and south["n_missing"].eq(1).all()
    by_boxes = vote_totals(table.assign(boxes="123"), stations=stations).table
    assert by_boxes["highest"].tolist() == [50 + 2 * 999, 30 + 2 * 999, 20 + 2 * 999]


def test_what_was_not_read_is_bounded_by_the_largest_of_the_form(kit, plain_form):
    table = kit.table_of([[50, 30, 20], [-1, -1, -1]], FIELDS)
    x, *others = plain_form.fields
    fields = (x.model_copy(update={"largest": 300}), *others)
    form = plain_form.model_copy(update={"fields": fields})
    proba = np.full((2, 3, 3, 12), np.nan)
    proba[0] = [kit.boxes_of(n, 3) for n in (50, 30, 20)]
    found = vote_totals(table, form=form, digit_proba=proba, random_state=0).table
    assert found["highest"].tolist() == [50 + 300, 30 + 999, 20 + 999]
    # of the others not one vote more, of itself all there is room for
    assert found["share_highest"][0] == pytest.approx(350 / 400)
    assert found["share_lowest"][1] == pytest.approx(30 / (100 + 300 + 999))


# What is told


def told(call, *arguments, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = call(*arguments, **options)
    assert all(issubclass(w.category, TallyWarning) for w in caught)
    return found, [str(w.message) for w in caught]


def test_more_votes_than_voters_are_told_by_sheet(kit):
    table = kit.table_of([[50, 30, 20], [9, 9, 9]], FIELDS, voters=[99, 300])
    found, texts = told(vote_totals, table, registered="voters")
    unread = kit.table_of([[50, 60, -1]], FIELDS, voters=99)
    full, _ = told(vote_totals, unread, registered="voters")
    assert full.table["highest"].tolist() == [50, 60, 0]  # and not less
    assert texts == [
        "1 sheets have more votes than registered voters, such as scans/0.png: 100 of "
        "99; look at those in `over`"
    ]
    assert found.over.to_dict("records") == [
        {"file": "scans/0.png", "page": 1, "votes": 100, "registered": 99}
    ]


def test_groups_of_a_single_sheet_are_told(kit):
    table = kit.table_of(np.ones((3, 3)), FIELDS, district=["N", "S", "S"])
    _, texts = told(vote_totals, table, by="district")
    assert texts == [
        "1 of 2 groups rest on a single sheet, and so do their intervals: district N"
    ]


def test_stations_that_do_not_fit_are_told(kit):
    table = kit.table_of(np.ones((3, 3)), FIELDS)
    table["file"] = table["file"].str.replace("scans/1", "other/0")
    stations = pd.DataFrame({"station": ["0", "5"], "district": ["N", "N"]})
    found, texts = told(vote_totals, table, stations=stations, by="district")
    assert texts[0] == "1 page without a station: scans/2.png"
    assert "may count twice" in texts[1] and "0 (scans/0.png, other/0.png)" in texts[1]
    assert "1 of 4 sheets have no district" in texts[2]
    assert found.table["district"].isna().sum() == 3
    assert found.table["total"].sum() == 9


def test_high_quality_alone_is_told_to_be_no_random_choice(kit):
    counts = [[60, 40, 0], [60, 40, 0], [10, 30, 10], [-1, -1, -1]]
    table = kit.table_of(
        counts, FIELDS, tally_quality=[0.95, 0.95, 0.8, np.nan], district=list("NNSS")
    )
    found, texts = told(vote_totals, table, min_quality=0.9, by="district")
    assert texts[0] == (
        "2 of 3 sheets read are of quality above 0.9, and they are no random ones: "
        "votes a sheet 100 against 50 on the others, share of x 0.6 against 0.2 on the "
        "others, sheets of district N 1 against 0 on the others"
    )
    assert found.table["total"].tolist() == [120, 80, 0, 0, 0, 0]
    assert found.table["n_unread"].tolist() == [0, 0, 0, 2, 2, 2]
    row = found.composition.set_index("what").loc["share of y"]
    assert row.tolist() == pytest.approx([0.4, 0.6, -0.2])
    same, texts = told(vote_totals, table, min_quality=0.5)
    assert texts == [] and same.table["total"].sum() == 250


# Mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": ["x", "q"]}, "fields: expected some of x, y, z, each once, got q"),
        ({"fields": ["x", "x"]}, "each once, got x, x"),
        ({"fields": []}, "got none"),
        ({"by": "town"}, "by: no column 'town' in the table or its stations"),
        ({"registered": "town"}, "registered: no column 'town'"),
        ({"weights": "town"}, "weights: no column 'town'"),
        ({"weights": "nought"}, "weights: expected some above 0 in every group"),
        ({"weights": "less"}, "weights: less: expected numbers of 0 or more, got -1"),
        ({"weights": "gaps"}, "weights: expected one for every sheet, got none for 1"),
        ({"registered": "words"}, "registered: words: expected numbers .* got many"),
        ({"counts": "final"}, "expected columns file, page, field and final"),
        ({"min_quality": 0.9}, "min_quality: expected a column tally_quality"),
        ({"confidence_level": 2}, "confidence_level: expected a number in"),
        ({"n_draws": -1}, "n_draws: expected an integer"),
        ({"digit_proba": np.zeros((2, 3, 3, 12))}, "form: expected the form"),
        ({"form": "indonesia-2024"}, "expected fields paslon_1, .* got x, y, z"),
    ],
)
def test_mistakes_are_named(kit, options, message):
    table = kit.table_of(
        [[1, 2, 3], [4, 5, 6]], FIELDS, nought=[0, 0], less=[1, -1], gaps=[1, np.nan]
    )
    table["words"] = "many"
    with pytest.raises(TallyError, match=message):
        vote_totals(table, **options)


def test_zero_weights_of_one_group_are_named(kit):
    table = kit.table_of(np.ones((2, 3)), FIELDS, w=[0, 1], district=["N", "S"])
    with pytest.raises(TallyError, match="got only 0 in district N"):
        vote_totals(table, by="district", weights="w")


@pytest.mark.parametrize(
    ("value", "message"),
    [(-1, "count: expected a whole number of 0 or more"), (1.5, "got 1.5")],
)
def test_counts_that_are_none_are_named(kit, value, message):
    table = kit.table_of([[1, 2, 3]], FIELDS).astype({"count": "Float64"})
    table.loc[1, "count"] = value
    with pytest.raises(TallyError, match=message):
        vote_totals(table)


def test_no_sheet_read_is_an_error(kit):
    with pytest.raises(TallyError, match="expected counts that were read, got none on"):
        vote_totals(kit.table_of([[-1, -1, -1]], FIELDS))
    high = kit.table_of([[1, 2, 3]], FIELDS, tally_quality=[0.8])
    with pytest.raises(TallyError, match="above 0.9, got none of 1 that were read"):
        vote_totals(high, min_quality=0.9)


def test_no_sheet_at_all_is_an_error(kit, plain_form):
    table = kit.table_of([[1, 2, 3]], FIELDS)[:0]
    for options in ({}, {"form": plain_form}):
        with pytest.raises(
            TallyError, match="table: expected rows of sheets, got none"
        ):
            vote_totals(table, **options)


def test_rows_that_are_there_twice_are_an_error(kit):
    table = kit.table_of([[1, 2, 3]], FIELDS)
    with pytest.raises(TallyError, match="field x more than once"):
        vote_totals(pd.concat([table, table]))


def test_probabilities_of_other_pages_are_an_error(kit, plain_form):
    counts = np.array([[123, 456, 789], [222, 333, 444]])
    proba = np.array([[kit.boxes_of(n, 3) for n in row] for row in counts])
    table = kit.table_of(counts, FIELDS)
    table["boxes"] = [f"{n:03d}" for n in counts.ravel()]
    vote_totals(table, form=plain_form, digit_proba=proba)
    with pytest.raises(TallyError, match="6 of 6 fields read otherwise"):
        vote_totals(table, form=plain_form, digit_proba=proba[::-1])
    with pytest.raises(TallyError, match=r"expected shape \(2, 3, 3, 12\)"):
        vote_totals(table, form=plain_form, digit_proba=proba[:1])
    proba[0, 0] = np.nan
    with pytest.raises(TallyError, match="sheet 0: expected probabilities of all"):
        vote_totals(table, form=plain_form, digit_proba=proba)


def test_too_many_sums_are_refused_before_they_are_made(kit, plain_form):
    counts = np.ones((300, 3), int)
    proba = np.array([[kit.boxes_of(n, 3) for n in row] for row in counts])
    table = kit.table_of(counts, FIELDS)
    with pytest.raises(TallyError, match="1000000 draws of 300 groups of 3 fields"):
        vote_totals(table, by="file", form=plain_form, digit_proba=proba, n_draws=10**6)


def test_other_sources_are_refused():
    with pytest.raises(TallyError, match="source: expected a table"):
        vote_totals([1, 2, 3])


# From a store


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Three scans in a store, one of them no scan, and what was read."""
    folder = tmp_path_factory.mktemp("totals")
    reader = load_reader("example")
    made = make_tally_pages(2, form="example", random_state=0)
    names = [str(folder / f"{i}.png") for i in range(3)]
    for name, page in zip(names, made.pages):
        cv2.imwrite(name, page)
    (folder / "2.png").write_bytes(b"no picture")
    path = folder / "votes.sqlite"
    read_to_store(reader, names, path)
    proba = reader[-1].predict_tallies(reader[:-1].transform(names[:2])).digit_proba
    return path, proba


def test_a_store_gives_the_totals_of_its_table(stored):
    path, proba = stored
    with Store(path) as store:
        table = store_table(store)
        kept = [sheet.digit_proba for sheet in store_proba(store)]
        within = vote_totals(store, random_state=0)
    assert np.array_equal(np.stack(kept), proba, equal_nan=True)
    found = vote_totals(path, random_state=0)
    padded = np.concatenate([proba, np.full_like(proba[:1], np.nan)])
    options = {"form": "example", "digit_proba": padded, "random_state": 0}
    same = vote_totals(table, **options)
    assert (found.draws == same.draws).all()
    pd.testing.assert_frame_equal(found.table, same.table)
    pd.testing.assert_frame_equal(found.table, within.table)
    assert found.fields == ["01", "02", "03"]  # invalid votes are added to valid ones
    assert (found.table["n_unread"] == 1).all()
    with pytest.raises(TallyError, match="a store has its own"):
        vote_totals(path, form="example")


def test_corrections_in_a_store_are_certain(stored, tmp_path):
    path, _ = stored
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(path.read_bytes())
    before = vote_totals(copy, fields=["01", "02"], random_state=0).table
    rows = {"file": ["0.png"] * 2, "field": ["01", "02"], "who": ["ana"] * 2}
    rows["count"] = ["95", "70"]
    with Store(copy) as store:
        import_edits(store, pd.DataFrame(rows))
        edited = [sheet.edited.tolist() for sheet in store_proba(store)]
    assert edited == [[True, True, False, False, False, False], [False] * 6]
    after = vote_totals(copy, fields=["01", "02"], random_state=0).table
    assert after["lower"].tolist() == after["upper"].tolist()
    assert before["lower"].tolist() != before["upper"].tolist()


def test_damaged_probabilities_are_told(stored, tmp_path):
    path, _ = stored
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(path.read_bytes())
    with Store(copy) as store:
        store.base.execute("DROP TRIGGER fields_update")
        store.base.execute("UPDATE fields SET proba = x'00' WHERE place = 0")
        with pytest.raises(TallyError, match="field 01: expected probabilities of 3"):
            list(store_proba(store))


TWO = pd.DataFrame({"file": list("aabb"), "page": 1, "field": list("xyxy")}).assign(
    count=[60, 40, 70, 30]
)


@pytest.mark.parametrize("count", [1e20, np.inf, 1e300])
def test_counts_too_large_for_any_sheet_do_not_pass_as_unread(count):
    with pytest.raises(TallyError, match="field x: count: expected a whole number"):
        vote_totals(TWO.assign(count=[count, 40, 70, 30]))


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"final": 1, "count": "x"}, {}, "field x: count: expected a whole number"),
        ({"voters": [None, None, -5, -5]}, {"registered": "voters"}, "got -5"),
        ({"d": 1}, {"by": ["d", "d"]}, "by: expected each column once, got d, d"),
        ({"total": 1}, {"by": "total"}, "by: .* got total; rename it"),
        ({"n_read": 1}, {"by": "n_read"}, "by: .* got n_read; rename it"),
    ],
)
def test_columns_that_do_not_fit(columns, options, message):
    with pytest.raises(TallyError, match=message):
        vote_totals(TWO.assign(**columns), **options)


def test_columns_of_one_name():
    with pytest.raises(TallyError, match="expected one column 'count', got several"):
        vote_totals(pd.concat([TWO, TWO[["count"]]], axis=1))


def test_what_is_known_of_a_field_is_no_column_of_its_sheet():
    with pytest.raises(TallyError, match="by: no column 'reconciled_proba'"):
        vote_totals(TWO.assign(reconciled_proba=0.9), by="reconciled_proba")


@pytest.mark.parametrize("option", ["by", "registered", "weights"])
def test_columns_that_differ_within_a_sheet_are_named(kit, option):
    table = kit.table_of([[1, 2], [3, 4]], ["a", "b"], place=[7, 8])
    vote_totals(table, **{option: "place"})
    table.loc[3, "place"] = 9
    vote_totals(table)  # does not need it
    message = (
        "column 'place': expected one value for each sheet, got several for scans/1"
    )
    with pytest.raises(TallyError, match=message):
        vote_totals(table, **{option: "place"})
    table["place"] = table["place"].where(table.index != 3)
    with pytest.raises(TallyError, match=message):
        vote_totals(table, **{option: "place"})
    table["place"] = np.nan  # nowhere known: of all rows alike
    vote_totals(table, **({option: "place"} if option == "registered" else {}))


def test_an_exported_table_without_probabilities_warns(kit):
    table = kit.table_of([[1, 2, 3], [4, 5, 6]], FIELDS)
    table["final"] = table["count"]
    with pytest.warns(TallyWarning, match="no intervals; pass the store"):
        found = vote_totals(table)
    assert found.table["lower"].isna().all()
    assert vote_totals(table, n_draws=0).table.equals(found.table)
