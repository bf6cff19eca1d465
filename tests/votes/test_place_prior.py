"""A prior by place: what it mends, where it is not heeded, what it asks for."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from sktally import load_model, save_model
from sktally.digits import CNNClassifier
from sktally.exceptions import TallyError
from sktally.votes import CLASSES, VoteCountAggregator, count_accuracy


@pytest.fixture(scope="module")
def small_stations():
    """Return noisy cells of counts below 200, of load_digits, and the counts."""
    digits = load_digits()
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 200, (300, 2))
    figures = counts[..., None] // np.array([100, 10, 1]) % 10
    chosen = [rng.choice(np.flatnonzero(digits.target == f)) for f in figures.ravel()]
    cells = digits.images[chosen].reshape(300, 2, 3, 8, 8)
    cells = cells + rng.normal(0, 4, cells.shape)
    return cells.astype(np.float32), counts, np.char.zfill(counts.astype(str), 3)


def test_it_mends_what_cannot_stand_in_the_hundreds(small_stations):
    X, counts, boxes = small_stations
    votes = VoteCountAggregator(KNeighborsClassifier(15)).fit(X[:200], boxes[:200])
    plain = votes.predict_tallies(X[200:])
    heeded = votes.set_params(place_prior=True).predict_tallies(X[200:])
    wrong = [(read.counts != counts[200:]).sum() for read in (plain, heeded)]
    assert wrong[1] < 0.9 * wrong[0]
    assert {box[0] for box in heeded.boxes.ravel()} == {"0", "1"}
    assert np.allclose(heeded.digit_proba.sum(axis=-1), 1, atol=1e-6)


def test_it_is_bayes_with_the_frequencies_of_the_place(small_stations):
    X, _, boxes = small_stations
    votes = VoteCountAggregator(GaussianNB(), place_prior=True).fit(
        X[:200], boxes[:200]
    )
    labels = np.array([[list(b) for b in row] for row in boxes[:200]])
    seen = np.array([(labels == c).sum(axis=(0, 1)) for c in CLASSES]).T
    expected = seen.sum(axis=1, keepdims=True) * seen.sum(axis=0) / seen.sum()
    assert np.allclose(votes.place_ratios_, (seen + 1) / (expected + 1))
    weighed = votes.predict_digit_proba(X[200:])
    votes.set_params(place_prior=False)
    by_hand = votes.predict_digit_proba(X[200:]) * votes.place_ratios_
    by_hand /= by_hand.sum(axis=-1, keepdims=True)
    assert np.allclose(weighed, by_hand, atol=1e-6)


def test_it_is_left_out_unless_asked_for(small_stations):
    X, _, boxes = small_stations
    votes = VoteCountAggregator(GaussianNB()).fit(X[:200], boxes[:200])
    cells = X[200:].reshape(-1, 64)
    columns = [CLASSES.index(c) for c in "0123456789"]
    assert np.allclose(
        votes.predict_digit_proba(X[200:]).reshape(-1, 12)[:, columns],
        votes.classifier_.predict_proba(cells),
    )


def test_places_are_counted_from_the_right(small_stations):
    X, _, boxes = small_stations
    votes = VoteCountAggregator(GaussianNB(), place_prior=True).fit(
        X[:200], boxes[:200]
    )
    whole = votes.predict_digit_proba(X[200:])
    assert np.array_equal(votes.predict_digit_proba(X[200:, :, 1:]), whole[:, :, 1:])
    # A place further left than any that was seen is not weighed.
    wider = votes.predict_digit_proba(np.concatenate([X[200:, :, :1], X[200:]], axis=2))
    assert np.array_equal(wider[:, :, 1:], whole)
    plain = votes.set_params(place_prior=False).predict_digit_proba(X[200:])
    assert np.allclose(wider[:, :, 0], plain[:, :, 0], atol=1e-4)


def test_counts_leave_leading_zeros_open(small_stations):
    X, counts, _ = small_stations
    votes = VoteCountAggregator(CNNClassifier(max_epochs=1, random_state=0))
    ratios = votes.fit(X[:200], counts[:200]).place_ratios_
    zero, crossed, empty = (CLASSES.index(c) for c in "0x_")
    assert ratios[0, crossed] == ratios[0, empty] > 1 > ratios[2, crossed]
    assert ratios[2, zero] == pytest.approx(1, abs=0.6)


def test_a_frozen_classifier_stays_and_the_prior_is_learnt(small_stations):
    X, counts, boxes = small_stations
    fitted = GaussianNB().fit(X[:200].reshape(-1, 64), [*"".join(boxes[:200].ravel())])
    votes = VoteCountAggregator(FrozenEstimator(fitted), place_prior=True)
    with pytest.raises(NotFittedError, match="call fit with X and y"):
        votes.predict(X[200:])
    votes.fit(X[:50], counts[:50])
    assert votes.n_cells_ == 0 and votes.classifier_.estimator is fitted
    assert votes.predict(X[200:]).shape == (100, 2)


def test_it_can_be_searched(small_stations):
    X, _, boxes = small_stations
    search = GridSearchCV(
        VoteCountAggregator(KNeighborsClassifier(15)),
        {"place_prior": [False, True]},
        scoring=count_accuracy,
        cv=3,
    ).fit(X, boxes)
    assert search.best_params_ == {"place_prior": True}


def test_it_is_saved(small_stations, tmp_path):
    X, _, boxes = small_stations
    network = CNNClassifier(max_epochs=1, random_state=0)
    votes = VoteCountAggregator(network, place_prior=True).fit(X[:50], boxes[:50])
    save_model(votes, tmp_path / "votes")
    again = load_model(tmp_path / "votes")
    assert np.array_equal(again.place_ratios_, votes.place_ratios_)
    assert np.array_equal(
        again.predict_digit_proba(X[50:]), votes.predict_digit_proba(X[50:])
    )


@pytest.mark.parametrize(
    "ratios",
    [np.ones((3, 11)), np.ones(12), np.zeros((3, 12)), np.full((3, 12), np.nan)],
)
def test_damaged_ratios_are_refused(ratios):
    with pytest.raises(TallyError, match="place_ratios_: expected .* damaged"):
        VoteCountAggregator(GaussianNB())._set_fitted_state({"place_ratios_": ratios})


def test_a_model_without_it_is_saved_as_before(small_stations, tmp_path):
    X, _, boxes = small_stations
    network = CNNClassifier(max_epochs=1, random_state=0)
    save_model(VoteCountAggregator(network).fit(X[:50], boxes[:50]), tmp_path / "votes")
    assert '"place_prior"' not in (tmp_path / "votes.json").read_text()


def test_a_classifier_without_probabilities_cannot_be_weighed(small_stations):
    X, _, boxes = small_stations
    votes = VoteCountAggregator(LinearSVC(), place_prior=True).fit(X[:50], boxes[:50])
    with pytest.raises(TallyError, match="CalibratedClassifierCV"):
        votes.predict(X[50:])


def test_it_is_on_or_off(small_stations):
    X, _, boxes = small_stations
    votes = VoteCountAggregator(GaussianNB(), place_prior="hundreds")
    with pytest.raises(TallyError, match="place_prior"):
        votes.fit(X[:50], boxes[:50])
