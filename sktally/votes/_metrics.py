"""Scores of counts, boxes and pages, as functions of arrays and as scorers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline

from sktally.exceptions import TallyError
from sktally.votes._targets import (
    as_object_table,
    check_tally_weights,
    parse_value,
    target_counts,
)

__all__ = [
    "count_accuracy",
    "count_accuracy_score",
    "digit_accuracy",
    "digit_accuracy_score",
    "page_accuracy",
    "page_accuracy_score",
]


def count_accuracy(estimator: Any, X: Any, y: Any) -> float:
    """Score the share of counts that are exact.

    Ready for ``scoring=`` of GridSearchCV and cross_val_score, as a function: the
    names that scikit-learn knows do not fit, see Notes.

    Parameters
    ----------
    estimator : estimator
        A fitted VoteCountAggregator, or a Pipeline or search that ends in one.
    X : array or list
        Pages for a whole pipeline, cells for the aggregator alone.
    y : array-like of shape (n_tallies, n_fields)
        Box strings or counts. Missing ones are left out; a count that was not read,
        and a whole page that was rejected, is wrong.

    Returns
    -------
    accuracy : float
        In [0, 1].

    See Also
    --------
    page_accuracy : Of whole pages.
    digit_accuracy : Of single boxes.

    Notes
    -----
    It is also what is scored where `scoring` is left out. Scorers of scikit-learn for
    classes (``scoring="accuracy"``, ``"f1_macro"``) take one class a sample, and warn
    and give nan where a page has several fields; those for numbers (``"r2"``) take
    -1, not read, for a count, and no box strings.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.model_selection import cross_val_score
    >>> from sktally.votes import VoteCountAggregator, count_accuracy
    >>> digits = load_digits()
    >>> X = digits.images[:600].reshape(100, 2, 3, 8, 8)
    >>> y = (digits.target[:600].reshape(100, 2, 3) @ [100, 10, 1]).astype(int)
    >>> votes = VoteCountAggregator(RandomForestClassifier(20, random_state=0))
    >>> scores = cross_val_score(votes, X, y, scoring=count_accuracy, cv=2)
    >>> scores.shape
    (2,)
    """
    return count_accuracy_score(_truth(estimator, y), estimator.predict(X))


def page_accuracy(estimator: Any, X: Any, y: Any) -> float:
    """Score the share of tallies whose counts are all exact.

    Parameters
    ----------
    estimator : estimator
        A fitted VoteCountAggregator, or a Pipeline or search that ends in one.
    X : array or list
        Pages for a whole pipeline, cells for the aggregator alone.
    y : array-like of shape (n_tallies, n_fields)
        Box strings or counts; missing ones are left out.

    Returns
    -------
    accuracy : float
        In [0, 1].

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sktally.votes import VoteCountAggregator, page_accuracy
    >>> digits = load_digits()
    >>> X = digits.images[:600].reshape(100, 2, 3, 8, 8)
    >>> y = (digits.target[:600].reshape(100, 2, 3) @ [100, 10, 1]).astype(int)
    >>> votes = VoteCountAggregator(RandomForestClassifier(20, random_state=0))
    >>> page_accuracy(votes.fit(X, y), X, y)
    1.0
    """
    return page_accuracy_score(_truth(estimator, y), estimator.predict(X))


def digit_accuracy(estimator: Any, X: Any, y: Any) -> float:
    """Score the share of boxes that are exact.

    Parameters
    ----------
    estimator : estimator
        A fitted VoteCountAggregator, or a Pipeline or search that ends in one.
    X : array or list
        Pages for a whole pipeline, cells for the aggregator alone.
    y : array-like of shape (n_tallies, n_fields)
        Box strings, compared class by class, or counts, compared digit by digit with
        ``x`` and ``_`` read as 0.

    Returns
    -------
    accuracy : float
        In [0, 1].

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sktally.votes import VoteCountAggregator, digit_accuracy
    >>> digits = load_digits()
    >>> X = digits.images[:600].reshape(100, 2, 3, 8, 8)
    >>> y = (digits.target[:600].reshape(100, 2, 3) @ [100, 10, 1]).astype(int)
    >>> votes = VoteCountAggregator(RandomForestClassifier(20, random_state=0))
    >>> digit_accuracy(votes.fit(X, y), X, y)
    1.0
    """
    return digit_accuracy_score(y, _predict_boxes(estimator, X))


def count_accuracy_score(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """Return the share of known counts that are exact.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_tallies, n_fields)
        Counts or box strings. Missing in `y_true` is left out, in `y_pred` wrong.
    sample_weight : array-like of shape (n_tallies,), optional
        Weight of each tally.

    Returns
    -------
    accuracy : float
        In [0, 1].

    Examples
    --------
    >>> count_accuracy_score([[12, 7], ["x40", -1]], [[12, 7], [41, 5]])
    0.6666666666666666
    """
    exact, known = _exact(y_true, y_pred)
    if sample_weight is None:
        return float(exact[known].mean())
    weights = check_tally_weights(sample_weight, len(known))
    weights = np.where(known, weights[:, None], 0.0)
    if weights.sum() == 0:
        raise TallyError(_NOTHING)
    return float((weights * exact).sum() / weights.sum())


def page_accuracy_score(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Return the share of tallies whose known counts are all exact.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_tallies, n_fields)
        Counts or box strings. Missing in `y_true` is left out, and so is a tally
        without any known count; missing in `y_pred` is wrong.

    Returns
    -------
    accuracy : float
        In [0, 1].

    Examples
    --------
    >>> page_accuracy_score([[12, 7], [40, -1]], [[12, 8], [40, 5]])
    0.5
    """
    exact, known = _exact(y_true, y_pred)
    pages = np.flatnonzero(known.any(axis=1))
    return float((exact | ~known)[pages].all(axis=1).mean())


def digit_accuracy_score(y_true: npt.ArrayLike, boxes: npt.ArrayLike) -> float:
    """Return the share of known boxes that are exact.

    Parameters
    ----------
    y_true : array-like of shape (n_tallies, n_fields)
        Box strings, compared class by class from the right, or counts, compared digit
        by digit with ``x`` and ``_`` read as 0. Missing ones are left out.
    boxes : array-like of str, shape (n_tallies, n_fields)
        Box strings as read; all boxes of a field that was not read are wrong.

    Returns
    -------
    accuracy : float
        In [0, 1].

    Examples
    --------
    >>> digit_accuracy_score([["x23", 7]], [["_23", "x07"]])
    0.8333333333333334
    """
    truth, read = as_object_table(y_true), as_object_table(boxes)
    _check_same(truth, read)
    places = [max((len(text or "") for text in column), default=0) for column in read.T]
    right = total = 0
    for (row, column), value in np.ndenumerate(truth):
        value = parse_value(value, f"y[{row}, {column}]")
        text = str(read[row, column] or "")
        if value is None:
            continue
        if isinstance(value, int):
            value = str(value).zfill(places[column])
            text = text.replace("x", "0").replace("_", "0")
        total += len(value)
        right += sum(
            a == b
            for a, b in zip(value, text[-len(value) :].rjust(len(value)), strict=True)
        )
    if total == 0:
        raise TallyError(_NOTHING)
    return right / total


def _exact(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    truth, read = target_counts(y_true), target_counts(y_pred)
    _check_same(truth, read)
    known = truth >= 0
    if not known.any():
        raise TallyError(_NOTHING)
    return np.asarray(truth == read), np.asarray(known)


_NOTHING = "y_true: expected at least one known count, got only missing ones"


def _check_same(truth: npt.NDArray[Any], read: npt.NDArray[Any]) -> None:
    if truth.shape != read.shape:
        raise TallyError(
            f"y_true and y_pred: expected one shape (n_tallies, n_fields), got "
            f"{truth.shape} and {read.shape}"
        )


def _truth(estimator: Any, y: Any) -> npt.NDArray[np.int64]:
    """Return the counts of `y` under the rule of the aggregator inside."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    if isinstance(estimator, Pipeline):
        return _truth(estimator[-1], y)
    return target_counts(y, blank_right=getattr(estimator, "blank_right", "missing"))


def _predict_boxes(estimator: Any, X: Any) -> npt.NDArray[np.object_]:
    """Read boxes through pipelines and searches, which forward only `predict`."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    if isinstance(estimator, Pipeline):
        if len(estimator.steps) > 1:
            X = estimator[:-1].transform(X)
        return _predict_boxes(estimator[-1], X)
    if not hasattr(estimator, "predict_boxes"):
        raise TallyError(
            f"estimator: expected a VoteCountAggregator, or a Pipeline or search that "
            f"ends in one, got {type(estimator).__name__}"
        )
    return np.asarray(estimator.predict_boxes(X), dtype=object)
