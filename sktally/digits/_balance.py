"""How much each sample counts in training: by its weight, its class, its chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sktally._validate import check_range
from sktally.exceptions import TallyError

__all__ = ["Balance", "balance", "check_sample_weight"]


@dataclass
class Balance:
    """What training does to the samples on its `rows`; None stands for all alike."""

    rows: np.ndarray
    weights: np.ndarray | None  # in the loss, one for each sample of X, mean 1 on rows
    chances: np.ndarray | None  # of being drawn, one for each row
    shares: pd.DataFrame


def check_sample_weight(weights, n_samples: int) -> np.ndarray | None:
    """Return weights of samples as float64, or None where all are alike."""
    if weights is None:
        return None
    try:
        array = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if array.ndim == 0:  # as scikit-learn takes it: the same for all
        array = np.full(n_samples, array)
    if array.shape != (n_samples,) or not np.isfinite(array).all() or array.min() < 0:
        raise TallyError(
            f"sample_weight: expected {n_samples} finite numbers of 0 or more, one for "
            f"each sample, got shape {array.shape} and {array.size} numbers of which "
            f"{(~(array >= 0)).sum()} are negative or missing"
        )
    return array if (array != 1).any() else None


def balance(
    targets: np.ndarray,
    rows: np.ndarray,
    classes: list,
    *,
    class_weight=None,
    sampling: str | None = None,
    sample_weight: np.ndarray | None = None,
) -> Balance:
    """Weigh the samples that train and report the shares of the classes.

    Parameters
    ----------
    targets : ndarray
        Class codes ``(n,)`` or label sets ``(n, n_classes)``, of which a sample counts
        in equal parts for each class.
    rows : ndarray of int
        Samples that train; those of weight 0 are left out.
    classes : list
        Labels in the order of the codes.
    class_weight : None, "balanced" or dict
        As in `CNNClassifier`.
    sampling : None or "balanced"
        As in `CNNClassifier`.
    sample_weight : ndarray of float64 ``(n,)``, optional
        From `check_sample_weight`.
    """
    given = np.ones(len(targets)) if sample_weight is None else sample_weight
    rows = rows[given[rows] > 0]
    if len(rows) == 0:
        raise TallyError(
            "sample_weight: every sample that trains has weight zero; give some a "
            "larger one"
        )
    k = len(classes)
    counts = _by_class(targets[rows], np.ones(len(rows)), k)
    weighted = _by_class(targets[rows], given[rows], k)
    weights = given * _of_samples(
        _class_weights(class_weight, weighted, classes), targets
    )
    if not weights[rows].any():
        raise TallyError(
            "class_weight: no class of weight above 0 is among the samples that train"
        )
    weights = weights / weights[rows].mean()
    chances = np.ones(len(rows))
    if sampling == "balanced":
        rarity = np.divide(1, counts, out=np.zeros(k), where=counts > 0)
        chances = _of_samples(rarity, targets[rows])
    chances = chances / chances.sum()
    effect = _by_class(targets[rows], weights[rows] * chances, k)
    shares = {
        "class": classes,
        "n_samples": counts if targets.ndim > 1 else counts.astype(int),
        "share": counts / counts.sum(),
        "share_in_training": effect / effect.sum(),
    }
    alike = sample_weight is None and class_weight is None
    return Balance(
        rows,
        None if alike else weights.astype(np.float32),
        chances if sampling == "balanced" else None,
        pd.DataFrame(shares),
    )


def _by_class(targets: np.ndarray, values: np.ndarray, k: int) -> np.ndarray:
    """Return the sum of `values` of samples over the samples of each class."""
    if targets.ndim == 1:
        return np.bincount(targets, values, minlength=k)
    return (values / targets.sum(axis=1)) @ targets


def _of_samples(values: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the value of the class of each sample; the mean over a label set."""
    if targets.ndim == 1:
        return values[targets]
    return targets @ values / targets.sum(axis=1)


def _class_weights(class_weight, weighted: np.ndarray, classes: list) -> np.ndarray:
    if class_weight is None:
        return np.ones(len(classes))
    if isinstance(class_weight, str) and class_weight == "balanced":
        return np.divide(1, weighted, out=np.zeros(len(classes)), where=weighted > 0)
    if not isinstance(class_weight, dict):
        raise TallyError(
            "class_weight: expected None, 'balanced', or a dict of weights by label, "
            f"got {class_weight!r}"
        )
    unknown = [label for label in class_weight if label not in classes]
    if unknown:
        raise TallyError(
            f"class_weight: expected labels among {classes}, got also {unknown[:5]}"
        )
    for label, weight in class_weight.items():
        check_range(f"class_weight[{label!r}]", weight, 0, 1e9)
    return np.array([class_weight.get(label, 1.0) for label in classes], dtype=float)
