"""Scores and intervals, on answers worked out by hand."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline

from sktally.exceptions import TallyError
from sktally.votes import (
    VoteCountAggregator,
    boxes_to_counts,
    count_accuracy,
    count_accuracy_score,
    digit_accuracy,
    digit_accuracy_score,
    page_accuracy,
    page_accuracy_score,
)

TRUTH = [["x23", "007"], ["140", "___"], ["", "012"], ["", None]]
READ = [["023", "007"], ["149", "xx_"], ["555", ""], ["123", "123"]]


def test_counts_and_pages_by_hand():
    # known: 23 right, 7 right, 140 wrong, 0 right, 12 unread
    assert count_accuracy_score(TRUTH, READ) == 3 / 5
    assert page_accuracy_score(TRUTH, READ) == 1 / 3
    counts = boxes_to_counts(TRUTH)[0]
    assert count_accuracy_score(counts, boxes_to_counts(READ)[0]) == 3 / 5


def test_counts_weighted_by_tally():
    # tallies of weight 3, 1, 0 and 5 (nothing known): (3 + 3 + 0 + 1) / (6 + 2)
    assert count_accuracy_score(TRUTH, READ, sample_weight=[3, 1, 0, 5]) == 7 / 8
    with pytest.raises(TallyError, match="one weight per tally"):
        count_accuracy_score(TRUTH, READ, sample_weight=[1])


def test_digits_by_hand():
    # x/0 wrong, 007 right, 140/149 one wrong, ___/xx_ two wrong, 012 unread
    assert digit_accuracy_score(TRUTH, READ) == (2 + 3 + 2 + 1 + 0) / 15
    counts = boxes_to_counts(TRUTH)[0]
    assert digit_accuracy_score(counts, READ) == (3 + 3 + 2 + 3 + 0) / 15


def test_digits_of_unequal_length_are_compared_from_the_right():
    assert digit_accuracy_score([["23"]], [["x23"]]) == 1
    assert digit_accuracy_score([["x23"]], [["23"]]) == 2 / 3


@pytest.mark.parametrize(
    "score", [count_accuracy_score, page_accuracy_score, digit_accuracy_score]
)
def test_scores_refuse_what_they_cannot_compare(score):
    with pytest.raises(TallyError, match=r"got \(1, 2\) and \(1, 1\)"):
        score([["1", "2"]], [["1"]])
    with pytest.raises(TallyError, match="at least one known count"):
        score([["", ""]], [["1", "2"]])


def test_scorers_see_through_pipelines_and_unread_pages(padded_tallies):
    cells, _, boxes = padded_tallies
    votes = VoteCountAggregator(KNeighborsClassifier(1)).fit(cells, boxes)
    for estimator in (votes, Pipeline([("votes", votes)])):
        assert count_accuracy(estimator, cells, boxes) == 39 / 40
        assert page_accuracy(estimator, cells, boxes) == 39 / 40
        assert digit_accuracy(estimator, cells, boxes) == 39 / 40
        counts = boxes_to_counts(boxes)[0]
        assert digit_accuracy(estimator, cells, counts) == 39 / 40


def test_scorers_take_the_rule_of_the_aggregator(tallies):
    cells, _, boxes = tallies
    truth = np.full(boxes.shape, "", dtype=object)
    truth[0, 0] = boxes[0, 0][1:] + "_"
    for rule, known in (("missing", False), ("zero", True)):
        votes = VoteCountAggregator(KNeighborsClassifier(1), blank_right=rule)
        votes = Pipeline([("votes", votes.fit(cells, boxes))])
        if known:
            assert count_accuracy(votes, cells, truth) == 0
        else:
            with pytest.raises(TallyError, match="at least one known count"):
                count_accuracy(votes, cells, truth)


def test_digit_accuracy_needs_an_aggregator():
    fitted = LogisticRegression().fit([[0], [1]], [0, 1])
    with pytest.raises(TallyError, match="ends in one, got LogisticRegression"):
        digit_accuracy(fitted, [[0]], [["1"]])
