"""Hold samples out for validation: by class, by group, or as the caller says."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sktally._validate import as_labels
from sktally.exceptions import TallyError

__all__ = ["check_split", "grouped_split", "stratified_split", "training_rows"]


def training_rows(codes: np.ndarray, split, held_out: float, seed: int, groups=None):
    """Return rows to train on and to validate on; the latter None without any."""
    if groups is not None:
        groups = check_groups(groups, len(codes))
    if split is not None:
        return check_split(split, len(codes), groups)
    if held_out and groups is not None:
        return grouped_split(groups, held_out, seed)
    if held_out:
        return stratified_split(codes, held_out, seed)
    return np.arange(len(codes)), None


def check_groups(groups, n_samples: int) -> np.ndarray:
    """Return the code of the group of each sample."""
    groups = as_labels(groups)
    if groups.shape != (n_samples,):
        raise TallyError(
            f"groups: expected {n_samples} of them, one for each sample, got shape "
            f"{groups.shape}"
        )
    codes = pd.factorize(groups)[0]
    if (codes < 0).any():
        raise TallyError(
            f"groups: expected one for each sample, {(codes < 0).sum()} are missing "
            "(None or NaN); name a group of its own for each of them"
        )
    return codes


def check_split(
    split, n_samples: int, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return training and validation indices, checked."""
    try:
        parts = [np.asarray(part) for part in split] if np.iterable(split) else []
    except ValueError:  # pairs of several splits
        parts = []
    if len(parts) != 2 or any(p.ndim != 1 or p.dtype.kind not in "iu" for p in parts):
        raise TallyError(
            "validation_split: expected a pair (train indices, validation indices), "
            f"got {type(split).__name__} of {[str(p.dtype) for p in parts]}; masks "
            "become indices with np.flatnonzero(mask), and of what a splitter gives "
            "take one, next(splitter.split(X))"
        )
    for name, part in zip(("train", "validation"), parts, strict=True):
        if len(part) == 0 or part.min() < 0 or part.max() >= n_samples:
            raise TallyError(
                f"validation_split: expected {name} indices in 0..{n_samples - 1}, at "
                f"least one, got {len(part)} of them"
                + (f" in {part.min()}..{part.max()}" if len(part) else "")
            )
    shared = np.intersect1d(*parts)
    if len(shared):
        raise TallyError(
            f"validation_split: {len(shared)} samples are on both sides (first: "
            f"{shared[0]}); a sample may train or validate, not both"
        )
    if groups is not None:
        shared = np.intersect1d(*(groups[part] for part in parts))
        if len(shared):
            raise TallyError(
                f"validation_split: samples of {len(shared)} groups are on both sides "
                f"(first: sample {np.flatnonzero(groups == shared[0])[0]}); a group "
                "may train or validate, not both"
            )
    return parts[0], parts[1]


def grouped_split(groups: np.ndarray, fraction: float, seed: int):
    """Return training and validation indices, whole groups on either side.

    Groups are held out in random order as long as that brings the share of samples
    nearer to `fraction`; at least one is held out and one trains.
    """
    sizes = np.bincount(groups)
    if len(sizes) < 2:
        raise TallyError(
            "groups: expected at least 2 groups to hold one out, got 1; name more, or "
            "set early_stopping=False"
        )
    order = np.random.default_rng(seed).permutation(len(sizes))
    shares = np.cumsum(sizes[order])[:-1] / len(groups)
    n_held = 1 + np.abs(shares - fraction).argmin()
    held = np.isin(groups, order[:n_held])
    return np.flatnonzero(~held), np.flatnonzero(held)


def stratified_split(codes: np.ndarray, fraction: float, seed: int):
    """Return training and validation indices, `fraction` of each class validating.

    Classes of a single sample stay in training; at least one sample validates.
    """
    if len(codes) < 2:
        raise TallyError(
            "early_stopping: expected at least 2 samples to hold one out, got "
            f"{len(codes)}; add samples, or set early_stopping=False"
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    rank = np.empty(len(codes))
    for code in np.unique(codes):
        rows = order[codes[order] == code]
        # offset by half a step so that small classes round to their fair share
        rank[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
        if len(rows) == 1:
            rank[rows] = 1.0
    validating = rank < fraction
    if not validating.any() or validating.all():
        validating = np.zeros(len(codes), dtype=bool)
        validating[rng.permutation(len(codes))[: max(1, len(codes) // 10)]] = True
    return np.flatnonzero(~validating), np.flatnonzero(validating)
