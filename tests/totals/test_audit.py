"""Draws: known probabilities, kept in a file, and never a queue of doubtful sheets."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sktally import TallyError, draw_audit
from sktally.totals import AuditDraw
from sktally.totals._designs import allocate, size_probabilities

NAMES = [f"s{i:02d}" for i in range(40)]
REGIONS = ["north"] * 20 + ["south"] * 15 + ["west"] * 5


N_DRAWS = 150
TWO = {"sheet": ["a", "b"], "stratum": "all", "probability": 0.5, "order": [1, 2]}


def frequencies(n_draws, **options):
    """Return how often each sheet is drawn, and its probability where it was."""
    hits, chance = np.zeros(len(NAMES)), np.full(len(NAMES), np.nan)
    rng = np.random.default_rng(0)
    for _ in range(n_draws):
        draw = draw_audit(NAMES, 8, random_state=rng, **options)
        at = [NAMES.index(name) for name in draw.names]
        hits[at] += 1
        chance[at] = draw.sheets["probability"]
    return hits / n_draws, chance


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "stratified", "strata": REGIONS},
        {"method": "stratified", "strata": REGIONS, "allocation": "equal"},
        {"method": "unequal", "size": np.r_[np.arange(1, 40), 1000]},
    ],
    ids=["simple", "proportional", "equal", "unequal"],
)
def test_each_sheet_is_drawn_as_often_as_its_probability_says(options):
    often, chance = frequencies(N_DRAWS, **options)
    sheets = ~np.isnan(chance)
    deviation = np.sqrt(np.maximum(chance * (1 - chance), 1e-12) / N_DRAWS)
    assert np.all(np.abs(often - chance)[sheets] < 4.5 * deviation[sheets])
    assert np.nansum(chance) == pytest.approx(8, abs=0.3)


def test_simple_draws_take_every_pair_alike():
    rng = np.random.default_rng(1)
    pairs = dict.fromkeys(itertools.combinations("abcd", 2), 0)
    for _ in range(600):
        pairs[tuple(sorted(draw_audit(list("abcd"), 2, random_state=rng).names))] += 1
    assert all(abs(hits - 100) < 4.5 * np.sqrt(100) for hits in pairs.values())


@given(st.lists(st.floats(1, 10), min_size=6, max_size=30), st.data())
@settings(max_examples=30, deadline=None)
def test_probabilities_by_size_add_up_to_the_number_drawn(sizes, data):
    n = data.draw(st.integers(4, len(sizes) // 2 + 1))
    found = size_probabilities(np.array(sizes), n)
    assume(n - (found == 1).sum() >= 2)
    assert found.sum() == pytest.approx(n)
    assert np.all((found > 0) & (found <= 1))
    draw = draw_audit(range(len(sizes)), n, method="unequal", size=sizes)
    assert len(draw) == n


@given(
    st.lists(st.integers(2, 50), min_size=2, max_size=8),
    st.sampled_from(["proportional", "equal"]),
    st.data(),
)
@settings(max_examples=30, deadline=None)
def test_allocations_keep_to_their_limits(sizes, how, data):
    named = {str(i): size for i, size in enumerate(sizes)}
    n = data.draw(st.integers(2 * len(sizes), sum(sizes)))
    found = allocate(n, named, how)
    assert sum(found.values()) == n
    assert all(2 <= found[name] <= named[name] for name in named)


def test_neyman_takes_more_where_errors_differ_more():
    sizes = {"even": 100, "odd": 100}
    found = allocate(40, sizes, "neyman", {"even": 1.0, "odd": 3.0})
    assert found == {"even": 10, "odd": 30}


def test_the_same_random_state_draws_the_same_sheets_and_csv_keeps_them(tmp_path):
    frame = pd.DataFrame({"sheet": ["007", "08", "09", "10"], "size": [1, 2, 3, 4]})
    options = {"method": "unequal", "size": "size", "random_state": 5}
    draw = draw_audit(frame, 2, **options)
    draw.to_csv(tmp_path / "draw.csv")
    again = AuditDraw.from_csv(tmp_path / "draw.csv")
    pd.testing.assert_frame_equal(again.sheets, draw_audit(frame, 2, **options).sheets)
    assert (again.method, again.n_frame, again.frame_hash) == (
        *("unequal", 4, draw.frame_hash),
    )


def test_a_queue_of_doubtful_sheets_is_refused(tmp_path):
    queue = pd.DataFrame({"sheet": NAMES[:9], "confidence": np.linspace(0, 0.5, 9)})
    with pytest.raises(TallyError, match="least certain ones, say nothing of"):
        AuditDraw(queue, "simple", 40, "0")
    queue.to_csv(tmp_path / "queue.csv")
    with pytest.raises(TallyError, match="no audit draw .*least certain"):
        AuditDraw.from_csv(tmp_path / "queue.csv")
    draw = draw_audit(NAMES, 5, random_state=0)
    rest = [name for name in NAMES if name not in draw.names]
    extra = pd.DataFrame({"ana": 1}, index=[*draw.names, rest[0]])
    with pytest.raises(TallyError, match=f"{rest[0]} .1 in all. not drawn"):
        draw.with_readings(extra)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame": []}, "frame: expected at least one sheet"),
        ({"frame": ["a", "b", "a"]}, "frame: expected every sheet once, got a"),
        ({"frame": ["a", None, "b"]}, "frame: .* got none in row 1"),
        ({"n": 41}, r"n: expected an integer in \[2, 40\], got 41"),
        ({"n": 1}, r"n: expected an integer in \[2, 40\]"),
        ({"method": "best"}, "method: expected one of 'simple'"),
        ({"method": "stratified"}, "strata: expected with method='stratified'"),
        ({"size": [1] * 40}, "size: expected with method='unequal', and only"),
        (
            {"method": "stratified", "strata": ["a"] * 39 + ["b"]},
            "at least 2 sheets in each, got 1 in b",
        ),
        (
            {"method": "stratified", "strata": ["a"] * 39},
            "a value for each of 40 sheets, got 39",
        ),
        (
            {"method": "stratified", "strata": REGIONS, "n": 5},
            "at least 2 for each of 3 strata, got 5",
        ),
        (
            {"method": "stratified", "strata": REGIONS, "allocation": "neyman"},
            "spread: expected the standard deviation",
        ),
        (
            {"method": "stratified", "strata": REGIONS, "allocation": {"north": 8}},
            "allocation: expected 8 sheets in all.*south",
        ),
        (
            {"method": "unequal", "size": [1e9] * 7 + [1] * 33},
            "7 sheets so large .* leave 1 of n=8 to chance",
        ),
        ({"method": "unequal", "size": [0] + [1] * 39}, "size: .* got 0.0 for s00"),
        ({"method": "unequal", "size": "voters"}, "size: .*'voters'|no column"),
    ],
)
def test_bad_draws(options, message):
    options = {"frame": pd.DataFrame(index=NAMES), "n": 8, **options}
    with pytest.raises(TallyError, match=message):
        draw_audit(options.pop("frame"), options.pop("n"), **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": [0.5, 0.0]}, "above 0 and at most 1, got 0.0 for b"),
        ({"probability": [0.5, 1.5]}, "above 0 and at most 1, got 1.5 for b"),
        ({"sheet": ["a", "a"]}, "every sheet once, got a"),
        ({"stratum": ["x", "y"]}, "at least 2 sheets of each stratum, got 1 of x, y"),
    ],
)
def test_draws_that_cannot_be(change, message):
    with pytest.raises(TallyError, match=message):
        AuditDraw(pd.DataFrame(TWO | change), "simple", 4, "0")


def test_more_sheets_than_there_are_were_never_drawn():
    with pytest.raises(TallyError, match="2 sheets drawn of a list of 1"):
        AuditDraw(pd.DataFrame(TWO), "simple", 1, "0")


@pytest.mark.parametrize(
    ("readings", "message"),
    [
        (pd.DataFrame({"ana": [-1]}, index=["a"]), "at least 0, got less on a"),
        (pd.DataFrame({"ana": ["many"]}, index=["a"]), "'ana': expected numbers"),
        (pd.DataFrame({"ana": [np.inf]}, index=["a"]), "finite numbers, got inf"),
        (pd.DataFrame({"ana": [1, 2]}, index=["a", "a"]), "every sheet once, got a"),
        (pd.DataFrame(index=["a"]), "a column for each field, got none"),
        ({"a": 1}, "readings: expected a DataFrame .* got dict"),
    ],
)
def test_bad_readings(readings, message):
    draw = draw_audit(["a", "b"], 2, random_state=0)
    with pytest.raises(TallyError, match=message):
        draw.with_readings(readings)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ("abc", "a list of names of sheets, got str"),
        ({"b", "a"}, "a list of names of sheets, got set"),  # in no order
        (None, "a list of names of sheets, got NoneType"),
        (
            pd.DataFrame({"file": ["a", "a"], "field": ["x", "y"], "count": 1}),
            "got one for each page and field; pivot it",
        ),
    ],
)
def test_frames_that_are_no_list_of_sheets(frame, message):
    with pytest.raises(TallyError, match=message):
        draw_audit(frame, 2, random_state=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"allocation": {"north": "many"}}, "allocation, north: expected an integer"),
        ({"allocation": {"north": 4.5}}, "allocation, north: expected an integer"),
        ({"allocation": "neyman", "spread": {"north": "x"}}, "got 'x' for 'north'"),
    ],
)
def test_strata_are_shared_out_by_numbers(options, message):
    with pytest.raises(TallyError, match=message):
        draw_audit(NAMES, 8, method="stratified", strata=REGIONS, **options)


@pytest.mark.parametrize("data", [None, b"", b"\xff\xfe\x00,\x01"])
def test_files_that_are_no_draw(tmp_path, data):
    path = tmp_path / "draw.csv"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(TallyError, match="draw.csv: expected a CSV file"):
        AuditDraw.from_csv(path)


@pytest.mark.parametrize("rows", [slice(1, None), slice(None, -1)])
@pytest.mark.parametrize(
    "how",
    [
        {"method": "simple"},
        {"method": "stratified", "strata": REGIONS},
        {"method": "unequal", "size": range(60, 100)},
    ],
)
def test_no_sheet_of_a_draw_is_left_out(tmp_path, rows, how):
    draw = draw_audit(NAMES, 12, **how, random_state=0)
    path = tmp_path / "draw.csv"
    draw.to_csv(path)
    pd.read_csv(path).iloc[rows].to_csv(path, index=False)
    with pytest.raises(TallyError, match="expected all sheets drawn"):
        AuditDraw.from_csv(path)


@pytest.mark.parametrize("change", [{"order": 1}, {"order": None}, {"stratum": None}])
def test_orders_and_strata_that_are_none(change):
    draw = draw_audit(NAMES, 4, random_state=0)
    with pytest.raises(TallyError, match="AuditDraw: expected"):
        AuditDraw(draw.sheets.assign(**change), "simple", 40, draw.frame_hash)


def test_sheets_are_named_as_pages_are_when_they_are_read():
    table = pd.DataFrame({"file": ["a.png", "b.pdf", "b.pdf"], "page": [1, 1, 2]})
    names = ["a.png", "b.pdf#page=1", "b.pdf#page=2"]
    drawn = draw_audit(table, 3, random_state=0)
    assert sorted(drawn.names) == names
    again = draw_audit(pd.DataFrame({"sheet": names}), 3, random_state=0)
    assert again.frame_hash == drawn.frame_hash
    with pytest.raises(TallyError, match="page and field; pivot it"):
        draw_audit(table.assign(field="01"), 3)
