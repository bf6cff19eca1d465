"""Pages ordered for review: the best of all orders, by going through them."""

import itertools

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from sktally import (
    TallyError,
    load_reader,
    make_tally_pages,
    read_tallies,
    read_to_store,
)
from sktally.report._pages import field_counts, gather_pages
from sktally.tables import Store, reconcile_store, store_status, store_table
from sktally.totals import count_error, expected_errors, review_order, vote_totals
from sktally.votes import (
    CountPosterior,
    DigitCalibrator,
    SumSlips,
    count_proba,
    labels_to_counts,
)

TABLE = pd.DataFrame(
    {
        "file": ["1.jpg", "1.jpg", "2.jpg", "2.jpg", "3.jpg", "3.jpg"],
        "page": 1,
        "field": ["a", "b"] * 3,
        "count": pd.array([10, 100, 30, 120, None, None], "Int64"),
        "proba": [0.9, 1, 1, 0.5, np.nan, np.nan],
        "voters": [200, 200, 200, 200, 400, 400],
    }
)


def test_known_answer_from_probabilities():
    plan = review_order(TABLE, page_seconds=2, field_seconds=1)
    # a and b of other pages are 20 and 110 in the mean, and 20 apart
    assert plan.pages["file"].tolist() == ["3.jpg", "2.jpg", "1.jpg"]
    assert plan.pages["votes"].tolist() == pytest.approx([130, 10, 2])
    assert plan.pages["counts"].tolist() == pytest.approx([2, 0.5, 0.1])
    assert plan.pages["seconds"].tolist() == [4, 4, 4]
    assert plan.pages["votes_per_hour"].tolist() == pytest.approx([117000, 9000, 1800])
    assert plan.curve["votes_left"].tolist() == pytest.approx([142, 12, 2, 0])
    assert plan.curve["counts_left"].tolist() == pytest.approx([2.6, 0.6, 0.1, 0])
    assert plan.curve["seconds"].tolist() == [0, 4, 8, 12]


def test_registered_voters_bound_what_was_not_read():
    plan = review_order(TABLE, registered="voters")
    assert plan.pages["votes"][0] == pytest.approx(400 * (0.1 + 0.55))
    never = TABLE.assign(count=TABLE["count"].where(TABLE["field"] == "a"))
    first = review_order(never, registered="voters").pages
    assert first["votes"].tolist() == pytest.approx([440, 202, 200])
    with pytest.raises(TallyError, match="a count of 'b' on some page"):
        review_order(never)


def test_weights_are_what_a_vote_is_worth():
    plan = review_order(TABLE, weights={"a": 2})
    assert plan.pages["votes"].tolist() == pytest.approx([40, 4, 0])
    assert plan.pages["file"].tolist() == ["3.jpg", "1.jpg", "2.jpg"]


def test_expected_errors_go_before_probabilities():
    errors = [0, 3, 0, 1, np.nan, 7]
    plan = review_order(TABLE.assign(expected_error=errors))
    assert plan.pages["votes"].tolist() == pytest.approx([27, 3, 1])


def test_pages_by_other_names():
    table = TABLE.rename(columns={"file": "sheet"}).drop(columns="page")
    assert review_order(table).pages["sheet"][0] == "3.jpg"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_no_order_leaves_fewer_wrong_votes_over_the_time(seed, n):
    rng = np.random.default_rng(seed)
    fields = rng.integers(1, 4, n)
    page = np.repeat(np.arange(n), fields)
    table = pd.DataFrame(
        {
            "file": [f"{i}.jpg" for i in page],
            "page": 1,
            "field": np.concatenate([np.arange(k) for k in fields]),
            "count": rng.integers(0, 300, len(page)),
            "proba": rng.random(len(page)),
            "expected_error": rng.integers(0, 40, len(page)),
        }
    )
    plan = review_order(table, page_seconds=3, field_seconds=2)
    found = (
        plan.curve["votes_left"].to_numpy()[:-1] * np.diff(plan.curve["seconds"])
    ).sum()
    votes = np.bincount(page, table["expected_error"])
    seconds = 3 + 2 * fields
    best = min(
        sum(votes[list(order[k:])].sum() * seconds[order[k]] for k in range(n))
        for order in itertools.permutations(range(n))
    )
    assert found == pytest.approx(best)


@pytest.mark.parametrize("blank_right", ["missing", "zero", "shift"])
def test_expected_errors_as_listing_all_labels(blank_right):
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.full(12, 0.3), size=(2, 2, 3))
    proba[1, 1] = np.nan
    counts = np.array([[17, -1], [204, -1]])
    found = expected_errors(proba, counts, blank_right=blank_right)
    labels = np.array(list(itertools.product(range(12), repeat=3)))
    values, _ = labels_to_counts(labels, blank_right=blank_right)
    good = values >= 0
    for i, j in [(0, 0), (0, 1), (1, 0)]:
        weights = np.prod(proba[i, j][np.arange(3), labels], axis=1)[good]
        off = np.abs(values[good] - max(counts[i, j], 0))
        assert found[i, j] == pytest.approx(off @ weights / weights.sum(), abs=1e-6)
    assert np.isnan(found[1, 1])


def test_boxes_that_stand_for_no_count():
    nothing = CountPosterior(np.empty(0, np.int64), np.empty(0), 1.0)
    assert np.isnan(count_error(nothing, -1))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 500), min_size=2, max_size=20))
def test_a_wrong_count_is_taken_for_any_other(counts):
    table = pd.DataFrame(
        {"file": range(len(counts)), "page": 1, "field": "a", "count": counts}
    ).assign(proba=0.5)
    apart = [abs(a - b) for a, b in itertools.combinations(counts, 2)]
    expected = max(np.mean(apart), 1) / 2
    assert review_order(table).pages["votes"].to_numpy() == pytest.approx(expected)


def test_rules_to_stop():
    plan = review_order(TABLE, page_seconds=2, field_seconds=1)
    assert plan.stop_after(votes_left=1e6) == 0
    assert plan.stop_after(votes_left=12) == 1
    assert plan.stop_after(votes_left=0) == 3
    assert plan.stop_after(margin=240) == 1
    assert plan.stop_after(margin=240, share=0.01) == 2
    assert plan.stop_after(votes_per_hour=9000) == 2
    assert plan.stop_after(votes_per_hour=1e9) == 0


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "expected one of votes_left, margin, votes_per_hour, got none"),
        ({"votes_left": 1, "margin": 2}, "got votes_left, margin"),
        ({"votes_left": -1}, "votes_left: expected a number in"),
        ({"margin": float("nan")}, "margin: expected a number"),
        ({"margin": 10, "share": 2}, "share: expected a number in"),
    ],
)
def test_bad_rules(rule, message):
    with pytest.raises(TallyError, match=message):
        review_order(TABLE).stop_after(**rule)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (
            {"proba": None},
            {},
            "proba: expected a number, got none for row 0, file",
        ),
        ({"proba": 1.5}, {}, "proba: expected numbers from 0 to 1, got 1.5 for row 0"),
        ({"proba": "high"}, {}, "proba: expected numbers, got"),
        ({"count": -1}, {}, "count: expected numbers from 0 to inf, got -1 for row 0"),
        ({"expected_error": np.inf}, {}, "expected_error: expected numbers from 0"),
        ({"expected_error": np.nan}, {}, "expected_error: expected a number, got none"),
        ({"field": "a"}, {}, "each field of a page once, got twice: row 1, file 1.jpg"),
        (
            {"voters": 15},
            {"registered": "voters"},
            "no more votes than 'voters' allows",
        ),
        (
            {"voters": np.nan},
            {"registered": "voters"},
            "voters: expected a number, got",
        ),
        ({}, {"registered": "registered"}, "got none named registered"),
        ({}, {"weights": {"c": 1}}, "expected names of fields, a, b, got c"),
        ({}, {"weights": {"a": -1}}, "weights: expected numbers of 0 or more"),
        ({}, {"weights": {"a": 0}}, "one above 0, got"),
        ({}, {"page_seconds": -1}, "page_seconds: expected a number in"),
        ({}, {"page_seconds": 0, "field_seconds": 0}, "expected one above 0, got 0, 0"),
    ],
)
def test_bad_input(change, options, message):
    with pytest.raises(TallyError, match=message):
        review_order(TABLE.assign(**change), **options)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ([1], {}, "source: expected a store, or a table of `read_tallies`"),
        (TABLE, {"slips": SumSlips()}, "calibrator, slips: are of stores"),
    ],
)
def test_sources_that_are_none(source, options, message):
    with pytest.raises(TallyError, match=message):
        review_order(source, **options)


def test_stations_are_joined_to_tables():
    stations = pd.DataFrame({"station": list("123"), "people": 500})
    plan = review_order(TABLE, stations=stations, registered="people")
    assert len(plan.pages) == 3
    with pytest.warns(match="1 page without a station: 3.jpg"):
        review_order(TABLE.drop(columns="voters"), stations=stations[:2])


def test_empty_table_and_shapes():
    with pytest.raises(TallyError, match="a row for each page and field, got none"):
        review_order(TABLE.iloc[:0])
    with pytest.raises(TallyError, match=r"expected shape .* got \(3, 12\) and \(1,\)"):
        expected_errors(np.zeros((3, 12)), [3])


def test_pages_read_with_a_reader():
    """A blank page is not read, and comes first."""
    made = make_tally_pages(3, form="example", degrade="none", random_state=0)
    reader = load_reader("example")
    pages = [*made.pages, np.full_like(made.pages[0], 255)]
    table = read_tallies(reader, pages)
    cells, _ = reader[0].crop(pages)
    read = reader[-1].predict_tallies(reader[1:-1].transform(cells))
    table["proba"] = count_proba(read.digit_proba, read.counts).ravel()
    table["expected_error"] = expected_errors(read.digit_proba, read.counts).ravel()
    plan = review_order(table)
    assert plan.pages["file"][0] == "array 3"
    mean = made.counts[made.counts >= 0].mean() * 6
    assert plan.pages["votes"][0] == pytest.approx(mean, rel=0.2)
    assert plan.curve["votes_left"].is_monotonic_decreasing


def test_a_misfit_comes_first(tmp_path):
    made = make_tally_pages(3, form="example", random_state=3)
    # on the second page the first field lies beside where the form has it
    page = made.pages[1]
    width, height = made.form.fields[0].box
    x, y = made.quads[1, 0, 0, 0].round().astype(int) - 5
    right, bottom = made.quads[1, 0, -1, 2].round().astype(int) + 5
    field = page[y:bottom, x:right].copy()
    page[y:bottom, x:right] = np.median(page)
    y, x = y + round(0.9 * height), x + round(0.9 * width)
    page[y : y + len(field), x : x + field.shape[1]] = field
    scans = [tmp_path / f"{i}.png" for i in range(3)]
    for path, one in zip(scans, made.pages, strict=True):
        cv2.imwrite(str(path), one)
    store = tmp_path / "votes.sqlite"
    read_to_store(load_reader("example"), scans, store)
    table = store_table(store)
    status = table["status"] == "misfit"
    assert table.loc[status, ["file", "field"]].to_numpy().tolist() == [
        [str(scans[1]), "01"]
    ]
    assert review_order(store).pages["file"].iloc[0] == str(scans[1])
    with Store(store) as opened:
        assert "1 misfit" in store_status(opened)
        pages = gather_pages(opened, opened.run())
        counts = field_counts(opened, opened.run())
    assert pages.table["doubt"].argmax() == 1
    assert counts.table["misfit"].tolist() == [1, 0, 0, 0, 0, 0]


def test_a_count_above_the_largest_comes_first(tmp_path):
    made = make_tally_pages(4, form="example", degrade="none", random_state=0)
    fields = [*made.form.fields]
    page = int(made.counts[:, 0].argmax())
    most = int(np.sort(made.counts[:, 0])[-2])
    fields[0] = fields[0].model_copy(update={"largest": most})
    form = made.form.model_copy(update={"fields": tuple(fields), "sums": {}})
    scans = [tmp_path / f"{i}.png" for i in range(4)]
    for path, one in zip(scans, made.pages, strict=True):
        cv2.imwrite(str(path), one)
    stores = {}
    for name, read_by in [("with", form), ("without", made.form)]:
        stores[name] = tmp_path / f"{name}.sqlite"
        read_to_store(load_reader(read_by), scans, stores[name])
    plan = review_order(stores["with"])
    assert plan.pages["file"].iloc[0] == str(scans[page])
    assert plan.pages["counts"].iloc[0] >= 1 > plan.pages["counts"].iloc[1]
    assert review_order(stores["without"]).pages["counts"].max() < 1


def test_plot():
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    ax = review_order(TABLE).plot()
    line = ax.get_lines()[0]
    assert line.get_ydata()[0] > 0 and line.get_ydata()[-1] == 0
    plt.close(ax.figure)


@pytest.mark.parametrize("counts", [[[np.nan]], [["x"]]])
def test_expected_errors_need_whole_counts(counts):
    with pytest.raises(TallyError, match="counts: expected integers, -1 for no count"):
        expected_errors(np.full((1, 1, 2, 12), 1 / 12), counts)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": "x"}, r"numbers of 0 or more, one above 0, got \['x'\]"),
        ({"a": 1, 5: 1, "z": 2}, "got 5, z"),
    ],
)
def test_weights_that_are_none(weights, message):
    with pytest.raises(TallyError, match=message):
        review_order(TABLE, weights=weights)


def test_calibrators_that_are_none(tmp_path):
    path = tmp_path / "votes.sqlite"
    read_to_store(load_reader("example"), [], path)
    for use in (review_order, vote_totals, reconcile_store):
        with pytest.raises(TallyError, match="calibrator: expected a .* got Pipeline"):
            use(path, calibrator=load_reader("example"))
        with pytest.raises(NotFittedError):
            use(path, calibrator=DigitCalibrator())
