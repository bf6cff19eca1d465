"""Intervals, on numbers known from elsewhere and on simulated pages."""

import numpy as np
import pytest

from sktally.exceptions import TallyError
from sktally.votes import accuracy_interval


def test_wilson_interval_of_known_numbers():
    # Wilson (1927) for 98 of 100: R prop.test(98, 100, correct = FALSE)
    interval = accuracy_interval(np.arange(100) < 98)
    assert interval.estimate == 0.98
    assert interval.low == pytest.approx(0.92999, abs=1e-4)
    assert interval.high == pytest.approx(0.99450, abs=1e-4)


def test_all_right_still_has_a_width():
    low = accuracy_interval(np.ones(100, bool)).low
    assert low == pytest.approx(100 / (100 + 1.959964**2), abs=1e-6)
    grouped = accuracy_interval(np.ones(100, bool), groups=np.arange(100) // 4)
    assert grouped.low == pytest.approx(25 / (25 + 1.959964**2), abs=1e-6)
    assert grouped.high == 1


def test_groups_that_fail_together_widen_the_interval():
    pages = np.repeat(np.arange(50) % 10 != 0, 4)
    groups = np.arange(200) // 4
    grouped = accuracy_interval(pages, groups=groups)
    by_page = accuracy_interval(pages[::4])
    alone = accuracy_interval(pages)
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)
    assert grouped.low == pytest.approx(by_page.low, abs=0.005)


def test_groups_without_effect_leave_it_alone():
    correct = np.tile([True, True, True, False], 50)
    grouped = accuracy_interval(correct, groups=np.arange(200) // 4)
    assert grouped == accuracy_interval(correct)


def test_interval_covers_the_truth_under_clustering():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        page = rng.beta(9, 1, 60)  # mean 0.9, strongly clustered
        correct = rng.random((60, 3)) < page[:, None]
        interval = accuracy_interval(correct, groups=np.repeat(np.arange(60), 3))
        inside += interval.low <= 0.9 <= interval.high
    assert 0.92 <= inside / 400 <= 0.99


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: accuracy_interval([]), "expected one value or more, got none"),
        (
            lambda: accuracy_interval([1], confidence_level=95),
            r"confidence_level: expected a number in",
        ),
        (lambda: accuracy_interval([1, 0], groups=[1]), r"shape \(2,\), got \(1,\)"),
    ],
)
def test_interval_errors(call, message):
    with pytest.raises(TallyError, match=message):
        call()
