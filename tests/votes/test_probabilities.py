"""The aggregator says how probable each count is, calibrated on pages held out."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC

from sktally import TallyError, VoteCountAggregator
from sktally.votes import DigitCalibrator, calibration_scores, count_proba


@pytest.fixture(scope="module")
def pages():
    """Return noisy cells of three-digit counts, of load_digits, and the counts."""
    digits = load_digits()
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 1000, (500, 2))
    figures = counts[..., None] // np.array([100, 10, 1]) % 10
    chosen = [rng.choice(np.flatnonzero(digits.target == f)) for f in figures.ravel()]
    cells = digits.images[chosen].reshape(500, 2, 3, 8, 8)
    cells = cells + rng.normal(0, 4, cells.shape)
    return cells.astype(np.float32), counts


@pytest.fixture(scope="module")
def votes(pages):
    """Naive Bayes, which is famously too sure of itself."""
    X, counts = pages
    boxes = np.char.zfill(counts.astype(str), 3)
    return VoteCountAggregator(GaussianNB()).fit(X[:200], boxes[:200])


def test_is_count_proba_of_the_boxes(pages, votes):
    X, _ = pages
    read = votes.predict_tallies(X[400:])
    expected = count_proba(read.digit_proba, read.counts)
    assert (votes.predict_count_proba(X[400:]) == expected).all()


def test_calibrated_on_pages_held_out_it_is_true(pages, votes):
    X, counts = pages
    votes = clone(votes).fit(X[:200], np.char.zfill(counts[:200].astype(str), 3))
    before = votes.predict_tallies(X[400:])
    sure = votes.predict_count_proba(X[400:])
    assert votes.calibrate(X[200:400], counts[200:400]) is votes
    after, proba = votes.predict_tallies(X[400:]), votes.predict_count_proba(X[400:])
    by_hand = DigitCalibrator().fit(
        votes.predict_digit_proba(X[200:400]), counts[200:400]
    )
    assert votes.calibrator_.temperature_ == by_hand.temperature_ > 1.5
    assert (after.counts == before.counts).all()
    assert (after.confidence == before.confidence).all()
    correct = before.counts == counts[400:]
    scores = [
        calibration_scores(correct, p, random_state=0).loc["all"] for p in (sure, proba)
    ]
    assert scores[1]["log_loss"] < 0.7 * scores[0]["log_loss"]
    assert scores[1]["ece"] < scores[0]["ece"]


def test_fit_forgets_the_calibrator_and_clone_too(pages, votes):
    X, counts = pages
    votes = VoteCountAggregator(FrozenEstimator(votes.classifier_))
    votes.calibrate(X[200:300], counts[200:300], by="place")
    assert votes.calibrator_.temperature_.shape == (3,)
    assert not hasattr(clone(votes), "calibrator_")
    assert not hasattr(votes.fit(X[:20], counts[:20]), "calibrator_")


def test_where_there_is_no_count_there_is_no_probability(pages):
    labels = ["7", "_"]
    cells = np.zeros((40, 1, 2, 2, 2), dtype=np.float32)
    cells[:, :, 0] = 1
    cells[0, :, 1] = 1
    cells[1] = np.nan
    rng = np.random.default_rng(0)
    cells += rng.normal(0, 0.1, cells.shape).astype(np.float32)
    boxes = np.array([["77"], [""], *[["7_"]] * 38], dtype=object)
    votes = VoteCountAggregator(GaussianNB()).fit(cells, boxes)
    assert set(votes.classifier_.classes_) == set(labels)
    proba = votes.predict_count_proba(cells)
    assert proba[0, 0] == pytest.approx(1)
    assert np.isnan(proba[1:]).all()  # 7_ is no count
    as_zero = votes.set_params(blank_right="zero").predict_count_proba(cells)
    assert np.isfinite(as_zero[[0, *range(2, 40)]]).all()


def test_asks_for_what_it_needs(pages, votes):
    X, counts = pages
    with pytest.raises(NotFittedError):
        VoteCountAggregator(GaussianNB()).predict_count_proba(X[:1])
    with pytest.raises(TallyError, match="at least 20 labelled pages"):
        clone(votes).fit(X[:50], counts[:50]).calibrate(X[:10], counts[:10])
    unsure = VoteCountAggregator(LinearSVC())
    assert not hasattr(unsure, "predict_count_proba")
    assert not hasattr(unsure, "calibrate")
