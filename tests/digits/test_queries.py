"""Which samples are asked for next: known answers, and better than chance."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.cluster import kmeans_plusplus
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sktally import select_queries
from sktally.digits import _queries
from sktally.exceptions import TallyError

PROBA = np.array(
    [[1, 0, 0], [0.4, 0.3, 0.3], [0.5, 0.5, 0], [0.6, 0.2, 0.2], [1 / 3] * 3]
)


class Told(BaseEstimator):
    """A fitted classifier whose probabilities are the columns that it is given."""

    def __sklearn_is_fitted__(self):
        return True

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return np.asarray(X)


def told(doubts):
    """Return two-class probabilities whose margin uncertainty is `doubts`."""
    doubts = np.asarray(doubts, dtype=float)
    return np.stack([1 - doubts / 2, doubts / 2], axis=1)


@pytest.fixture(scope="module")
def flat():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


@pytest.fixture(scope="module")
def linear(flat):
    X, y = flat
    return LogisticRegression(C=10).fit(X[:50], y[:50])


def test_measures_known_answers():
    got = {name: measure(PROBA) for name, measure in _queries._MEASURES.items()}
    assert np.allclose(got["margin"], [0, 0.9, 1, 0.6, 1])
    assert np.allclose(got["least_confidence"], [0, 0.9, 0.75, 0.6, 1])
    entropy = [0, 1.0889 / np.log(3), np.log(2) / np.log(3), 0.9503 / np.log(3), 1]
    assert np.allclose(got["entropy"], entropy, atol=1e-4)


@pytest.mark.parametrize(
    ("uncertainty", "expected"),
    [
        ("margin", [1, 3, 0]),  # 2 and 4 tie before them
        ("entropy", [4, 1, 3, 2, 0]),
        ("least_confidence", [4, 1, 2, 3, 0]),
    ],
)
def test_most_uncertain_first(uncertainty, expected):
    chosen = select_queries(
        Told(), PROBA, 5, uncertainty=uncertainty, diversity=0, random_state=0
    )
    assert chosen.dtype == np.int64
    assert chosen[-len(expected) :].tolist() == expected


def test_ties_are_drawn():
    pool = told([0.5] * 20)
    firsts = {
        select_queries(Told(), pool, 1, diversity=0, random_state=s)[0]
        for s in range(20)
    }
    assert len(firsts) > 5


@pytest.mark.parametrize("diversity", [0.1, 0.25, 0.5, 1])
def test_every_cluster_is_asked(diversity):
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(6), 30)
    features = 100 * np.eye(6)[clusters] + rng.normal(size=(180, 6))
    pool = told(rng.uniform(0.4, 0.6, 180))
    settings = {"features": features, "diversity": diversity}
    for seed in range(5):
        chosen = select_queries(Told(), pool, 6, random_state=seed, **settings)
        assert sorted(clusters[chosen]) == list(range(6))
    # the most uncertain are not all that different
    chosen = select_queries(Told(), pool, 6, **{**settings, "diversity": 0})
    assert len(set(clusters[chosen])) < 6


def test_certain_samples_are_left_for_last():
    rng = np.random.default_rng(0)
    pool = told(np.r_[np.zeros(50), rng.uniform(0.1, 1, 20)])
    features = rng.normal(size=(70, 3))
    chosen = select_queries(Told(), pool, 30, features=features, random_state=0)
    assert set(chosen[:20]) == set(range(50, 70)) and len(set(chosen)) == 30
    represents = select_queries(Told(), pool, 30, features=features, diversity=1)
    assert (represents < 50).sum() > 10


def test_half_is_weighted_kmeans_plusplus(linear, flat):
    X = flat[0][50:400]
    doubt = _queries._margin(linear.predict_proba(X))
    rng = np.random.RandomState(3)
    rng.permutation(len(X))
    weights = doubt / doubt.max()
    expected = kmeans_plusplus(
        X, 9, sample_weight=weights, random_state=rng, n_local_trials=8
    )[1]
    got = select_queries(linear, X, 9, diversity=0.5, random_state=3)
    assert got.tolist() == expected.tolist()


@pytest.mark.parametrize("diversity", [0, 1e-3, 0.25, 0.5, 1])
def test_different_and_the_same_again(linear, flat, diversity):
    X = flat[0][50:350]
    ask = {"diversity": diversity, "random_state": 1}
    chosen = select_queries(linear, X, 40, **ask)
    assert chosen.shape == (40,) and len(set(chosen)) == 40
    assert chosen.min() >= 0 and chosen.max() < 300
    assert np.array_equal(select_queries(linear, X, 40, **ask), chosen)
    assert np.array_equal(select_queries(linear, X, 15, **ask), chosen[:15])
    whole = select_queries(linear, X, 300, **ask)
    assert sorted(whole) == list(range(300))


def test_same_places_and_no_doubt_still_give_different_queries(flat):
    X, y = flat
    tree = DecisionTreeClassifier(random_state=0).fit(X[:100], y[:100])
    chosen = select_queries(tree, X[:100], 30, random_state=0)  # certain of all
    assert len(set(chosen)) == 30
    doubts = [0.2, 0.9, 0.5, 0.4, 0.6, 0.1]
    places = np.array([[0.0], [0], [0], [1], [1], [1]])
    for n in range(1, 7):
        chosen = select_queries(Told(), told(doubts), n, features=places)
        assert len(set(chosen)) == n
        assert n < 2 or set(chosen[:2] // 3) == {0, 1}
        assert list(chosen[2:]) == sorted(chosen[2:], key=lambda i: -doubts[i])


def test_whole_pages_by_mean_doubt():
    pages = np.array(["b", "a", "b", "c", "a", "c", "c"])
    doubts = [0.9, 0.6, 0.1, 0.7, 0.6, 0.7, 0.7]  # means: b 0.5, a 0.6, c 0.7
    pool = told(doubts)
    chosen = select_queries(Told(), pool, 2, groups=pages, diversity=0)
    assert chosen.tolist() == [3, 5, 6, 1, 4]
    assert pd.unique(pages[chosen]).tolist() == ["c", "a"]
    assert len(select_queries(Told(), pool, 3, groups=pages)) == 7


def test_pages_lie_where_their_doubtful_cells_do():
    pages = np.array([0, 0, 1, 1, 2])
    doubt = np.array([1, 0, 0.5, 0.5, 0])
    features = np.array([[1.0], [9], [2], [4], [7]])
    mean, space = _queries._of_pages(doubt, features, pages, 0.5)
    assert np.allclose(mean, [0.5, 0.5, 0])
    assert np.allclose(space, [[1], [3], [7]])
    _, space = _queries._of_pages(doubt, features, pages, 1)
    assert np.allclose(space, [[5], [3], [7]])


def test_every_cluster_of_pages_is_asked():
    rng = np.random.default_rng(0)
    pages = np.repeat(np.arange(40), 5)
    features = 100 * np.eye(4)[pages % 4] + rng.normal(size=(200, 4))
    pool = told(rng.uniform(0.4, 0.6, 200))
    chosen = select_queries(
        Told(), pool, 4, features=features, groups=pages, random_state=0
    )
    assert len(chosen) == 20 and sorted(pd.unique(pages[chosen]) % 4) == [0, 1, 2, 3]


def test_network_is_asked_in_the_space_of_its_last_hidden_layer(fitted, digits):
    X = digits[0][1000:1300]
    ask = {"random_state": 0}
    chosen = select_queries(fitted, X, 12, **ask)
    given = select_queries(fitted, X, 12, features=fitted.hidden_features(X), **ask)
    assert chosen.tolist() == given.tolist()
    assert chosen.tolist() != select_queries(fitted, X, 12, features=X, **ask).tolist()
    frozen = make_pipeline(FunctionTransformer(), FrozenEstimator(fitted))
    assert chosen.tolist() == select_queries(frozen, X, 12, **ask).tolist()


def test_pipelines_searches_frames_and_sparse_pools(flat):
    X, y = flat
    model = make_pipeline(MinMaxScaler(), LogisticRegression(C=10))
    search = GridSearchCV(model, {"logisticregression__C": [10]}, cv=2)
    search.fit(X[:60], y[:60])
    pool = X[60:200]
    ask = {"random_state": 0}
    chosen = select_queries(search, pool, 9, **ask).tolist()
    scaled = search.best_estimator_[0].transform(pool)
    assert chosen == select_queries(search, pool, 9, features=scaled, **ask).tolist()
    alone = search.best_estimator_[1]
    assert chosen == select_queries(alone, pd.DataFrame(scaled), 9, **ask).tolist()
    assert chosen == select_queries(alone, csr_array(scaled), 9, **ask).tolist()
    frame = pd.DataFrame(X[:60]).rename(columns=str)
    named = LogisticRegression(C=10).fit(frame, y[:60])
    named_pool = pd.DataFrame(pool).rename(columns=str)
    assert len(select_queries(named, named_pool, 9)) == 9


def test_chosen_beat_random(flat):
    X, y = flat
    scores = {"chosen": [], "random": []}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        test, pool = np.split(rng.permutation(len(X)), [600])
        for kind, found in scores.items():
            labelled, rest = pool[:20], pool[20:]
            for _ in range(4):
                model = LogisticRegression(C=10, max_iter=500)
                model.fit(X[labelled], y[labelled])
                new = np.arange(20)  # the pool is in random order
                if kind == "chosen":
                    new = select_queries(model, X[rest], 20, random_state=seed)
                labelled = np.r_[labelled, rest[new]]
                rest = np.delete(rest, new)
            model.fit(X[labelled], y[labelled])
            found.append(model.score(X[test], y[test]))
    gains = np.subtract(scores["chosen"], scores["random"])
    assert np.median(gains) > 0.02 and (gains > 0).sum() >= 5


HOLES = np.where(np.eye(64, dtype=bool)[:9], np.nan, 0.5)


@pytest.mark.parametrize(
    ("pool", "n", "options", "message"),
    [
        (np.zeros((0, 64)), 1, {}, "X_pool: expected at least 1 sample .* empty pool"),
        ([], 1, {}, "X_pool: expected at least 1 sample"),
        (HOLES, 1, {}, r"X_pool: .* NaN or infinity in 9 of 9 .*first: 0\); leave abs"),
        (None, 41, {}, "n_queries: expected at most 40, the samples in the pool, got"),
        (None, 0, {}, r"n_queries: expected an integer in \[1, "),
        (None, 2.0, {}, "n_queries: expected an integer, got 2.0"),
        (None, 3, {"groups": [0, 1] * 20}, "at most 2, the pages in the pool, got 3"),
        (None, 1, {"groups": [0, 1]}, r"groups: expected 40 of them, .* shape \(2,\)"),
        (None, 1, {"groups": [None] * 40}, "groups: expected one for each .* missing"),
        (None, 1, {"uncertainty": "bald"}, "uncertainty: expected one of 'margin', "),
        (None, 1, {"diversity": 1.5}, r"diversity: expected a number in \[0, 1\]"),
        (None, 1, {"diversity": None}, "diversity: expected a number, got None"),
        (None, 1, {"features": np.zeros((39, 2))}, r"n_samples = 40, got shape \(39,"),
        (None, 1, {"features": np.zeros(40)}, r"features: .* got shape \(40,\)"),
        (None, 1, {"features": np.full((40, 2), np.nan)}, "features: .* in 40 of 40"),
        (None, 1, {"features": [["a"]] * 40}, "features: expected numbers to measure"),
        (
            None,
            1,
            {"features": np.zeros((39, 2)), "diversity": 0},
            "features: expected features",
        ),
    ],
)
def test_wrong_arguments(linear, flat, pool, n, options, message):
    pool = flat[0][:40] if pool is None else pool
    with pytest.raises(TallyError, match=message):
        select_queries(linear, pool, n, **options)


@pytest.mark.parametrize(
    ("proba", "message"),
    [
        (np.ones((9, 1)), r"2 classes or more, got shape \(9, 1\) from Told; pass cel"),
        (np.full((9, 2, 3), 0.5), r"got shape \(9, 2, 3\)"),
        (np.full((9, 3), 2**9, dtype=np.uint16).astype(object) * np.inf, "in 9 of 9"),
    ],
)
def test_wrong_probabilities(proba, message):
    with pytest.raises(TallyError, match=message):
        select_queries(Told(), proba, 2)


def test_wrong_classifiers(flat):
    X, y = flat
    machine = LinearSVC().fit(X[:50], y[:50])
    with pytest.raises(TallyError, match="predict_proba, got LinearSVC; wrap one"):
        select_queries(machine, X, 5)
    with pytest.raises(TallyError, match=r"got LogisticRegression \(a class\)"):
        select_queries(LogisticRegression, X, 5)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        select_queries(LogisticRegression(), X, 5)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        select_queries(make_pipeline(MinMaxScaler(), LogisticRegression()), X, 5)
