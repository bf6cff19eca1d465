from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sktally.votes import CountPosterior, SumSlips, read_jointly
from sktally.votes._readings import draw_readings

NAMES = ["a", "b", "c", "ab", "all"]
TREE = {"ab": ["a", "b"], "all": ["ab", "c"]}
FROM_THE_SUM = {"a": ["b", "c"], "c": ["ab", "all"]}  # drawn from the sum down
CIRCLE = {"ab": ["a", "b"], "all": ["a", "b", "c"]}  # a and b are in both


def some_posteriors(rng, n_counts, highest=9):
    for _ in NAMES:
        counts = np.sort(rng.choice(highest + 1, n_counts, replace=False))
        yield CountPosterior(counts, rng.dirichlet(np.ones(n_counts)))


def listed(posteriors, sums, slips):
    """Return all readings and their probabilities, by going through all of them."""
    readings = np.array(list(product(*(p.counts for p in posteriors))))
    weights = np.array([np.prod(w) for w in product(*(p.proba for p in posteriors))])
    for total, parts in sums.items():
        differences, proba, rest = slips.kernel(1)
        found = readings[:, NAMES.index(total)]
        found = found - readings[:, [NAMES.index(p) for p in parts]].sum(axis=1)
        fits = [rest + proba[differences == d].sum() for d in found]
        weights = weights * fits
    return readings, weights / weights.sum()


@pytest.mark.parametrize("sums", [TREE, FROM_THE_SUM, CIRCLE])
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), other=st.sampled_from([0.0, 0.02, 0.6]))
def test_readings_are_as_frequent_as_they_are_probable(sums, seed, other):
    rng = np.random.default_rng(seed)
    posteriors = list(some_posteriors(rng, 3))
    slips = SumSlips(0.1, 0.05, 0.0, other)
    readings, proba = listed(posteriors, sums, slips)
    if not np.isfinite(proba).all():
        return
    n = 4000
    drawn = draw_readings(
        posteriors, NAMES, sums, n_draws=n, rng=rng, slips=slips, n_places=[1] * 5
    )
    key = 10 ** np.arange(5)
    at = {int(k): i for i, k in enumerate(readings @ key)}
    seen = np.bincount([at[int(k)] for k in drawn @ key], minlength=len(proba))
    assert (seen[proba == 0] == 0).all()
    # total variation of n draws from k values is below sqrt(k / n) but for bad luck
    distance = np.abs(seen / n - proba).sum() / 2
    expected = np.sqrt(proba * (1 - proba) / n).sum() / 2
    assert distance < 2 * expected + 0.01


def test_a_field_that_was_not_read_is_drawn_from_what_the_others_leave():
    sure = [CountPosterior(np.array([n]), np.ones(1)) for n in (120, 300)]
    drawn = draw_readings(
        [sure[0], None, sure[1]], ["a", "b", "all"], {"all": ["a", "b"]},
        n_draws=200, rng=np.random.default_rng(0), slips=SumSlips(0, 0, 0, 0),
    )  # fmt: skip
    assert (drawn == [120, 180, 300]).all()


def test_two_unread_fields_share_what_is_left_in_any_way():
    total = CountPosterior(np.array([50]), np.ones(1))
    drawn = draw_readings(
        [None, None, total], ["a", "b", "all"], {"all": ["a", "b"]},
        n_draws=3000, rng=np.random.default_rng(0), slips=SumSlips(0, 0, 0, 0),
    )  # fmt: skip
    assert (drawn[:, 0] + drawn[:, 1] == 50).all()
    assert len(np.unique(drawn[:, 0])) == 51
    assert abs(drawn[:, 0].mean() - 25) < 4 * 14.7 / np.sqrt(3000)


def test_single_fields_are_as_read_jointly_says():
    rng = np.random.default_rng(5)
    posteriors = [*some_posteriors(rng, 4)]
    posteriors[2] = None
    joint = read_jointly(posteriors, NAMES, TREE, n_places=[1] * 5)
    drawn = draw_readings(
        posteriors, NAMES, TREE, n_draws=20_000, rng=rng, n_places=[1] * 5
    )
    for column, posterior in zip(drawn.T, joint.posteriors):
        seen = [(column == n).mean() for n in posterior.counts]
        assert np.abs(np.array(seen) - posterior.proba).max() < 0.02


@pytest.mark.parametrize("sums", [{"all": ["a", "b"]}, CIRCLE])
def test_sums_that_never_fail_but_do_leave_what_was_read(sums):
    posteriors = [CountPosterior(np.array([5]), np.ones(1)) for _ in NAMES]
    drawn = draw_readings(
        posteriors, NAMES, sums, n_draws=2, rng=np.random.default_rng(0),
        slips=SumSlips(0, 0, 0, 0),
    )  # fmt: skip
    assert (drawn == 5).all()


def test_readings_come_in_no_order():
    """Or draws of one sheet would go with those of another, and sums be too wide."""
    posteriors = list(some_posteriors(np.random.default_rng(0), 4))
    n = 4000
    drawn = draw_readings(
        posteriors, NAMES, CIRCLE, n_draws=n, rng=np.random.default_rng(1),
        n_places=[1] * 5,
    )  # fmt: skip
    assert drawn.std(axis=0).min() > 0
    trend = [np.corrcoef(np.arange(n), column)[0, 1] for column in drawn.T]
    assert np.abs(trend).max() < 4 / np.sqrt(n)
