"""Pipelines, searches, cross-validation and metadata routing."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from sktally.votes import (
    VoteCountAggregator,
    count_accuracy,
    digit_accuracy,
    page_accuracy,
)


class Lookup(TransformerMixin, BaseEstimator):
    """Turns names of pages into their cells, as TallyCropper does."""

    def __init__(self, pages=None):
        self.pages = pages

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.stack([self.pages[name] for name in X])

    def __sklearn_is_fitted__(self):
        return True


class Routed(LogisticRegression):
    """A classifier with a fit parameter of its own, as the network has."""

    def fit(self, X, y, sample_weight=None, *, freeze_layers=None):
        self.frozen_ = freeze_layers
        return super().fit(X, y, sample_weight)


@pytest.fixture
def pages(tallies):
    cells, _, boxes = tallies
    names = [f"page_{i:03}.jpg" for i in range(len(cells))]
    return names, boxes, dict(zip(names, cells, strict=True))


def cells_of(pages):
    return np.stack(list(pages.values()))


def reader(pages, classifier):
    return Pipeline(
        [("crop", Lookup(pages)), ("votes", VoteCountAggregator(classifier))]
    )


@pytest.mark.parametrize("scoring", [count_accuracy, page_accuracy, digit_accuracy])
def test_grid_search_on_paths_grouped_by_station(pages, scoring):
    names, boxes, cells = pages
    search = GridSearchCV(
        reader(cells, KNeighborsClassifier()),
        {"votes__classifier__n_neighbors": [1, 50]},
        cv=GroupKFold(2),
        scoring=scoring,
        n_jobs=2,
        error_score="raise",
    )
    search.fit(names, boxes, groups=np.arange(40) // 2)
    assert search.best_params_ == {"votes__classifier__n_neighbors": 1}
    assert scoring(search, names, boxes) == 1
    assert (search.predict(names) >= 0).all()


def test_several_scorers_at_once(pages):
    names, boxes, cells = pages
    scoring = {"counts": count_accuracy, "pages": page_accuracy}
    search = GridSearchCV(
        reader(cells, KNeighborsClassifier(1)),
        {"votes__blank_right": ["missing", "zero"]},
        cv=2,
        scoring=scoring,
        refit="counts",
        error_score="raise",
    ).fit(names, boxes)
    results = search.cv_results_
    assert (results["mean_test_pages"] <= results["mean_test_counts"]).all()


@pytest.mark.parametrize("as_list", [False, True])
def test_cross_val_score(pages, as_list):
    names, boxes, cells = pages
    y = boxes.tolist() if as_list else boxes
    scores = cross_val_score(
        reader(cells, RandomForestClassifier(20, random_state=0)),
        names,
        y,
        groups=np.arange(40) // 4,
        cv=GroupKFold(2),
        error_score="raise",
    )
    assert scores.shape == (2,) and (scores > 0.8).all()


def test_score_without_scoring_is_count_accuracy(pages):
    names, boxes, cells = pages
    fitted = reader(cells, KNeighborsClassifier(1)).fit(names, boxes)
    boxes[0, 0] = "999"
    assert fitted.score(names, boxes) == count_accuracy(fitted, names, boxes) < 1


def test_fit_param_through_pipeline_and_search_without_routing(pages):
    names, boxes, cells = pages
    fitted = reader(cells, Routed()).fit(names, boxes, votes__freeze_layers=1)
    assert fitted["votes"].classifier_.frozen_ == 1
    search = GridSearchCV(
        reader(cells, Routed()),
        {"votes__classifier__C": [1.0]},
        cv=2,
        scoring=count_accuracy,
        error_score="raise",
    ).fit(names, boxes, votes__freeze_layers=3)
    assert search.best_estimator_["votes"].classifier_.frozen_ == 3


def test_fit_param_through_pipeline_and_search_with_routing(pages):
    names, boxes, cells = pages
    with config_context(enable_metadata_routing=True):
        classifier = Routed().set_fit_request(freeze_layers=True)
        fitted = reader(cells, classifier).fit(names, boxes, freeze_layers=1)
        assert fitted["votes"].classifier_.frozen_ == 1
        search = GridSearchCV(
            reader(cells, classifier),
            {"votes__classifier__C": [1.0]},
            cv=GroupKFold(2),
            scoring=count_accuracy,
            error_score="raise",
        )
        search.fit(names, boxes, groups=np.arange(40) // 2, freeze_layers=3)
        assert search.best_estimator_["votes"].classifier_.frozen_ == 3
        with pytest.raises(UnsetMetadataPassedError, match="freeze_layers"):
            reader(cells, Routed()).fit(names, boxes, freeze_layers=1)


def test_sample_weight_with_routing_is_one_per_tally(pages):
    names, boxes, cells = pages
    with config_context(enable_metadata_routing=True):
        classifier = LogisticRegression().set_fit_request(sample_weight=True)
        weights = np.linspace(0.5, 1, 40)
        fitted = reader(cells, classifier).fit(names, boxes, sample_weight=weights)
        assert fitted.score(names, boxes) > 0.9
        votes = VoteCountAggregator(classifier).set_score_request(sample_weight=True)
        assert votes.fit(cells_of(cells), boxes, sample_weight=weights).n_cells_ == 240


def test_search_inside_the_aggregator(tallies):
    cells, _, boxes = tallies
    search = GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [1, 50]}, cv=2)
    votes = VoteCountAggregator(search).fit(cells, boxes)
    assert votes.classifier_.best_params_ == {"n_neighbors": 1}
    assert votes.score(cells, boxes) == 1


def test_a_pipeline_passes_the_tags_on(pages):
    tags = get_tags(reader(pages[2], KNeighborsClassifier()))
    assert tags.estimator_type is None
