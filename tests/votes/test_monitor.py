"""Pages that are like those remembered pass, others are told, pages being clusters."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone

from sktally import ShiftMonitor, TallyError, TallyWarning


def pages_of(n_pages, seed, *, doubt=0.3, digits=None, hands=True):
    """Draw probabilities of boxes; on each page they are more or less in doubt."""
    rng = np.random.default_rng(seed)
    digits = np.full(12, 1 / 12) if digits is None else digits
    drawn = rng.choice(12, (n_pages, 3, 3), p=digits)
    hand = rng.gamma(1, doubt, (n_pages, 1, 1)) if hands else doubt
    rest = np.minimum(hand * rng.beta(0.5, 3, drawn.shape), 0.6)[..., None]
    return (1 - rest) * np.eye(12)[drawn] + rest / 12


def alarms(monitor, seeds, n_pages, **how):
    """Return how often each of the two is found."""
    found = []
    for seed in seeds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TallyWarning)
            checked = monitor.check(pages_of(n_pages, seed, **how))
        found.append([shift.found for shift in checked])
    return np.mean(found, axis=0)


def test_false_alarms_are_as_rare_as_stated():
    """At a level of 0.2 each of two tests fires in a tenth of ordinary batches."""
    fired = []
    for seed in range(120):
        monitor = ShiftMonitor(level=0.2, tolerance=0, n_permutations=99)
        monitor.set_params(random_state=seed).fit(pages_of(60, seed))
        fired.append(alarms(monitor, [1000 + seed], 30))
    assert (np.mean(fired, axis=0) <= 0.1 + 0.055).all()  # two standard errors
    assert np.mean(fired) > 0.03


def test_finds_each_shift_by_its_name():
    monitor = ShiftMonitor(random_state=0).fit(pages_of(200, 0))
    assert (alarms(monitor, range(1, 6), 60) == 0).all()
    with pytest.warns(TallyWarning, match="these 60 pages .* the 200 .* how sure") as w:
        scores, digits = monitor.check(pages_of(60, 6, doubt=1.0))
    assert f"by {scores.amount:.3f}" in str(w[0].message)
    assert scores.found and not digits.found
    assert "digits it reads" not in str(w[0].message)
    tilted = np.arange(1, 13) / 78
    with pytest.warns(TallyWarning, match="the digits it reads"):
        scores, digits = monitor.check(pages_of(60, 7, digits=tilted))
    assert digits.found and not scores.found
    expected = np.abs(tilted - 1 / 12).sum() / 2
    assert digits.amount == pytest.approx(expected, abs=0.06)


def test_small_differences_are_not_told_however_certain():
    slightly = np.full(12, 1 / 12)
    slightly[:6] += 0.006
    slightly[6:] -= 0.006
    monitor = ShiftMonitor(random_state=0, tolerance=0).fit(pages_of(1500, 0))
    far = pages_of(1500, 1, digits=slightly)
    with pytest.warns(TallyWarning, match="the digits it reads"):
        monitor.check(far)
    assert not monitor.set_params(tolerance=0.05).check(far)[1].found


def test_absent_boxes_and_unread_pages_are_left_out():
    proba = pages_of(40, 0)
    proba[3] = np.nan
    proba[:, 0, 0] = np.nan
    monitor = ShiftMonitor().fit(proba)
    assert monitor.scores_.shape == (39, 12) and monitor.digits_.shape == (39, 12)
    assert (monitor.scores_.sum(axis=1) == 8).all()
    assert (monitor.digits_.sum(axis=1) == 8).all()


def test_many_pages_are_sampled():
    monitor = ShiftMonitor(max_pages=50, random_state=0).fit(pages_of(300, 0))
    first, again = monitor.check(pages_of(300, 1)), monitor.check(pages_of(300, 1))
    assert first == again
    assert not any(shift.found for shift in first)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"level": 5}, "level: expected"),
        ({"tolerance": -1}, "tolerance: expected"),
        ({"n_permutations": 1}, "n_permutations: expected"),
        ({"max_pages": 1}, "max_pages: expected"),
    ],
)
def test_errors(params, message):
    monitor = clone(ShiftMonitor(**params)).fit(pages_of(10, 0))
    with pytest.raises(TallyError, match=message):
        monitor.check(pages_of(10, 1))


@pytest.mark.parametrize(
    ("params", "n", "message"),
    [
        ({"n_permutations": 99}, 40, r"of 99 permutations of 40 and 40 .* below 0.01"),
        ({"level": 0}, 40, "takes 0: no shift could be found"),
        ({}, 5, "of 5 and 5 pages is below 0.0079"),  # 2 of 252 ways to part them
    ],
)
def test_says_so_where_it_could_find_nothing(params, n, message):
    monitor = ShiftMonitor(**params).fit(pages_of(n, 0))
    with pytest.raises(TallyError, match=message):
        monitor.check(pages_of(n, 1, doubt=1.0))


def test_finds_a_shift_in_as_few_pages_as_it_takes():
    sure = np.eye(12)[np.arange(54).reshape(6, 3, 3) % 12]
    monitor = ShiftMonitor(random_state=0).fit(sure)
    with pytest.warns(TallyWarning, match="how sure the reader is"):
        assert monitor.check(0.5 * sure + 0.5 / 12)[0].found


def test_needs_pages():
    with pytest.raises(TallyError, match="at least 5 pages that were read, got 4"):
        ShiftMonitor().fit(pages_of(4, 0))
    with pytest.raises(TallyError, match="digit_proba: expected shape"):
        ShiftMonitor().fit(np.zeros((5, 12)))
