import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap

from sktally import TallyError, TallyWarning
from sktally.totals import compare_shares, compare_tallies

FIELDS = ["x", "y"]


@pytest.fixture
def table(kit):
    counts = [[60, 40], [70, 30], [20, 20], [-1, 10]]
    return kit.table_of(
        counts, FIELDS, tally_quality=[0.95, 0.92, 0.8, 0.95], district=list("NNSS")
    )


@pytest.fixture
def official():
    return pd.DataFrame(
        {"district": list("NNSS"), "field": FIELDS * 2, "official": [130, 70, 25, 35]}
    )


def shares_of(table, official, **options):
    with pytest.warns(TallyWarning, match="no random ones"):
        return compare_shares(table, official, **options)


def test_three_kinds_of_shares_stand_side_by_side(table, official):
    whole = official.groupby("field", as_index=False)["official"].sum()
    found = shares_of(table, whole)
    assert list(found["sheets"].unique()) == ["all", "high quality", "official"]
    wide = found.pivot(index="sheets", columns="field", values="total")
    assert wide.loc["all"].tolist() == [150, 100]
    assert wide.loc["high quality"].tolist() == [130, 80]
    assert wide.loc["official"].tolist() == [155, 105]
    share = found.pivot(index="sheets", columns="field", values="share")
    assert share.sum(axis=1).tolist() == pytest.approx([1, 1, 1])
    assert found["n_read"].tolist()[:4] == [3, 4, 2, 3]
    assert found["n_read"].isna().sum() == 2


@pytest.mark.filterwarnings("ignore:.*rest on a single sheet")
def test_groups_have_official_shares_of_their_own(table, official):
    found = shares_of(table, official, by="district").query("sheets == 'official'")
    assert found["share"].tolist() == pytest.approx(
        [130 / 200, 70 / 200, 25 / 60, 35 / 60]
    )


def test_official_totals_may_hold_more_than_the_parties(table, official):
    whole = official.groupby("field", as_index=False)["official"].sum()
    found = shares_of(table, whole.assign(official_total=520))
    assert found["share"].tolist()[-2:] == pytest.approx([155 / 520, 105 / 520])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.assign(official_total=259),
            "all: expected no less than .* 260, got 259",
        ),
        (lambda t: t.drop(columns="official"), "got none named official"),
        (
            lambda t: t[:1],
            "votes of every group and party that was read, got none of y",
        ),
        (lambda t: t.assign(field="q"), "expected votes of x, y, got those of q"),
        (
            lambda t: pd.concat([t, t]),
            "expected one row for each of them, got more of x",
        ),
        (lambda t: t.assign(official=[1, -1]), "numbers of 0 or more, got"),
        (
            lambda t: t.assign(official=["1", "many"]),
            "numbers of 0 or more, got 'many'",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*no random ones")
def test_official_results_that_do_not_fit_are_named(table, official, change, message):
    whole = official.groupby("field", as_index=False)["official"].sum()
    with pytest.raises(TallyError, match=message):
        compare_shares(table, change(whole))


# Sheet by sheet


def official_of(counts):
    rows = [
        {"file": f"{i}.png", "field": name, "official": n}
        for i, row in enumerate(counts)
        for name, n in zip(FIELDS, row)
    ]
    return pd.DataFrame(rows)


def test_errors_and_correlations_are_those_of_the_counts(kit):
    rng = np.random.default_rng(0)
    true = rng.integers(0, 300, (40, 2))
    read = np.abs(true + rng.choice([0, 0, 0, 1, -100], (40, 2)))
    found = compare_tallies(
        kit.table_of(read, FIELDS), official_of(true), random_state=0
    )
    error = read - true
    assert (found.tallies["error"] == error.ravel()).all()
    assert found.of("mean absolute error")[0] == pytest.approx(np.abs(error).mean())
    assert found.of("mean error")[0] == pytest.approx(error.mean())
    assert found.of("exact")[0] == pytest.approx((error == 0).mean())
    correlation = np.corrcoef(true.ravel(), read.ravel())[0, 1]
    assert found.of("correlation")[0] == pytest.approx(correlation)
    of_y = np.corrcoef(true[:, 1], read[:, 1])[0, 1]
    assert found.of("correlation", "y")[0] == pytest.approx(of_y)
    with pytest.raises(TallyError, match="got none of 'mean', 'all'"):
        found.of("mean")


def test_intervals_are_those_of_a_bootstrap_of_sheets(kit):
    rng = np.random.default_rng(1)
    true = rng.integers(0, 300, (60, 2))
    # both counts of a sheet go wrong together
    read = true + rng.choice([0, 0, 1, 9], (60, 1))
    found = compare_tallies(
        kit.table_of(read, FIELDS), official_of(true), n_resamples=9999, random_state=0
    ).of("mean absolute error")
    per_sheet = np.abs(read - true).mean(axis=1)
    theirs = bootstrap((per_sheet,), np.mean, method="percentile", rng=0)
    assert found[1:] == pytest.approx(tuple(theirs.confidence_interval), abs=0.1)


def test_where_sheets_cannot_tell_there_is_no_interval(kit):
    true = np.array([[1, 2], [3, 4], [5, 7]])
    found = compare_tallies(kit.table_of(true, FIELDS), official_of(true))
    assert found.of("mean absolute error")[0] == 0
    assert np.isnan(found.of("mean absolute error")[1:]).all()
    assert found.of("exact")[1] < 0.5  # three sheets prove little
    one = compare_tallies(kit.table_of(true[:1] + 1, FIELDS), official_of(true))
    assert np.isnan(one.of("mean error")[1:]).all()


def test_sheets_are_found_by_file_page_or_station(kit):
    true = np.array([[1, 2], [3, 4]])
    table = kit.table_of(true, FIELDS, station=["7", "8"])
    by_path = official_of(true).assign(file=lambda t: "scans/" + t["file"], page=1)
    by_station = official_of(true).assign(station=["7", "7", "8", "8"])
    by_station = by_station.drop(columns="file")
    for official in (by_path, by_station):
        assert len(compare_tallies(table, official).tallies) == 4
    with pytest.raises(TallyError, match="by file, got none of theirs"):
        compare_tallies(table, official_of(true)[:2].assign(file="other.png"))
    with pytest.raises(TallyError, match="expected columns file, field and official"):
        compare_tallies(table, by_station.drop(columns="station"))


def test_counts_that_were_not_read_are_left_out(kit):
    table = kit.table_of([[1, -1], [3, 4]], FIELDS)
    official = official_of([[1, 2], [3, 5]])
    official.loc[2, "official"] = np.nan
    found = compare_tallies(table, official)
    assert found.tallies["error"].tolist() == [0, -1]
    assert compare_tallies(table, official, fields="x").tallies["field"].tolist() == [
        "x"
    ]


SHEETS = pd.DataFrame(
    {"file": ["p/a", "p/a", "q/a", "q/a"], "page": [1, 1, 1, 1], "field": FIELDS * 2}
).assign(count=[60, 40, 70, 30])


@pytest.mark.parametrize("keys", [["file"], ["page"]])
def test_official_counts_of_one_sheet_are_not_those_of_two(keys):
    official = pd.DataFrame({"file": "a", "page": 1, "field": FIELDS, "official": 50})
    with pytest.raises(TallyError, match="got several sheets of"):
        compare_tallies(SHEETS, official[[*keys, "field", "official"]])


def test_official_votes_may_be_texts_and_fractions(table, official):
    whole = official.groupby("field", as_index=False)["official"].sum()
    assert shares_of(table, whole.astype({"official": str})).equals(
        shares_of(table, whole)
    )
    told = SHEETS.rename(columns={"count": "official"})
    half = told.assign(official=told["official"] + 0.5)
    found = compare_tallies(SHEETS, half, random_state=0)
    assert (found.tallies["error"] == -0.5).all()
    found = compare_tallies(SHEETS, told.astype({"official": str}), random_state=0)
    assert found.tallies["official"].tolist() == [60, 40, 70, 30]
    assert found.tallies["error"].dtype == np.int64


def test_official_columns_that_do_not_fit(table, official):
    told = SHEETS.rename(columns={"count": "official"})
    with pytest.raises(TallyError, match="official: expected votes, numbers of 0"):
        compare_tallies(SHEETS, told.assign(official=np.inf))
    with pytest.raises(TallyError, match="official: expected page as in the table"):
        compare_tallies(SHEETS, told.astype({"page": str}))
    whole = official.groupby("field", as_index=False)["official"].sum()
    with pytest.raises(TallyError, match="official_total: expected votes"):
        shares_of(table, whole.assign(official_total="x"))


def test_counts_all_the_same_have_no_correlation():
    told = SHEETS.query("field == 'x'").drop(columns="count").assign(official=60)
    found = compare_tallies(SHEETS, told, random_state=0)
    assert np.isnan(found.of("correlation").low)
    assert found.of("mean absolute error").high == 10
