"""Which samples must stay together, and a division that keeps them so."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sktally.exceptions import TallyError
from sktally.pages._read import split_name

__all__ = ["divide", "fingerprints", "units_of"]


def fingerprints(name: str, items) -> list:
    """Return a hash of each sample; None for an image of a single colour."""
    keys = []
    for i, item in enumerate(items):
        if isinstance(item, (str, Path)):
            keys.append(_file_fingerprint(name, item))
            continue
        try:
            image = np.ascontiguousarray(item, dtype=np.float32) + 0.0  # no -0.0
        except (TypeError, ValueError):
            raise TallyError(
                f"{name}: expected images of numbers or paths, got "
                f"{type(item).__name__} in sample {i}"
            ) from None
        if image.size == 0 or np.isnan(image).any():
            raise TallyError(
                f"{name}: expected pixels without NaN, got "
                f"{'none' if image.size == 0 else 'NaN'} in sample {i}; leave absent "
                "cells out, in y and groups too"
            )
        same = (image == image.flat[0]).all()
        digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        keys.append(None if same else (image.shape, digest))
    return keys


def _file_fingerprint(name: str, path) -> tuple:
    """Return the hash of a file, with the page where the name has one."""
    file, page = split_name(path)
    try:
        with file.open("rb") as stream:
            return page, hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise TallyError(
            f"{name}: {file}: cannot be read ({error.strerror}); expected the path of "
            "a scan"
        ) from None


def units_of(keys: list, names) -> np.ndarray:
    """Return what must stay together with each sample: groups joined by images."""
    n = len(keys)
    groups = np.arange(n) if names is None else pd.factorize(names)[0]
    first = {}
    image = [
        i if key is None else first.setdefault(key, i) for i, key in enumerate(keys)
    ]
    # an image and each group it stands in are neighbours in one graph
    shape = (2 * n, 2 * n)
    graph = coo_array((np.ones(n), (groups, n + np.array(image))), shape=shape)
    units = pd.factorize(connected_components(graph, directed=False)[1][groups])[0]
    n_groups, n_units = groups.max() + 1, units.max() + 1
    if n_units < 3:
        what = "samples" if names is None else "groups"
        twin = next((p for p in enumerate(image) if groups[p[0]] != groups[p[1]]), None)
        joined = ""
        if twin is not None:
            joined = (
                f", {n_units} after those with identical images are joined (first: "
            )
            joined += f"X[{twin[1]}] = X[{twin[0]}])"
        raise TallyError(
            f"{what}: expected at least 3 to train, validate and test, got "
            f"{n_groups}{joined}; give more, or finer groups"
        )
    return units


def divide(units, y, sizes: np.ndarray, rng) -> np.ndarray:
    """Return the set of each sample, 0 to 2, whole units in one set."""
    codes = pd.factorize(y)[0] if y.ndim == 1 else np.zeros(len(y), dtype=int)
    counts = np.bincount(units)
    rows_of = np.split(np.argsort(units, kind="stable"), np.cumsum(counts)[:-1])
    wanted = np.outer(sizes / len(units), np.bincount(codes))
    need, left = wanted.copy(), sizes.astype(float)
    sides = np.zeros(len(units), dtype=int)
    order = rng.permutation(np.flatnonzero(counts > 1))
    # units that only training can hold go there while there is room
    large = counts[order] > sizes[1:].max()
    for unit in order[np.argsort(~large, kind="stable")]:
        rows = rows_of[unit]
        # sets with room for it, else those with room at all: none grows by more than
        # one unit beyond its size; of these, the one that lacks these classes most
        fits = left >= len(rows) if (left >= len(rows)).any() else left == left.max()
        lack = (need[:, codes[rows]] / wanted[:, codes[rows]]).mean(axis=1)
        side = np.where(fits, lack + 1e-9 * rng.uniform(size=3), -np.inf).argmax()
        sides[rows] = side
        left[side] -= len(rows)
        need[side] -= np.bincount(codes[rows], minlength=need.shape[1])
    single = rng.permutation(np.flatnonzero(counts[units] == 1))
    single = single[np.argsort(codes[single], kind="stable")]
    for side in (1, 2):
        taken = _spread(len(single), int(max(left[side], 0)), rng)
        sides[single[taken]] = side
        single = np.delete(single, taken)
    return _fill_empty(sides, units, counts)


def _spread(n: int, n_taken: int, rng) -> np.ndarray:
    """Return `n_taken` places of `n`, evenly spaced from a random start."""
    n_taken = min(n, n_taken)
    steps = np.arange(n_taken) + rng.uniform()
    return (steps * n / max(n_taken, 1)).astype(int)


def _fill_empty(sides, units, counts) -> np.ndarray:
    """Give a set that got nothing the smallest unit of the one with most units."""
    of_unit = np.zeros(len(counts), dtype=int)
    of_unit[units] = sides
    for side in range(3):
        if not (of_unit == side).any():
            most = np.bincount(of_unit, minlength=3).argmax()
            givers = np.flatnonzero(of_unit == most)
            of_unit[givers[counts[givers].argmin()]] = side
    return of_unit[units]
