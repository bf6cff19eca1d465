"""Search the settings of a network: the grid of the paper in, one table out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.model_selection._search import BaseSearchCV

from sktally._validate import check_range
from sktally.exceptions import TallyError

__all__ = ["paper_param_grid", "search_results"]


def paper_param_grid(prefix="", *, epochs=(15, 20)):
    """Return the settings that Torres and Cantú (2022) searched, as a `param_grid`.

    They name what they varied [1]_: the number of convolution layers, the filters of
    each, the dropout rate, the size of the fully connected layers, and the epochs.
    Their values are in an appendix; those here are the choice of sktally around the
    base network and the tuned one, which both are in the grid: one to three layers,
    dropout 0, 0.1 and 0.25 (their upper bound between convolutions), and two pairs of
    hidden layers. 24 settings for each number of epochs.

    Parameters
    ----------
    prefix : str, default=""
        Where the `CNNClassifier` stands in the estimator to be searched, such as
        ``"votes__classifier"`` in a reader's pipeline; with or without the last
        ``"__"``.
    epochs : sequence of int or None, default=(15, 20)
        Values of `max_epochs`; None leaves it out, for a halving search that has
        ``prefix + "max_epochs"`` as its resource.

    Returns
    -------
    dict of str to list
        A new one with each call; add to it and take from it freely.

    Raises
    ------
    TallyError
        If `prefix` is no str, or `epochs` are no integers above 0.

    See Also
    --------
    search_results : The table of a search.
    domain_cv : Train on one domain, score on another.

    Notes
    -----
    The 48 settings are 840 passes over the training samples. A halving search trains
    all for a few epochs and only the best third of them for longer, again and again:
    ``HalvingGridSearchCV(CNNClassifier(), paper_param_grid(epochs=None),
    resource="max_epochs", min_resources=2, max_resources=18)``.

    References
    ----------
    .. [1] M. Torres and F. Cantú (2022). "Learning to See: Convolutional Neural
       Networks for the Analysis of Social Science Data". Political Analysis 30(1),
       113-131, sections 3.3 and 5.

    Examples
    --------
    >>> from sktally import paper_param_grid
    >>> paper_param_grid("votes__classifier", epochs=None)
    {'votes__classifier__filters': [(32,), (32, 64), (32, 64, 128), (64, 96, 112)],
     'votes__classifier__dropout': [0.0, 0.1, 0.25],
     'votes__classifier__hidden': [(128, 64), (150, 70)]}
    """
    if not isinstance(prefix, str):
        raise TallyError(
            f"prefix: expected a str such as 'votes__classifier', got {prefix!r}"
        )
    if prefix and not prefix.endswith("__"):
        prefix += "__"
    grid = {
        "filters": [(32,), (32, 64), (32, 64, 128), (64, 96, 112)],
        "dropout": [0.0, 0.1, 0.25],
        "hidden": [(128, 64), (150, 70)],
    }
    if epochs is not None:
        iterable = np.iterable(epochs) and not isinstance(epochs, str)
        epochs = list(epochs) if iterable else epochs
        if not iterable or len(epochs) == 0:
            raise TallyError(
                f"epochs: expected a list of integers or None, got {epochs!r}; one "
                "value is a list of one"
            )
        for value in epochs:
            check_range("epochs", value, 1, 10**6, integer=True)
        grid["max_epochs"] = epochs
    return {prefix + name: values for name, values in grid.items()}


def search_results(search):
    """Return what a search found as a table, one row for each candidate.

    Parameters
    ----------
    search : GridSearchCV, RandomizedSearchCV or a halving search
        Fitted.

    Returns
    -------
    DataFrame
        Best candidate first. The index is its row in ``search.cv_results_``. Columns:
        the parameters under their names in the grid (a missing value where a list of
        grids does not set one); in a halving search ``iteration`` and
        ``n_resources``, the last and largest that the candidate reached;
        ``rank_test_score``; ``mean_test_score`` and ``std_test_score``, over the
        splits; the same of the training score where the search was made with
        ``return_train_score=True``; ``mean_fit_time`` and ``std_fit_time`` in seconds.
        With several metrics, each has its columns, such as ``mean_test_accuracy``. A
        standard deviation over a single split is missing, not 0.

    Raises
    ------
    TallyError
        If `search` is not a search of scikit-learn, or not fitted.

    See Also
    --------
    paper_param_grid : What the paper searched.
    domain_cv : Train on one domain, score on another.

    Notes
    -----
    A halving search scores its rounds with unequal resources, so its candidates are
    ranked by the round they reached and, within it, by their score: the order in which
    the search itself chooses. With several metrics, the table is sorted by the one
    named by `refit`, else by the first.

    Examples
    --------
    How many layers to keep from a network that has learnt other digits:

    >>> from sklearn.datasets import load_digits
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sktally import CNNClassifier, search_results
    >>> X, y = load_digits(return_X_y=True)
    >>> net = CNNClassifier(filters=(8, 16), hidden=(16,), max_epochs=5,
    ...                     learning_rate=0.01, random_state=0)
    >>> source = FrozenEstimator(net.fit(X[:600], y[:600]))
    >>> search = GridSearchCV(
    ...     CNNClassifier(**{**net.get_params(), "pretrained": source}),
    ...     {"freeze_layers": [0, 1, 2], "max_epochs": [1, 2]}, cv=2)
    >>> table = search_results(search.fit(X[600:900], y[600:900]))
    >>> sorted(table.freeze_layers)
    [0, 0, 1, 1, 2, 2]
    >>> bool(table.mean_test_score.iloc[0] == search.best_score_)
    True
    """
    results = _results_of(search)
    table = pd.DataFrame(_parameters(results["params"]))
    halving = "n_resources" in results
    if halving:
        table["iteration"] = results["iter"]
        table["n_resources"] = results["n_resources"]
    metrics = [name[10:] for name in results if name.startswith("mean_test_")]
    columns = [f"{of}_test_{m}" for m in metrics for of in ("rank", "mean", "std")]
    columns += [f"{of}_train_{m}" for m in metrics for of in ("mean", "std")]
    for name in [*columns, "mean_fit_time", "std_fit_time"]:
        if name in results:
            one_split = name.startswith("std_") and search.n_splits_ == 1
            table[name] = np.nan if one_split else results[name]
    refit = search.refit if isinstance(search.refit, str) else None
    main = refit if refit in metrics else metrics[0]
    if halving:
        table = _last_rounds(table, results["params"], search.resource)
        table[f"rank_test_{main}"] = _ranks(table, f"mean_test_{main}")
    return table.sort_values(f"rank_test_{main}", kind="stable")


def _results_of(search) -> dict:
    if not isinstance(search, BaseSearchCV):
        raise TallyError(
            "search: expected GridSearchCV or another search of scikit-learn, got "
            f"{type(search).__name__}"
        )
    if not hasattr(search, "cv_results_"):
        raise TallyError(
            f"search: expected a fitted search, got {type(search).__name__} before "
            "fit; call search.fit(X, y) first"
        )
    return search.cv_results_


def _parameters(candidates: list[dict]) -> dict[str, list]:
    """Return the values of each parameter, missing where a candidate has none."""
    names = dict.fromkeys(name for candidate in candidates for name in candidate)
    columns = {}
    for name in names:
        values = np.empty(len(candidates), dtype=object)  # keeps 1 beside a missing
        for i, candidate in enumerate(candidates):
            values[i] = candidate.get(name, pd.NA)
        columns[name] = pd.Series(values).infer_objects()
    return columns


def _last_rounds(table: pd.DataFrame, candidates: list[dict], resource: str):
    """Return the row of the last round of each candidate."""
    keys = [
        tuple((k, _key(v)) for k, v in sorted(one.items()) if k != resource)
        for one in candidates
    ]
    return table[~pd.Series(keys).duplicated(keep="last")].copy()


def _key(value) -> tuple:
    """Return what tells a value from others: a search passes its objects on as such."""
    try:
        hash(value)
    except TypeError:
        return type(value), id(value)
    return type(value), value


def _ranks(table: pd.DataFrame, score: str) -> list[int]:
    """Return ranks from 1, a later round first, then the higher score; ties share."""
    order = pd.DataFrame({"round": table.iteration, "score": table[score]})
    order["score"] = order.score.fillna(-np.inf)
    places = order.groupby(["round", "score"]).ngroup(ascending=False)
    sizes = places.value_counts().sort_index()
    return places.map(sizes.cumsum() - sizes + 1).tolist()
