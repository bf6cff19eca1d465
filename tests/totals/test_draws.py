import tracemalloc
from itertools import product

import numpy as np
import pytest

from sktally.exceptions import TallyError
from sktally.totals import draw_counts
from sktally.totals._draws import Drawer, sum_draws
from sktally.votes import SumSlips, count_posterior, count_proba

NO_SLIPS = SumSlips(0, 0, 0, 0)


def test_each_field_is_drawn_as_often_as_its_posterior_says(kit, plain_form):
    rng = np.random.default_rng(0)
    proba = kit.doubtful(rng.integers(0, 1000, (4, 3)), rng)
    draws = draw_counts(proba, plain_form, n_draws=20_000, random_state=1)
    for i, j in product(range(4), range(3)):
        posterior = count_posterior(proba[i, j], blank_right="zero")
        seen = [(draws[:, i, j] == n).mean() for n in posterior.counts]
        assert sum(seen) == pytest.approx(1)
        assert np.abs(np.array(seen) - posterior.proba).max() < 0.015


def test_fields_of_a_form_without_sums_are_independent(kit, plain_form):
    rng = np.random.default_rng(3)
    proba = kit.doubtful(rng.integers(0, 1000, (1, 3)), rng, share=1)
    draws = draw_counts(proba, plain_form, n_draws=20_000, random_state=1)[:, 0]
    correlations = np.corrcoef(draws.T)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 0.03


def test_fields_that_a_sum_binds_are_in_doubt_together(kit, small_form):
    proba = np.stack([kit.boxes_of(n, 2) for n in (13, 24, 42)])[None]
    proba[0, 0, 1, [3, 8]] = 0.5  # 13 or 18
    proba[0, 1, 1, [4, 9]] = 0.5  # 24 or 29; 42 says that one of them is larger
    draws = draw_counts(proba, small_form, slips=NO_SLIPS, random_state=0)[:, 0]
    seen, times = np.unique(draws, axis=0, return_counts=True)
    assert seen.tolist() == [[13, 29, 42], [18, 24, 42]]
    assert abs(times[0] / 1000 - 0.5) < 0.05


def with_largest(form, **largest):
    fields = [
        f.model_copy(update={"largest": largest.get(f.name)}) for f in form.fields
    ]
    return form.model_copy(update={"fields": tuple(fields)})


def test_no_draw_is_above_the_largest_that_the_form_allows(kit, plain_form):
    proba = np.stack([kit.boxes_of(n, 3) for n in (94, 94, 7)])[None]
    proba[0, :2, 0, [0, 8]] = 0.5  # 94 or 894
    form = with_largest(plain_form, x=300, z=5)
    draws = draw_counts(proba, form, random_state=0)[:, 0]
    assert (draws[:, 0] == 94).all()
    assert set(draws[:, 1]) == {94, 894}
    assert (draws[:, 2] == 7).all()  # surely above: as it was read


def test_what_is_surely_above_the_largest_follows_from_sums(kit, small_form):
    proba = np.stack([kit.boxes_of(n, 2) for n in (83, 24, 37)])[None]
    form = with_largest(small_form, a=30)
    draws = draw_counts(proba, form, slips=NO_SLIPS, random_state=0)[:, 0]
    assert (draws == [13, 24, 37]).all()
    # and is as it was read where they say no more
    form = with_largest(small_form, a=30, b=20, both=30)
    draws = draw_counts(proba, form, slips=NO_SLIPS, random_state=0)[:, 0]
    assert (draws == [83, 24, 37]).all()


@pytest.mark.parametrize("seed", range(3))
def test_draws_are_those_of_all_readings_listed(kit, small_form, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 50, 2)
    proba = kit.doubtful([[a, b, a + b]], rng, places=2, share=0.8)
    slips = SumSlips(0.05, 0.02, 0.02, 0.1)
    labels = [np.argwhere(field > 0) for field in proba[0]]
    counts = [
        sorted({int(10 * x + y) for (p, x), (q, y) in product(at, at) if p < q})
        for at in labels
    ]
    readings = np.array(list(product(*counts)))
    each = [
        np.prod(count_proba(proba, [reading], blank_right="zero"))
        for reading in readings
    ]
    differences, known, rest = slips.kernel(2)
    off = readings[:, 2] - readings[:, :2].sum(axis=1)
    each *= rest + np.array([known[differences == d].sum() for d in off])
    each /= each.sum()
    n = 20_000
    draws = draw_counts(proba, small_form, n_draws=n, slips=slips, random_state=seed)
    seen = [(draws[:, 0] == reading).all(axis=1).mean() for reading in readings]
    assert sum(seen) == pytest.approx(1)
    distance = np.abs(np.array(seen) - each).sum() / 2
    assert distance < np.sqrt(each * (1 - each) / n).sum() + 0.002


def test_what_was_not_read_is_no_count(kit, plain_form, small_form):
    proba = np.array([[kit.boxes_of(n, 3) for n in (1, 2, 3)]] * 2)
    proba[0, 1], proba[1] = np.nan, np.nan
    draws = draw_counts(proba, plain_form, n_draws=5, random_state=0)
    assert (draws[:, 0] == [1, -1, 3]).all()
    assert (draws[:, 1] == -1).all()
    proba = np.array([[kit.boxes_of(n, 2) for n in (10, 20, 30)]])
    proba[0, 1] = np.nan  # although the sum says what it is
    assert (draw_counts(proba, small_form, n_draws=5)[:, 0] == [10, -1, 30]).all()


def test_draws_are_decided_by_random_state(kit, plain_form):
    rng = np.random.default_rng(0)
    proba = kit.doubtful(rng.integers(0, 1000, (4, 3)), rng)
    one, same, other = (
        draw_counts(proba, plain_form, n_draws=50, random_state=seed)
        for seed in (1, 1, 2)
    )
    assert (one == same).all()
    assert (one != other).any()


def test_sums_that_leave_too_much_do_not_stop_the_sheet(kit):
    names = ["a", "b", "c", "d", "e"]
    form = kit.form_of(names, {"d": ["a", "b", "c"], "e": ["a", "b", "c"]}, places=3)
    proba = np.stack([kit.boxes_of(n, 3) for n in (1, 2, 3, 6, 6)])[None]
    proba[0, :3] = 1 / 12  # 1000 counts each, in circles
    draws = draw_counts(proba, form, n_draws=40, random_state=0)[:, 0]
    assert (draws[:, 3:] == 6).all()
    assert len(np.unique(draws[:, 0])) > 20


@pytest.mark.parametrize("shape", [(3, 3, 12), (1, 2, 3, 12), (1, 3, 3, 10)])
def test_probabilities_of_another_form_are_an_error(plain_form, shape):
    with pytest.raises(TallyError, match=r"digit_proba: expected shape \(n_tallies, 3"):
        draw_counts(np.zeros(shape), plain_form)


def test_draws_are_counted(plain_form):
    with pytest.raises(TallyError, match="n_draws: expected an integer"):
        draw_counts(np.zeros((1, 3, 3, 12)), plain_form, n_draws=0)


def test_sums_of_draws_need_no_more_memory_for_more_sheets(kit, plain_form):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 300, (120, 3))

    def peak(n):
        sheets = (kit.doubtful(row[None], rng)[0] for row in counts[:n])
        drawer = Drawer(plain_form, 2000, np.random.default_rng(0))
        tracemalloc.start()
        sum_draws(
            sheets,
            drawer,
            counts[:n],
            np.zeros((n, 3), bool),
            [0, 1, 2],
            group=np.zeros(n, np.int64),
            weights=np.ones(n),
            n_groups=1,
        )
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)  # what is imported on the way
    assert peak(120) < 1.5 * peak(10)


def test_no_tallies_have_no_draws():
    none = np.zeros((0, 3, 3, 12))
    assert draw_counts(none, "indonesia-2024", n_draws=5).shape == (5, 0, 3)
