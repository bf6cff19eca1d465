"""What estimators are wrapped in: searches, pipelines, aggregators, calibrators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sklearn.frozen import FrozenEstimator

from sktally.exceptions import TallyError

__all__ = ["held_by", "unwrapped"]

# what was fitted first
_HOLDS = ("classifier_", "best_estimator_", "estimator_", "classifier", "estimator")
_DEEPEST = 10  # deeper than anybody nests


def held_by(estimator: Any) -> Iterator[Any]:
    """Yield an estimator and what it holds, from the outside in.

    Raises
    ------
    TallyError
        If it is calibrated, and holds a classifier for each fold.
    """
    for _ in range(_DEEPEST):
        yield estimator
        if getattr(estimator, "steps", None):  # a Pipeline
            estimator = estimator.steps[-1][1]
            continue
        if hasattr(estimator, "calibrated_classifiers_"):
            estimator = _calibrated(estimator)
            continue
        found = [name for name in _HOLDS if hasattr(estimator, name)]
        if not found:
            return
        estimator = getattr(estimator, found[0])


def _calibrated(estimator: Any) -> Any:
    """Return the one classifier that a CalibratedClassifierCV calibrated, or raise."""
    folds = estimator.calibrated_classifiers_
    if len(folds) > 1:
        raise TallyError(
            f"estimator: expected one classifier, got {type(estimator).__name__} with "
            f"{len(folds)}, one for each fold; give one of them, such as "
            "calibrated_classifiers_[0].estimator, or calibrate with ensemble=False, "
            "or a FrozenEstimator"
        )
    return folds[0].estimator


def unwrapped(estimator: Any) -> Any:
    """Return the reader or classifier that a search chose, or that was frozen."""
    for _ in range(_DEEPEST):
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        else:
            break
    return estimator
