"""Divide images into the four sets of a study that carries over to another domain.

Samples of a source domain and of a target domain go in; training, validation, test
and target set come out, and no page, writer or identical image stands in two of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import Bunch, check_random_state

from sktally._validate import as_labels, check_range
from sktally.digits._divide import divide, fingerprints, units_of
from sktally.exceptions import TallyError

__all__ = ["domain_cv", "train_validation_test_target_split"]

_SETS = ("train", "validation", "test")


def train_validation_test_target_split(
    X,
    y,
    X_target,
    y_target=None,
    *,
    groups=None,
    target_groups=None,
    validation_size=0.15,
    test_size=0.15,
    random_state=None,
):
    """Split a source domain in three and set it against a target domain.

    The four sets of [1]_: one trains, one tunes, one tests the tuned model, and the
    target set, of another domain such as tally sheets, is what the model is for. Whole
    groups (pages, writers, stations) go to one side. So do images that are identical
    pixel for pixel: the groups they stand in are kept together.

    Parameters
    ----------
    X : array-like ``(n_samples, ...)`` or list
        Source domain: cells, flat rows, pages, or paths of scans. Paths are compared
        by the bytes of the file.
    y : array-like ``(n_samples,)`` or ``(n_samples, n_fields)``
        Labels. One label for each sample is spread evenly over the three sets.
    X_target : array-like ``(n_target, ...)`` or list
        Target domain; its images may have another size.
    y_target : array-like, optional
        Its labels, where they are known.
    groups, target_groups : array-like ``(n_samples,)``, ``(n_target,)``, optional
        Page, writer or station of each sample. The same name in both is the same
        group.
    validation_size, test_size : float or int, default=0.15
        Share of the samples of the source domain, above 0 and below 1, or their number.
    random_state : int, RandomState or None, default=None
        Draws the sets.

    Returns
    -------
    Bunch
        train, validation, test : ndarray of int
            Which samples of X, ascending; each stands in one of them.
        target : ndarray of int
            ``n_samples .. n_samples + n_target - 1``: the rows of the target domain
            where the two are stacked, ``np.concatenate([X, X_target])``.
        X_train, y_train, X_validation, y_validation, X_test, y_test, X_target, y_target
            The samples; arrays as arrays, lists as lists.

    Raises
    ------
    TallyError
        If lengths differ, a label, a group or a pixel is missing (NaN), the two sizes
        leave nothing to train on, fewer than three groups are left to be divided, or
        a group or an identical image stands in both domains.

    See Also
    --------
    domain_cv : All of the source trains, all of the target scores.
    sklearn.model_selection.train_test_split : Two sets, sample by sample.

    Notes
    -----
    Images of a single colour, such as empty boxes, tell no page from another and do not
    count as identical. Pixels are compared as float32, so ``uint8`` 3 equals 3.0. Sets
    of whole groups can miss the size asked for by about the largest group.

    ``[(sets.train, sets.validation)]`` is a `cv` for any search of scikit-learn.
    Searches with ``refit=True`` then fit the best candidate on all they were given, the
    validation samples among them; ``refit=False`` leaves that to you.

    References
    ----------
    .. [1] M. Torres and F. Cantú (2022). "Learning to See: Convolutional Neural
       Networks for the Analysis of Social Science Data". Political Analysis 30(1),
       113-131, section 2.1.

    Examples
    --------
    >>> from sktally import make_digit_cells, train_validation_test_target_split
    >>> cells = make_digit_cells(200, random_state=0)
    >>> tallies = make_digit_cells(50, random_state=1)
    >>> sets = train_validation_test_target_split(
    ...     cells.images, cells.target, tallies.images, tallies.target,
    ...     groups=[f"page {i // 10}" for i in range(200)],
    ...     validation_size=0.2, test_size=40, random_state=0)
    >>> len(sets.train), len(sets.validation), len(sets.test), len(sets.target)
    (120, 40, 40, 50)
    >>> sets.X_validation.shape, sets.y_validation.shape
    ((40, 40, 40), (40,))
    """
    X, n = _items("X", X)
    X_target, n_target = _items("X_target", X_target)
    y, y_target = _labels("y", y, n), _labels("y_target", y_target, n_target)
    if y is None:
        raise TallyError(f"y: expected {n} labels, one for each sample of X, got None")
    names, target_names = (
        _group_names("groups", groups, n),
        _group_names("target_groups", target_groups, n_target),
    )
    sizes = _sizes(validation_size, test_size, n)
    keys = fingerprints("X", X)
    _check_domains(keys, fingerprints("X_target", X_target), names, target_names)
    units = units_of(keys, names)
    sides = divide(units, y, sizes, check_random_state(random_state))
    sets = {name: np.flatnonzero(sides == i) for i, name in enumerate(_SETS)}
    parts = {f"X_{name}": _take(X, rows) for name, rows in sets.items()}
    parts |= {f"y_{name}": _take(y, rows) for name, rows in sets.items()}
    target = np.arange(n, n + n_target)
    return Bunch(**sets, target=target, **parts, X_target=X_target, y_target=y_target)


def domain_cv(n_source, n_target):
    """Return a `cv` that trains on one domain and scores on another.

    For searches and `cross_val_score` over both domains stacked, the source first:
    train on MNIST, score on tallies, as [1]_ tunes its network.

    Parameters
    ----------
    n_source : int
        Number of samples of the source domain; all of them train.
    n_target : int
        Number of samples of the target domain; all of them score.

    Returns
    -------
    list of one pair of int arrays
        ``arange(n_source)`` and the ``n_target`` indices after them.

    Raises
    ------
    TallyError
        If a number is not an integer above 0.

    See Also
    --------
    train_validation_test_target_split : Four sets that share no page and no image.
    search_results : The table of a search.

    Notes
    -----
    Give ``refit=False`` to a search: with the default, it would fit the best candidate
    on the target domain too. The candidate chosen is chosen for this target set; its
    score there is no test score.

    References
    ----------
    .. [1] M. Torres and F. Cantú (2022). "Learning to See: Convolutional Neural
       Networks for the Analysis of Social Science Data". Political Analysis 30(1),
       113-131, section 5.

    Examples
    --------
    >>> from sktally import domain_cv
    >>> domain_cv(3, 2)
    [(array([0, 1, 2]), array([3, 4]))]
    """
    for name, value in (("n_source", n_source), ("n_target", n_target)):
        check_range(name, value, 1, 2**40, integer=True)
    return [(np.arange(n_source), np.arange(n_source, n_source + n_target))]


def _items(name: str, X) -> tuple:
    """Return samples as an array, or as a list where they are paths or differ."""
    if isinstance(X, (str, Path)) or not np.iterable(X):
        raise TallyError(
            f"{name}: expected an array of images or a list of images or paths, got "
            f"{type(X).__name__}"
        )
    if hasattr(X, "iloc"):
        X = X.to_numpy()
    if not isinstance(X, np.ndarray):
        X = list(X)
        if X and not isinstance(X[0], (str, Path)):
            try:
                X = np.asarray(X)
            except ValueError:  # pages of several sizes stay a list
                pass
    if len(X) == 0:
        raise TallyError(f"{name}: expected at least one sample, got none")
    return X, len(X)


def _take(items, rows: np.ndarray):
    return items[rows] if isinstance(items, np.ndarray) else [items[i] for i in rows]


def _labels(name: str, y, n: int):
    """Return labels as an array, checked; None stays None."""
    if y is None:
        return None
    y = as_labels(y)
    if y.ndim == 0 or len(y) != n:
        of = name.replace("y", "X", 1)
        raise TallyError(
            f"{name}: expected {n} labels, one for each sample of {of}, got shape "
            f"{y.shape}"
        )
    _refuse_missing(name, y.reshape(n, -1), "label those samples, or leave them out")
    return y


def _group_names(name: str, groups, n: int):
    if groups is None:
        return None
    groups = as_labels(groups)
    if groups.shape != (n,):
        raise TallyError(
            f"{name}: expected {n} of them, one for each sample, got shape "
            f"{groups.shape}"
        )
    _refuse_missing(name, groups[:, None], "name a group of its own for each of them")
    return groups


def _refuse_missing(name: str, values: np.ndarray, remedy: str) -> None:
    missing = np.flatnonzero(pd.isna(values).any(axis=1))
    if len(missing):
        raise TallyError(
            f"{name}: expected no missing values, got {len(missing)} (None or NaN; "
            f"first: sample {missing[0]}); {remedy}"
        )


def _sizes(validation_size, test_size, n: int) -> np.ndarray:
    """Return the number of samples wanted in each of the three sets."""
    wanted = []
    for name, size in (("validation_size", validation_size), ("test_size", test_size)):
        if isinstance(size, (int, np.integer)) and not isinstance(size, bool):
            check_range(name, size, 1, n, integer=True)
            wanted.append(int(size))
        else:
            check_range(name, size, 0, 1)
            if not 0 < size < 1:
                raise TallyError(
                    f"{name}: expected a share above 0 and below 1, got {size!r}; a "
                    "number of samples is an int"
                )
            wanted.append(max(1, round(size * n)))
    if sum(wanted) >= n:
        raise TallyError(
            f"validation_size={validation_size!r} and test_size={test_size!r} take "
            f"{wanted[0]} + {wanted[1]} of {n} samples and leave none to train on; "
            "make them smaller"
        )
    return np.array([n - sum(wanted), *wanted])


def _check_domains(keys, target_keys, names, target_names) -> None:
    """Raise if a group or an image stands in both domains."""
    where = {key: i for i, key in enumerate(target_keys) if key is not None}
    pairs = [(i, where[key]) for i, key in enumerate(keys) if key in where]
    if pairs:
        listed = ", ".join(f"X[{i}] = X_target[{j}]" for i, j in pairs[:3])
        raise TallyError(
            f"X: {len(pairs)} images stand in the target domain too, pixel for pixel: "
            f"{listed}{', ...' if len(pairs) > 3 else ''}; leave them out of one "
            "domain"
        )
    if names is None or target_names is None:
        return
    shared = sorted(set(names.tolist()) & set(target_names.tolist()), key=str)
    if shared:
        raise TallyError(
            f"groups: {len(shared)} stand in target_groups too (first: {shared[0]!r}); "
            "leave them out of one domain, or rename them if only the names agree"
        )
