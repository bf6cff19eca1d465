"""VoteCountAggregator around CNNClassifier, the network it is made for."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline

from sktally import CNNClassifier
from sktally.exceptions import TallyError
from sktally.persist import load_model, save_model
from sktally.votes import (
    CLASSES,
    VoteCountAggregator,
    boxes_to_counts,
    count_accuracy,
)


def network(**params):
    defaults = {"filters": (8,), "hidden": (32,), "dropout": 0.0, "batch_size": 16}
    defaults |= {"learning_rate": 0.01, "max_epochs": 15, "random_state": 0}
    return CNNClassifier(**(defaults | params))


def test_network_reads_the_known_counts(padded_tallies):
    cells, _, boxes = padded_tallies
    votes = VoteCountAggregator(network()).fit(cells, boxes)
    assert set(votes.classifier_.classes_) == set(CLASSES)
    assert votes.classifier_.image_shape_ == (6, 5)
    result = votes.predict_tallies(cells)
    read = np.arange(40) != 3
    assert (result.boxes[read] == boxes[read]).mean() > 0.97
    assert (result.counts[3] == -1).all()
    assert np.isfinite(result.confidence[read]).all()


def test_network_learns_from_counts_alone(tallies):
    cells, _, boxes = tallies
    counts = boxes_to_counts(boxes)[0]
    votes = VoteCountAggregator(network(max_epochs=25)).fit(cells, counts)
    assert votes.n_cells_ == 240
    assert votes.score(cells, counts) > 0.95


def test_network_that_stops_early_validates_on_other_pages(tallies):
    cells, _, boxes = tallies
    votes = VoteCountAggregator(
        network(early_stopping=True, patience=2), random_state=0
    ).fit(cells, boxes)
    assert votes.classifier_.n_epochs_ <= 15
    assert votes.score(cells, boxes) > 0.9


@pytest.mark.parametrize("routing", [False, True])
def test_groups_of_tallies_stay_on_one_side(tallies, routing, monkeypatch):
    cells, _, boxes = tallies
    clerks = np.array([f"clerk {i}" for i in range(8)])[np.arange(len(cells)) % 8]
    seen = []
    monkeypatch.setattr(
        CNNClassifier,
        "fit",
        lambda self, X, y, *, groups=None, validation_split=None: (
            seen.append((groups, validation_split)) or self
        ),
    )
    classifier = network(early_stopping=True)
    with config_context(enable_metadata_routing=routing):
        if routing:
            classifier.set_fit_request(groups=True)
        votes = VoteCountAggregator(classifier, validation_fraction=0.25)
        votes.fit(cells, boxes, groups=clerks)
    groups, (train, valid) = seen[0]
    assert not set(groups[train]) & set(groups[valid])
    assert len(set(groups[valid])) == 2 and len(set(groups)) == 8


def test_network_takes_the_split_by_groups(tallies):
    cells, _, boxes = tallies
    clerks = np.arange(len(cells)) % 8
    votes = VoteCountAggregator(network(early_stopping=True, max_epochs=2))
    votes.fit(cells, boxes, groups=clerks)
    assert "valid_loss" in votes.classifier_.history_
    with pytest.raises(
        TallyError, match=r"groups: expected one group per tally, shape"
    ):
        votes.fit(cells, boxes, groups=clerks[:-1])
    with pytest.raises(TallyError, match=r"got shape \(40,\) with 1 missing"):
        votes.fit(cells, boxes, groups=[None, *clerks[1:]])


def test_grid_over_the_network_in_a_pipeline(tallies):
    cells, _, boxes = tallies
    search = GridSearchCV(
        Pipeline([("votes", VoteCountAggregator(network(max_epochs=8)))]),
        {"votes__classifier__dropout": [0.0, 0.3]},
        cv=GroupKFold(2),
        scoring=count_accuracy,
        error_score="raise",
    ).fit(cells, boxes, groups=np.arange(40) // 2)
    assert len(search.cv_results_["params"]) == 2


@pytest.mark.parametrize("routing", [False, True])
def test_freeze_layers_reaches_the_network(tallies, routing):
    cells, labels, boxes = tallies
    source = network(classes=list(CLASSES)).fit(
        cells.reshape(-1, 6, 5), np.array(CLASSES)[labels.ravel()]
    )
    tuned = network(pretrained=FrozenEstimator(source), max_epochs=1)
    with config_context(enable_metadata_routing=routing):
        if routing:
            tuned.set_fit_request(freeze_layers=True)
            params = {"freeze_layers": 1}
        else:
            params = {"votes__freeze_layers": 1}
        reader = Pipeline([("votes", VoteCountAggregator(tuned))])
        reader.fit(cells[:20], boxes[:20], **params)
    weights = [
        list(fitted.net_.module_.state_dict().values())
        for fitted in (source, reader["votes"].classifier_)
    ]
    same = [bool((a == b).all()) for a, b in zip(*weights, strict=True)]
    assert same[:2] == [True, True] and not all(same)


def test_saved_and_loaded_aggregator_reads_the_same(tallies, tmp_path):
    cells, _, boxes = tallies
    votes = VoteCountAggregator(network(max_epochs=2), blank_right="shift")
    votes.fit(cells, boxes)
    back = load_model(save_model(votes, tmp_path / "votes"))
    assert back.blank_right == "shift" and back.n_cells_ == 240
    proba = votes.predict_digit_proba(cells)
    assert np.array_equal(back.predict_digit_proba(cells), proba)
    frozen = VoteCountAggregator(FrozenEstimator(votes.classifier_))
    back = load_model(save_model(frozen, tmp_path / "frozen"))
    assert np.array_equal(back.predict_digit_proba(cells), proba)
