"""Sums that bind fields: exactly what listing all readings gives."""

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sktally import TallyError, TallyForm, list_pages, load_reader
from sktally.votes import (
    CountPosterior,
    SumSlips,
    count_posterior,
    fit_slips,
    labels_to_counts,
    read_jointly,
    reconcile_tallies,
    slip_type,
)
from sktally.votes._alone import alone_of_sheet
from sktally.votes._best import _gone_through, best_reading
from sktally.votes._graph import solve
from sktally.votes._readings import draw_readings

RULES = ("missing", "zero", "shift")


@st.composite
def small_forms(draw):
    """Draw a few fields of a few counts each, and sums among them, any of them."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    n = draw(st.integers(2, 5))
    unary = [rng.dirichlet(np.ones(rng.integers(1, 6))) for _ in range(n)]
    rules, kernels = [], []
    for _ in range(draw(st.integers(1, 3))):
        total, *parts = rng.permutation(n)[: rng.integers(2, n + 1)].tolist()
        rules.append((total, tuple(parts)))
        kernels.append(SumSlips(*rng.dirichlet(np.ones(5))[:4]).kernel(1))
    return unary, rules, kernels


def listed(unary, rules, kernels):
    """Go through all readings."""
    beliefs = [np.zeros(len(u)) for u in unary]
    holds, whole, best = np.zeros(len(rules)), 0.0, 0.0
    for reading in itertools.product(*[range(len(u)) for u in unary]):
        weight = np.prod([u[n] for u, n in zip(unary, reading, strict=True)])
        off = [
            reading[total] - sum(reading[i] for i in parts) for total, parts in rules
        ]
        best = max(best, 0.0 if any(off) else weight)
        for d, (differences, proba, rest) in zip(off, kernels, strict=True):
            weight *= rest + proba[differences == d].sum()
        whole += weight
        holds += weight * (np.array(off) == 0)
        for belief, n in zip(beliefs, reading, strict=True):
            belief[n] += weight
    return beliefs, holds / whole, whole, best


@settings(max_examples=2000, deadline=None, derandomize=True)
@given(small_forms())
def test_as_listing_all_readings(form):
    unary, rules, kernels = form
    beliefs, holds, whole, best = listed(unary, rules, kernels)
    found = solve(unary, rules, kernels)
    assert np.exp(found.log_whole) == pytest.approx(whole, rel=1e-9)
    assert found.holds == pytest.approx(holds, rel=1e-9)
    for belief, expected in zip(found.beliefs, beliefs, strict=True):
        assert belief == pytest.approx(expected / whole, rel=1e-9)
    for reading in (best_reading(unary, rules), _gone_through(unary, rules)):
        if reading is None:
            assert best == 0
        else:
            weight = np.prod([u[n] for u, n in zip(unary, reading, strict=True)])
            assert weight == pytest.approx(best, rel=1e-9)
            for total, parts in rules:
                assert reading[total] == reading[list(parts)].sum()


def test_many_fields_in_doubt_are_not_too_improbable():
    names = [f"f{i}" for i in range(140)]
    known = CountPosterior(np.array([5]), np.ones(1))
    posteriors = [None] * 139 + [known]  # as they are, one in 10 to the power of 417
    read = read_jointly(posteriors, names, {"f139": ["f0", "f1"]})
    assert read.consistent[0] + read.consistent[1] == read.consistent[139] == 5


@pytest.mark.parametrize("n", [1, 45, 150])
@pytest.mark.parametrize("chained", [False, True])
def test_many_broken_sums_are_not_too_improbable(n, chained):
    """Sums that surely do not hold, one in 10 to the power of hundreds together."""
    names, sums, posteriors = ["p0"], {}, [CountPosterior(np.array([3]), np.ones(1))]
    for k in range(n):
        names += [f"p{k + 1}", f"s{k}"]
        sums[f"s{k}"] = [f"p{k}" if not chained or not k else f"s{k - 1}", f"p{k + 1}"]
        doubt = CountPosterior(np.array([4, 9]), np.array([0.7, 0.3]))
        posteriors += [doubt, CountPosterior(np.array([871]), np.ones(1))]
    read = read_jointly(posteriors, names, sums, slips=SumSlips(0, 0, 0, 1e-4))
    for k in range(n):
        assert read.holds[f"s{k}"] < 1e-9
        assert read.posteriors[1 + 2 * k].of(4) == pytest.approx(0.7)
    assert read.consistent is None and np.isnan(read.log_odds)
    drawn = draw_readings(
        posteriors, names, sums, n_draws=200, rng=np.random.default_rng(0)
    )
    assert 0.5 < (drawn[:, 1] == 4).mean() < 0.9


def test_the_best_consistent_reading_may_be_next_to_impossible():
    names, sums, posteriors = [], {}, []
    for k in range(60):
        names += [f"a{k}", f"b{k}"]
        sums[f"b{k}"] = [f"a{k}"]
        for likely in (3, 7):
            p = np.array([1e-8, 1 - 1e-8] if likely == 7 else [1 - 1e-8, 1e-8])
            posteriors.append(CountPosterior(np.array([3, 7]), p))
    read = read_jointly(posteriors, names, sums)
    assert (read.consistent[::2] == read.consistent[1::2]).all()
    assert read.log_odds == pytest.approx(
        60 * read_jointly(posteriors[:2], names[:2], {"b0": ["a0"]}).log_odds, rel=1e-9
    )


def test_names_and_places_are_one_for_each_field():
    sure = [CountPosterior(np.array([3]), np.ones(1))] * 2
    with pytest.raises(TallyError, match="field_names: expected .* 2 .* got 3"):
        read_jointly(sure, ["a", "b", "c"], {"c": ["a", "b"]})
    with pytest.raises(TallyError, match="n_places: expected .* 2 .* got 1"):
        read_jointly(sure, ["a", "b"], {"b": ["a"]}, n_places=[3])


def test_no_sum_holds_with_more_than_certainty():
    counts = [61, 89, 27, 4, 17, 33, 72, 81, 0, 55]
    sure = [CountPosterior(np.array([n]), np.ones(1)) for n in (*counts, sum(counts))]
    names = [f"f{i}" for i in range(11)]
    for n in range(1, 10):
        some = [*sure[:n], CountPosterior(np.array([sum(counts[:n])]), np.ones(1))]
        read = read_jointly(
            some, names[: n + 1], {names[n]: names[:n]}, slips=SumSlips(0, 0, 0, 0)
        )
        assert 0.999 < read.holds[names[n]] <= 1


@pytest.mark.parametrize("seed", range(5))
def test_sums_of_many_counts_as_by_plain_convolution(seed):
    rng = np.random.default_rng(seed)
    a, b, whole = (rng.dirichlet(np.full(n, 0.1)) for n in (900, 700, 1000))
    kernel = SumSlips().kernel(3)
    found = solve([a, b, whole], [(2, (0, 1))], [kernel])
    slip = np.zeros(1999)
    slip[kernel[0] + 999] = kernel[1]
    wanted = whole * (np.convolve(np.convolve(a, b), slip)[999:1999] + kernel[2])
    shares = wanted / wanted.sum()
    assert found.beliefs[2] == pytest.approx(shares, rel=1e-8, abs=1e-18)
    assert np.exp(found.log_whole) == pytest.approx(wanted.sum(), rel=1e-10)


@pytest.mark.parametrize("blank_right", RULES)
@pytest.mark.parametrize("n_places", [1, 2, 3])
def test_posterior_is_the_sum_over_labels(blank_right, n_places):
    rng = np.random.default_rng(n_places)
    proba = rng.dirichlet(np.full(12, 0.3), size=n_places)
    labels = np.array(list(itertools.product(range(12), repeat=n_places)))
    weights = np.prod(proba[np.arange(n_places), labels], axis=1)
    counts, _ = labels_to_counts(labels, blank_right=blank_right)
    found = count_posterior(proba, blank_right=blank_right)
    for count in np.unique(counts):
        assert found.of(int(count)) == pytest.approx(
            weights[counts == count].sum(), abs=1e-10
        )
    assert found.proba.sum() + found.missing == pytest.approx(1)


def certain(count):
    return CountPosterior(np.array([count]), np.ones(1))


def test_a_field_that_was_not_read_follows_from_the_others():
    read = read_jointly(
        [certain(12), None, certain(40)], ["a", "b", "all"], {"all": ["a", "b"]}
    )
    count, proba = read.posteriors[1].top(1)[0]
    assert count == 28 and proba > 0.8
    assert read.consistent.tolist() == [12, 28, 40]


def test_certain_counts_that_do_not_add_up_are_the_slip_of_a_clerk():
    names, sums = ["a", "b", "all"], {"all": ["a", "b"]}
    read = read_jointly([certain(12), certain(27), certain(40)], names, sums)
    assert read.holds["all"] == 0 and read.consistent is None
    assert np.isnan(read.log_odds)
    assert [p.top(1)[0][0] for p in read.posteriors] == [12, 27, 40]


def test_sums_in_circles():
    """Rows and columns of a table of two by two."""
    doubt = CountPosterior(np.array([1, 7]), np.array([0.3, 0.7]))
    names = ["a", "b", "c", "d", "ab", "cd", "ac", "bd"]
    sums = {"ab": "ab", "cd": "cd", "ac": "ac", "bd": "bd"}
    counts = [None, certain(4), certain(5), certain(6), *map(certain, (5, 11, 6, 10))]
    counts[0] = doubt
    read = read_jointly(counts, names, {k: [*v] for k, v in sums.items()})
    assert read.posteriors[0].of(1) > 0.999
    assert read.consistent.tolist() == [1, 4, 5, 6, 5, 11, 6, 10]


def test_too_many_circles_are_told():
    names = [f"{row}{column}" for row in "abc" for column in "xyz"]
    names += [*"abcxyz"]
    sums = {row: [row + column for column in "xyz"] for row in "abc"}
    sums |= {column: [row + column for row in "abc"] for column in "xyz"}
    with pytest.raises(TallyError, match="form circles, which leave .* combinations"):
        read_jointly([None] * 15, names, sums)


@pytest.mark.parametrize(
    ("sums", "message"),
    [
        ({"all": ["a", "z"]}, "sums.all: no field 'z'"),
        ({"all": ["all"]}, "sums.all: needs parts other than itself"),
        ({"all": []}, "sums.all: needs parts other than itself"),
        ({"all": ["a", "a"]}, "each once, got a, a"),
    ],
)
def test_sums_that_cannot_be(sums, message):
    with pytest.raises(TallyError, match=message):
        read_jointly([certain(1)] * 3, ["a", "b", "all"], sums)


def test_counts_that_are_too_large():
    with pytest.raises(TallyError, match="expected counts below 100000, got 100000"):
        read_jointly([certain(10**5)] * 2, ["a", "b"], {"a": ["b"]})


def test_fields_of_four_boxes_that_were_not_read_take_little_memory():
    tracemalloc.start()
    read = read_jointly(
        [None, certain(4321), None, certain(9999)],
        ["a", "b", "c", "all"],
        {"all": ["a", "b", "c"]},
        n_places=[4, 4, 4, 4],
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26
    assert read.posteriors[0].counts[-1] >= 9999 - 4321


def test_sums_of_many_parts_take_memory_for_each_part_a_few_times():
    rng = np.random.default_rng(0)
    part = CountPosterior(np.arange(2000), rng.dirichlet(np.ones(2000)))
    names = [f"f{i}" for i in range(21)]
    tracemalloc.start()
    read_jointly([part] * 20 + [certain(9999)], names, {"f20": names[:20]})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 20 * 8 * 40_000  # the transform of a part has 40,000 floats


def test_sums_that_never_fail_but_do():
    """Then nothing explains the sheet, and what was read is left as it is."""
    never = SumSlips(carry=0, digit=0, swap=0, other=0)
    sheet = [certain(1), certain(2)]
    read = read_jointly(sheet, ["a", "b"], {"a": ["b"]}, slips=never)
    assert [p.top(1) for p in read.posteriors] == [[(1, 1.0)], [(2, 1.0)]]
    assert read.holds == {"a": 0} and read.consistent is None


def test_differences_that_were_seen_are_the_likelier_slips():
    sheets = [[3, 4, 7]] * 40 + [[30, 4, 44]] * 8 + [[30, 4, 24]]
    slips = fit_slips(sheets, ["a", "b", "all"], {"all": ["a", "b"]})
    assert slips.seen == {-10: 1, 10: 8}
    differences, proba, _ = slips.kernel(3)
    each = dict(zip(differences.tolist(), proba))
    assert each[10] > 4 * each[-10] > 4 * each[1]
    assert each[1] == each[-100]
    # sizes share out what types are; how often each type is stays as it was
    carry = sum(each[sign * n] for n in (1, 10, 100) for sign in (-1, 1))
    assert carry == pytest.approx(slips.carry)
    assert proba.sum() == pytest.approx(1 - slips.other)


@pytest.mark.parametrize(
    "shares", [(-0.1, 0, 0, 0), (0.5, 0.5, 0, 0), (np.nan, 0, 0, 0)]
)
def test_shares_that_are_none(shares):
    with pytest.raises(TallyError, match="SumSlips"):
        SumSlips(*shares)


def test_kernel_is_a_distribution():
    differences, proba, rest = SumSlips().kernel(2)
    assert proba.sum() + rest * (2 * 100 - 1) == pytest.approx(1)
    assert {slip_type(int(d), 2) for d in differences} == {"", "carry", "digit", "swap"}


def test_slips_are_learnt():
    rng = np.random.default_rng(0)
    parts = rng.integers(0, 300, (1000, 2))
    off = rng.choice([0, 1, 20, 27, 123], 1000, p=[0.8, 0.1, 0.05, 0.03, 0.02])
    sheets = np.column_stack([parts, parts.sum(axis=1) + off])
    sheets[::50, 0] = -1  # not known
    slips = fit_slips(sheets, ["a", "b", "all"], {"all": ["a", "b"]})
    assert slips.carry == pytest.approx(0.1, abs=0.03)
    assert slips.digit == pytest.approx(0.05, abs=0.02)
    assert slips.share == pytest.approx(0.2, abs=0.04)
    with pytest.raises(TallyError, match="got none; check some sheets"):
        fit_slips(np.full((2, 3), -1), ["a", "b", "all"], {"all": ["a", "b"]})
    with pytest.raises(TallyError, match="one column for each field"):
        fit_slips(sheets, ["a", "all"], {"all": ["a"]})


def form_with_sums():
    box = {"start": [100, 100], "box": [40, 50], "places": 3}
    fields = [{**box, "name": name} for name in ("a", "b", "all")]
    for i, field in enumerate(fields):
        field["start"] = [100, 100 + 100 * i]
    return TallyForm.from_dict(
        {
            "name": "sums",
            "page": {"width": 600, "height": 600},
            "fields": fields,
            "sums": {"all": ["a", "b"]},
        }
    )


def written(*strings, sure=0.99):
    """Return probabilities of boxes that read so."""
    labels = [["0123456789x_".index(c) for c in string] for string in strings]
    return sure * np.eye(12)[labels] + (1 - sure) / 12


def test_sheets_are_reconciled():
    form = form_with_sums()
    proba = np.stack(
        [
            written("x12", "x30", "x42"),  # adds up
            written("x12", "x30", "x48"),  # misread
            written("x12", "32_", "332"),  # written from the left, or a zero left out
            np.full((3, 3, 12), np.nan),  # not read
        ]
    )
    proba[1, 2, 2, 2] = 0.3
    proba[1, 2, 2] /= proba[1, 2, 2].sum()
    found = reconcile_tallies(proba, form)
    assert found.counts[:3].tolist() == [[12, 30, 42], [12, 30, 42], [12, 320, 332]]
    assert (found.counts[3] == -1).all() and np.isnan(found.proba[3]).all()
    assert found.broken.ravel().tolist()[:2] == [False, True]
    assert found.holds[1, 0] > 0.8 and np.isnan(found.holds[3, 0])
    assert found.log_odds[0] == 0 and found.log_odds[1] > 0
    assert (found.raw_proba[1] < found.proba[1]).any()


def test_fields_that_no_sum_binds_are_read_alone_however_long():
    fields = [
        {"name": name, "start": [100, 100 + 100 * i], "box": [40, 50], "places": places}
        for i, (name, places) in enumerate([("a", 3), ("b", 3), ("number", 7)])
    ]
    page = {"width": 900, "height": 900}
    form = TallyForm.from_dict(
        {"name": "long", "page": page, "fields": fields, "sums": {"b": ["a"]}}
    )
    proba = np.full((2, 3, 7, 12), np.nan)
    proba[:, :2, 4:] = written("012", "018")
    proba[0, 2] = written("1234567")[0]
    found = reconcile_tallies(proba, form)
    assert found.counts[:, 2].tolist() == [1234567, -1]
    assert found.consistent[:, 2].tolist() == [1234567, -1]
    assert found.proba[0, 2] == found.raw_proba[0, 2] > 0.5
    assert np.isnan(found.proba[1, 2]) and found.counts[0, 0] in (12, 18)


def test_what_is_surely_no_count_follows_from_the_others():
    form = form_with_sums().model_copy(update={"blank_right": "shift"})
    sure = np.eye(12)[[[0, 1, 2], [3, 11, 4], [3, 4, 2]]]  # "3_4" is none
    found = reconcile_tallies(sure[None], form)
    assert found.counts[0].tolist() == found.consistent[0].tolist() == [12, 330, 342]
    assert np.isnan(found.raw_proba[0, 1]) and not found.broken.any()


def test_what_is_above_the_largest_follows_from_the_others():
    plain = form_with_sums()
    fields = [f.model_copy(update={"largest": 300}) for f in plain.fields]
    form = plain.model_copy(update={"fields": tuple(fields)})
    sure = np.stack([written("894", "x30", "124"), written("x94", "x30", "124")])
    doubtful = written("894", "x30", "924")  # adds up, but no sheet can hold it
    doubtful[0, 0, [8, 10]] = doubtful[2, 0, [9, 1]] = 0.6, 0.3
    doubtful /= doubtful.sum(axis=2, keepdims=True)
    proba = np.stack([*sure, doubtful])
    assert reconcile_tallies(proba, plain).counts[2].tolist() == [894, 30, 924]
    found = reconcile_tallies(proba, form)
    # of the 8 nothing but the sum tells; of the other it is the second best
    assert found.counts.tolist() == 3 * [[94, 30, 124]]
    assert found.raw_proba[:, 0] == pytest.approx([0, 1, 0], abs=0.01)
    assert found.broken[:, 0].tolist() == [True, False, False]  # as they were read
    alone = form.model_copy(update={"sums": {"b": ["all"]}})
    found = reconcile_tallies(proba, alone)
    assert found.counts[:, 0].tolist() == [-1, 94, 94]


def test_forms_and_arrays_that_do_not_fit():
    form = form_with_sums()
    with pytest.raises(
        TallyError, match=r"expected shape \(n_tallies, 3, n_places, 12\)"
    ):
        reconcile_tallies(np.zeros((1, 2, 3, 12)), form)
    with pytest.raises(TallyError, match="expected sums that bind fields"):
        reconcile_tallies(np.zeros((1, 3, 3, 12)), form.model_copy(update={"sums": {}}))


@pytest.mark.parametrize(
    ("proba", "message"),
    [
        (np.zeros((3, 10)), r"expected shape \(n_places, 12\)"),
        (np.full((3, 12), np.nan), "expected 1 to 18 places, got 0"),
        (np.zeros((3, 12)), "sum to 1 at each place"),
        (np.full((2, 12), -1 / 12), "sum to 1 at each place"),
    ],
)
def test_probabilities_that_are_none(proba, message):
    with pytest.raises(TallyError, match=message):
        count_posterior(proba)


@pytest.mark.real
def test_sums_of_real_pages_break_no_right_count(real_data):
    folder = real_data / "indonesia-2019-c1"
    reader = load_reader("indonesia-2019-c1")
    names = list_pages(folder / "pages")
    truth = pd.read_csv(folder / "fields.csv").pivot(
        index="file", columns="field", values="value"
    )
    form = reader[0].form_
    truth = truth.loc[[Path(name).name for name in names], form.field_names].to_numpy()
    read = reader[-1].predict_tallies(reader[:-1].transform(names))
    found = reconcile_tallies(read.digit_proba, form)
    assert (found.counts == truth)[read.counts == truth].all()
    assert (found.counts == truth).sum() > (read.counts == truth).sum()


@pytest.mark.parametrize("seen", [{"a": 1}, {1: -3}, {1: np.nan}, {1.5: 2}])
def test_differences_that_cannot_have_been_seen(seen):
    with pytest.raises(TallyError, match="SumSlips.seen: expected how often"):
        SumSlips(seen=seen)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from(RULES), st.integers(1, 4))
def test_fields_of_a_sheet_at_once_are_those_one_by_one(seed, rule, n_places):
    rng = np.random.default_rng(seed)
    sheet = rng.dirichlet(np.full(12, rng.choice([0.01, 0.1, 1.0])), (6, n_places))
    sheet[1, : n_places - 1] = np.nan  # fewer boxes
    sheet[2] = np.nan  # not read
    sheet[3] = np.eye(12)[11]  # empty
    rules = ("zero", "shift") if rule == "missing" else (rule,)
    for found, boxes in zip(alone_of_sheet(sheet, rule), sheet, strict=True):
        if np.isnan(boxes[-1]).any():
            assert found is None
            continue
        each = [count_posterior(boxes, blank_right=r) for r in rules]
        known = sum(1 - p.missing for p in each)
        if not known:
            assert found is None
            continue
        counts = np.unique(np.concatenate([p.counts for p in each]))
        assert found.counts.tolist() == counts.tolist()
        for count, proba in zip(counts, found.proba, strict=True):
            expected = sum(p.of(int(count)) for p in each) / known
            assert proba == pytest.approx(expected, rel=1e-9)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(small_forms())
def test_leaving_out_what_cannot_win_leaves_the_best(form):
    unary, rules, _ = form
    unary = [u / u.max() for u in unary]
    whole = _gone_through(unary, rules)
    if whole is not None:
        score = np.prod([u[n] for u, n in zip(unary, whole, strict=True)])
        few = _gone_through(unary, rules, score * (1 - 1e-9))
        assert few.tolist() == whole.tolist()
