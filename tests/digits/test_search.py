"""The grid of the paper and the table of a search, in every kind of search."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    ParameterGrid,
    RandomizedSearchCV,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktally import (
    CNNClassifier,
    VoteCountAggregator,
    domain_cv,
    paper_param_grid,
    search_results,
)
from sktally.digits._options import NETWORKS
from sktally.exceptions import TallyError


def test_grid_holds_both_networks_of_the_paper():
    candidates = list(ParameterGrid(paper_param_grid()))
    assert len(candidates) == 48
    for name, epochs in (("paper-base", 15), ("paper-tuned", 20)):
        varied = ("filters", "dropout", "hidden")
        network = {option: NETWORKS[name][option] for option in varied}
        assert {**network, "max_epochs": epochs} in candidates
    for candidate in candidates:
        CNNClassifier().set_params(**candidate)


def test_grid_of_a_reader():
    for prefix in ("votes__classifier", "votes__classifier__"):
        grid = paper_param_grid(prefix, epochs=[3])
        assert grid["votes__classifier__max_epochs"] == [3]
        assert all(name.startswith("votes__classifier__") for name in grid)
    aggregator = VoteCountAggregator(CNNClassifier())
    aggregator.set_params(**next(iter(ParameterGrid(paper_param_grid("classifier")))))
    assert "max_epochs" not in paper_param_grid(epochs=None)
    paper_param_grid()["filters"].clear()  # a new one with each call
    assert len(paper_param_grid()["filters"]) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prefix": None}, "prefix: expected a str such as 'votes__classifier', got "
                           "None"),
        ({"epochs": 15}, "epochs: expected a list of integers or None, got 15; one "
                         "value is a list of one"),
        ({"epochs": []}, "epochs: expected a list of integers or None, got []"),
        ({"epochs": [0]}, "epochs: expected an integer in [1, "),
        ({"epochs": [2.5]}, "epochs: expected an integer, got 2.5"),
    ],
)  # fmt: skip
def test_mistakes_of_the_grid(arguments, message):
    with pytest.raises(TallyError, match=re.escape(message)):
        paper_param_grid(**arguments)


def few_epochs(small, **more):
    return CNNClassifier(**{**small, "max_epochs": 1, **more})


def fewer(grid):
    """The grid with its first two values each, so that it is done in a moment."""
    return {name: values[:2] for name, values in grid.items()}


def test_grid_search_from_one_domain_to_another(digits, small):
    X, y = digits
    grid = {**fewer(paper_param_grid(epochs=[1])), "hidden": [(16, 8)]}
    grid["filters"] = [(4,), (4, 8)]
    search = GridSearchCV(
        few_epochs(small), grid, cv=domain_cv(300, 100), refit=False,
        return_train_score=True,
    ).fit(X[:400], y[:400])  # fmt: skip
    table = search_results(search)
    assert table.columns.tolist() == [
        "dropout", "filters", "hidden", "max_epochs", "rank_test_score",
        "mean_test_score", "std_test_score", "mean_train_score", "std_train_score",
        "mean_fit_time", "std_fit_time",
    ]  # fmt: skip
    assert len(table) == 4 and set(table.filters) == {(4,), (4, 8)}
    assert table.index[0] == search.best_index_
    assert table.iloc[0][list(search.best_params_)].to_dict() == search.best_params_
    assert table.rank_test_score.is_monotonic_increasing
    assert table[["std_test_score", "std_train_score"]].isna().all(axis=None)
    alone = clone(few_epochs(small)).set_params(**search.best_params_)
    score = alone.fit(X[:300], y[:300]).score(X[300:400], y[300:400])
    assert table.mean_test_score.iloc[0] == score


def test_halving_over_epochs(digits, small):
    X, y = digits
    step = FunctionTransformer(validate=False)
    pipeline = make_pipeline(step, few_epochs(small, filters=(4,), hidden=(8,)))
    grid = paper_param_grid("cnnclassifier", epochs=None)
    grid["cnnclassifier__filters"] = [(4,)]
    grid["cnnclassifier__hidden"] = [(16, 8), (8,)]
    search = HalvingGridSearchCV(
        pipeline, grid, resource="cnnclassifier__max_epochs", max_resources=4,
        min_resources=1, factor=2, cv=domain_cv(200, 100), refit=False,
        random_state=0,
    ).fit(X[:300], y[:300])  # fmt: skip
    table = search_results(search)
    assert len(table) == 6  # 6 candidates, of which 3 and then 2 went on
    assert sorted(table.iteration) == [0, 0, 0, 1, 2, 2]
    assert table.n_resources.tolist() == table["cnnclassifier__max_epochs"].tolist()
    assert table.n_resources.tolist() == [4, 4, 2, 1, 1, 1]
    assert table.index[0] == search.best_index_
    assert table.rank_test_score.iloc[0] == 1
    for row, candidate in table.iterrows():
        name = "mean_test_score"
        assert candidate[name] == search.cv_results_[name][row]
        assert search.cv_results_["params"][row] == {
            key: candidate[key] for key in search.cv_results_["params"][row]
        }


@pytest.mark.filterwarnings(
    "ignore:(?s).*fits failed:sklearn.exceptions.FitFailedWarning",
    "ignore:One or more of the:UserWarning",
)
def test_halving_over_samples(digits):
    X, y = digits
    search = HalvingGridSearchCV(
        KNeighborsClassifier(), {"n_neighbors": [1, 2, 3, 0], "weights": ["uniform"]},
        cv=3, min_resources=60, factor=3, random_state=0, error_score=np.nan,
    )  # fmt: skip
    search.fit(X.reshape(len(X), -1), y)
    table = search_results(search)
    assert sorted(table.n_neighbors) == [0, 1, 2, 3]
    assert table.n_neighbors.iloc[-1] == 0 and table.mean_test_score.isna().sum() == 1
    assert table.index[0] == search.best_index_
    assert {"mean_train_score", "std_train_score"} < set(table)


def test_ranks_of_halving_share_ties():
    X = np.repeat([[0.0], [1.0]], 30, axis=0)
    y = np.repeat([0, 1], 30)
    search = HalvingGridSearchCV(
        KNeighborsClassifier(n_neighbors=1),
        {"leaf_size": [10, 20, 30, 40], "metric_params": [{}]},  # a dict has no hash
        cv=2, min_resources=20, factor=2, random_state=0,
    ).fit(X, y)  # fmt: skip
    table = search_results(search)
    assert table.mean_test_score.tolist() == [1, 1, 1, 1]
    assert table.iteration.tolist() == [1, 1, 0, 0]
    assert table.rank_test_score.tolist() == [1, 1, 3, 3]


def test_freeze_depth_in_the_grid(digits, fitted):
    X, y = digits[0][1000:1200], digits[1][1000:1200].astype(str)
    model = clone(fitted).set_params(pretrained=FrozenEstimator(fitted), max_epochs=1)
    grid = {"freeze_layers": [0, 1, 2, 3], "dropout": [0.0]}
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    table = search_results(search)
    assert sorted(table.freeze_layers) == [0, 1, 2, 3]
    assert table.freeze_layers.dtype == int
    assert table.mean_test_score.iloc[0] == search.best_score_ > 0.5
    assert table.std_test_score.notna().all()
    depth = table.freeze_layers.iloc[0]
    assert search.best_estimator_.freeze_layers == depth


def test_list_of_grids_and_several_metrics(digits):
    X, y = digits[0][:200].reshape(200, -1), digits[1][:200]
    search = GridSearchCV(
        KNeighborsClassifier(),
        [{"n_neighbors": [1, 3]}, {"metric": ["chebyshev"]}],
        scoring=["accuracy", "f1_macro"], refit="f1_macro", cv=3,
    ).fit(X, y)  # fmt: skip
    table = search_results(search)
    first = ["rank_test_accuracy", "mean_test_accuracy", "std_test_accuracy"]
    assert table.columns[2:5].tolist() == first
    assert table.rank_test_f1_macro.is_monotonic_increasing
    assert table.index[0] == search.best_index_
    assert table.loc[0, "n_neighbors"] == 1 and table.loc[2, "n_neighbors"] is pd.NA
    assert table.metric.isna().sum() == 2
    assert search_results(search.set_params(refit=False)).index[0] in (0, 1, 2)


def test_randomized_search(digits):
    X, y = digits[0][:200].reshape(200, -1), digits[1][:200]
    search = RandomizedSearchCV(
        KNeighborsClassifier(), {"n_neighbors": [1, 2, 3, 4]}, n_iter=3, cv=2,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    assert len(search_results(search)) == 3


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (LogisticRegression(), "search: expected GridSearchCV or another search of "
                               "scikit-learn, got LogisticRegression"),
        (GridSearchCV(LogisticRegression(), {}), "search: expected a fitted search, "
            "got GridSearchCV before fit; call search.fit(X, y) first"),
    ],
)  # fmt: skip
def test_mistakes_of_the_table(search, message):
    with pytest.raises(TallyError, match=re.escape(message)):
        search_results(search)
