"""What estimators are wrapped in: searches, frozen ones, pipelines, aggregators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sklearn.frozen import FrozenEstimator

__all__ = ["held_by", "unwrapped"]

# what was fitted first
_HOLDS = ("classifier_", "best_estimator_", "estimator_", "classifier", "estimator")
_DEEPEST = 10  # deeper than anybody nests


def held_by(estimator: Any) -> Iterator[Any]:
    """Yield an estimator and what it holds, from the outside in."""
    for _ in range(_DEEPEST):
        yield estimator
        if getattr(estimator, "steps", None):  # a Pipeline
            estimator = estimator.steps[-1][1]
            continue
        found = [name for name in _HOLDS if hasattr(estimator, name)]
        if not found:
            return
        estimator = getattr(estimator, found[0])


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
