"""Choose what a person should label next: a pool of cells in, queries out."""

from __future__ import annotations

import numpy as np
from scipy.sparse import issparse
from sklearn.cluster import kmeans_plusplus
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sktally._validate import check_choice, check_range
from sktally.digits._split import check_groups
from sktally.exceptions import TallyError

__all__ = ["select_queries"]

# Candidates that k-means++ tries for each query: about scikit-learn's 2 + log(k) for
# batches of hundreds, but fixed, so that a small batch begins a larger one.
_TRIALS = 8


def select_queries(
    classifier,
    X_pool,
    n_queries,
    *,
    uncertainty="margin",
    diversity=0.25,
    features=None,
    groups=None,
    random_state=None,
):
    """Choose the samples of a pool that are most worth a label.

    Balances informativeness (the classifier is in doubt) and representativeness (the
    batch is spread over the pool, not ten copies of one doubtful cell). Works with
    every fitted classifier that has `predict_proba`, within a Pipeline or a search
    too. The pool holds cells; those of one page may be kept together by `groups`.

    Parameters
    ----------
    classifier : estimator
        Fitted, with `predict_proba`.
    X_pool : array-like ``(n_samples, ...)``
        Unlabelled samples as the classifier takes them, such as cells ``(n_samples,
        height, width)`` or flat rows; no NaN.
    n_queries : int
        How many samples to choose, at most n_samples; pages, if `groups` is given.
    uncertainty : {"margin", "entropy", "least_confidence"}, default="margin"
        Doubt of the classifier about a sample, in [0, 1]: 1 less the gap between the
        two highest probabilities; the entropy of the probabilities, or 1 less the
        highest, both as a share of their value where all classes are equally likely.
    diversity : float, default=0.25
        Balance in [0, 1]. 0 takes the most uncertain first, 1 represents the pool
        regardless of uncertainty; see Notes.
    features : array-like ``(n_samples, ...)``, optional
        Where samples are near each other, by Euclidean distance; used as they are.
        None takes the last hidden layer of a `CNNClassifier`, and otherwise the
        values that the classifier (the last step of a Pipeline) is given.
    groups : array-like ``(n_samples,)``, optional
        Page of each sample: whole pages are chosen.
    random_state : int, RandomState or None, default=None
        Seeds the draws and the order of ties.

    Returns
    -------
    ndarray of int64 ``(n_queries,)``
        Different indices into `X_pool`, best first: every beginning is the batch that
        a smaller `n_queries` returns for the same int `random_state`. With `groups`,
        the indices of all samples of `n_queries` pages, page after page;
        ``pandas.unique(groups[indices])`` names them.

    Raises
    ------
    TallyError
        If the pool is empty or smaller than `n_queries`, lengths differ, something
        is NaN, an option is unknown, or the classifier gives no probabilities
        ``(n_samples, n_classes)``.
    sklearn.exceptions.NotFittedError
        If the classifier is not fitted.

    See Also
    --------
    sktally.digits.CNNClassifier.hidden_features : Features of cells.
    sktally.digits.CNNClassifier.partial_fit : Trains on, with new labels.

    Notes
    -----
    With uncertainty u, a sample weighs ``w = u ** ((1 - diversity) / diversity)``. The
    queries are the seeds of weighted k-means++ [1]_ on the features: the first is
    drawn in proportion to w, each further one to ``w * d ** 2``, where d is the
    distance to the nearest query so far; of 8 draws the one is kept that brings the
    weighted sum of squared distances lowest. At 0.5 the weight is the uncertainty
    itself, as in [2]_, and at the default its cube; towards 1 all weigh the same;
    towards 0 only the most uncertain ones have a chance, and at 0 nothing is drawn.
    Once all that has weight is chosen, or coincides with a query, the most uncertain
    of the rest follow.

    Unless `diversity` is 0, of samples with the same features one is asked for before
    all that differ. Give its label to the others too, or a frequent image, such as an
    empty box once it is cleaned, counts as a single one.

    The uncertainty of a page is the mean over its cells, so that pages with many
    boxes, which take as long to label, have no advantage. Its features are the mean of
    its cells', each weighing w as above: those of its doubtful cells.

    The default did best of 0, 0.1, 0.15, 0.25, 0.35, 0.5, 0.75 and 1 on `load_digits`
    with logistic regression (batches of 20, medians of 5 and of 12 seeds);
    ``examples/plot_03_active_learning.py`` draws the curves of 0, 0.25 and 1.

    One prediction of the pool, then 8 distances from each sample for each query: about
    ``8 * n_queries * n_samples * n_features`` multiplications.

    References
    ----------
    .. [1] D. Arthur and S. Vassilvitskii (2007). "k-means++: The advantages of careful
       seeding". SODA, 1027-1035.
    .. [2] F. Zhdanov (2019). "Diverse mini-batch active learning". arXiv:1901.05954.
       There whole k-means is run; its seeds alone do for batches of classifiers in
       J. T. Ash et al. (2020). "Deep batch active learning by diverse, uncertain
       gradient lower bounds". ICLR.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktally import select_queries
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X / 16
    >>> model = LogisticRegression().fit(X[:50], y[:50])
    >>> chosen = 50 + select_queries(model, X[50:], 20, random_state=0)
    >>> len(set(chosen))
    20
    >>> bool(model.score(X[chosen], y[chosen]) < model.score(X[50:], y[50:]))
    True
    """
    check_choice("uncertainty", uncertainty, tuple(_MEASURES))
    check_range("diversity", diversity, 0, 1)
    n_samples = _check_pool(X_pool)
    pages = None if groups is None else check_groups(groups, n_samples)
    n_units = n_samples if pages is None else pages.max() + 1
    _check_number(n_queries, n_units, "samples" if pages is None else "pages")
    proba = _probabilities(classifier, X_pool, n_samples)
    doubt = _MEASURES[uncertainty](proba).clip(0, 1)  # rounding may leave [0, 1]
    rng = check_random_state(random_state)
    space = None
    if diversity > 0:
        space = _features(classifier, X_pool, features, n_samples)
    elif features is not None:
        _check_features(features, n_samples)
    if pages is None:
        return _choose(doubt, space, n_queries, diversity, rng)
    doubt, space = _of_pages(doubt, space, pages, diversity)
    chosen = _choose(doubt, space, n_queries, diversity, rng)
    return np.concatenate([np.flatnonzero(pages == page) for page in chosen])


def _margin(proba: np.ndarray) -> np.ndarray:
    second, first = np.partition(proba, -2, axis=1)[:, -2:].T
    return 1 - (first - second)


def _entropy(proba: np.ndarray) -> np.ndarray:
    logs = np.log(proba, out=np.zeros_like(proba), where=proba > 0)
    return -(proba * logs).sum(axis=1) / np.log(proba.shape[1])


def _least_confidence(proba: np.ndarray) -> np.ndarray:
    n_classes = proba.shape[1]
    return (1 - proba.max(axis=1)) * n_classes / (n_classes - 1)


_MEASURES = {
    "margin": _margin,
    "entropy": _entropy,
    "least_confidence": _least_confidence,
}


def _choose(doubt, space, n: int, diversity: float, rng) -> np.ndarray:
    """Return `n` different indices, best first."""
    # one draw of ties, whatever n is; the sort is stable
    ties = rng.permutation(len(doubt))
    by_doubt = ties[np.argsort(-doubt[ties], kind="stable")]
    if diversity == 0:
        return by_doubt[:n].astype(np.int64)
    weights = _weights(doubt, diversity)
    rows = np.flatnonzero(weights > 0)
    n_places = len(np.unique(space[rows], axis=0))  # seeds beyond would coincide
    seeds = kmeans_plusplus(
        space[rows],
        min(n, n_places),
        sample_weight=weights[rows],
        random_state=rng,
        n_local_trials=_TRIALS,
    )[1]
    order = np.concatenate([rows[seeds], by_doubt])
    first = np.sort(np.unique(order, return_index=True)[1])
    return order[first][:n].astype(np.int64)


def _weights(doubt: np.ndarray, diversity: float) -> np.ndarray:
    """Return weights in [0, 1], the largest 1; all 1 where nothing is in doubt."""
    most = doubt.max()
    if diversity == 1 or most <= 0:
        return np.ones(len(doubt))
    return (doubt / most) ** ((1 - diversity) / diversity)


def _of_pages(doubt, space, pages: np.ndarray, diversity: float):
    """Return the mean doubt and the weighted mean of the features of each page."""
    sizes = np.bincount(pages)
    mean_doubt = np.bincount(pages, doubt) / sizes
    if space is None:
        return mean_doubt, None
    weights = _weights(doubt, diversity)
    sums = np.bincount(pages, weights)
    weights = np.where(sums[pages] > 0, weights, 1.0)  # nothing in doubt: plain mean
    sums = np.where(sums > 0, sums, sizes)
    means = np.zeros((len(sizes), space.shape[1]))
    np.add.at(means, pages, space * (weights / sums[pages])[:, None])
    return mean_doubt, means


def _probabilities(classifier, X, n_samples: int) -> np.ndarray:
    """Return probabilities float64 ``(n_samples, n_classes)``, checked."""
    name = getattr(classifier, "__name__", type(classifier).__name__)
    if isinstance(classifier, type) or not hasattr(classifier, "predict_proba"):
        raise TallyError(
            "classifier: expected a fitted classifier with predict_proba, got "
            f"{name}{' (a class)' if isinstance(classifier, type) else ''}; wrap one "
            "without it in sklearn.calibration.CalibratedClassifierCV"
        )
    check_is_fitted(classifier)
    proba = np.asarray(classifier.predict_proba(X))
    if proba.ndim != 2 or len(proba) != n_samples or proba.shape[1] < 2:
        raise TallyError(
            "classifier: expected probabilities (n_samples, n_classes), n_samples = "
            f"{n_samples} and 2 classes or more, got shape {proba.shape} from {name}; "
            "pass cells and the classifier of cells, not pages and a reader of pages"
        )
    proba = proba.astype(np.float64)
    _check_finite(proba, f"classifier: the probabilities of {name}", "fit it anew")
    return proba


def _features(classifier, X, features, n_samples: int) -> np.ndarray:
    """Return features ``(n_samples, n_features)``: given, learnt, or the values."""
    if features is not None:
        return _check_features(features, n_samples)
    model = getattr(classifier, "best_estimator_", classifier)
    while isinstance(model, Pipeline):
        X = model[:-1].transform(X) if len(model) > 1 else X
        model = model[-1]
    if hasattr(model, "hidden_features"):
        return model.hidden_features(X)
    return _check_features(X, n_samples, "X_pool")


def _check_features(features, n_samples: int, name: str = "features") -> np.ndarray:
    remedy = "give numbers, one row for each sample of the pool, in features="
    values = features.toarray() if issparse(features) else features
    try:
        values = np.asarray(values)
        if values.dtype.kind not in "fuib":
            values = values.astype(np.float64)
    except (TypeError, ValueError):
        raise TallyError(
            f"{name}: expected numbers to measure distances by, got "
            f"{type(features).__name__} of other things; {remedy}"
        ) from None
    if values.ndim < 2 or len(values) != n_samples or values[0].size == 0:
        raise TallyError(
            f"{name}: expected features (n_samples, n_features), n_samples = "
            f"{n_samples}, got shape {values.shape}; {remedy}"
        )
    values = values.reshape(n_samples, -1)
    values = values.astype(np.result_type(values, np.float32), copy=False)
    _check_finite(values, name, "fill or drop them")
    return values


def _check_finite(values: np.ndarray, name: str, remedy: str) -> None:
    rows = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if rows.any():
        raise TallyError(
            f"{name}: expected finite numbers, got NaN or infinity in {rows.sum()} of "
            f"{len(rows)} samples (first: {rows.argmax()}); {remedy}"
        )


def _check_pool(X) -> int:
    """Return the number of samples of a pool without NaN."""
    n_samples = X.shape[0] if getattr(X, "shape", ()) else len(X)
    if n_samples == 0:
        raise TallyError(
            "X_pool: expected at least 1 sample to choose from, got an empty pool"
        )
    if issparse(X):
        return n_samples
    try:
        values = np.asarray(X)
    except ValueError:  # images of several sizes: the classifier says what it needs
        return n_samples
    if values.dtype.kind == "f":
        remedy = "leave absent cells out: X[~np.isnan(X).any(axis=(1, 2))]"
        _check_finite(values, "X_pool", remedy)
    return n_samples


def _check_number(n, n_units: int, what: str) -> None:
    check_range("n_queries", n, 1, np.inf, integer=True)
    if n > n_units:
        raise TallyError(
            f"n_queries: expected at most {n_units}, the {what} in the pool, got {n}; "
            "ask for fewer, or label the whole pool"
        )
