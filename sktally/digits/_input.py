"""Check images and labels at one boundary and bring them to one layout."""

from __future__ import annotations

import math
from contextlib import contextmanager

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_array,
    column_or_1d,
    validate_data,
)

from sktally._validate import as_labels
from sktally.exceptions import TallyError

__all__ = [
    "as_images",
    "check_label_sets",
    "check_same_classes",
    "encode_labels",
    "images_for_fit",
    "images_for_predict",
    "label_text",
    "more_images",
    "pixel_range",
]

_PIXELS = {"dtype": [np.float32, np.uint8], "allow_nd": True}
_RANGE_SAMPLES = 4096  # images that offset and scale are measured on, at most


def label_text(label) -> str:
    """Return a label as text; 7.0, as pandas makes of 7 beside a missing one, is 7."""
    whole = isinstance(label, float) and label.is_integer()
    return str(int(label)) if whole else str(label)


def as_images(images) -> np.ndarray:
    """Return images that may be augmented, uint8 or float32, or raise."""
    images = np.asarray(images)
    if images.ndim not in (3, 4) or images.size == 0 or images.dtype.kind not in "buif":
        raise TallyError(
            "images: expected (n, height, width) or (n, height, width, 3) numbers, got "
            f"{images.dtype} {images.shape}"
        )
    if images.ndim == 4 and images.shape[3] != 3:
        raise TallyError(
            "images: expected (n, height, width), or (n, height, width, 3) in colour, "
            f"got {images.shape}"
        )
    # torch knows neither negative strides nor another order of bytes
    kind = np.uint8 if images.dtype == np.uint8 else np.float32
    with np.errstate(over="ignore"):  # told as an error
        images = np.ascontiguousarray(images, dtype=kind)
    if not np.isfinite(images).all():
        bad = np.flatnonzero(~np.isfinite(images.reshape(len(images), -1)).all(axis=1))
        raise TallyError(
            f"images: expected finite pixels, got NaN or infinity in {len(bad)} of "
            f"{len(images)} (first: image {bad[0]}); cells that CellNormalizer left "
            "NaN are absent: leave them out"
        )
    return images


def images_for_fit(estimator, X, y):
    """Return images ``(n, h, w)`` or ``(n, h, w, 3)``, uint8 or float32, and y."""
    X = _stacked(X)
    y = _labels(y)
    _check_lengths(X, y)
    with _explained(X, y):
        X, y = validate_data(estimator, X, y, **_PIXELS)
    estimator._input_ndim = X.ndim
    return _unflatten(X), y


def more_images(estimator, X, y):
    """Return images and y to go on with, of the shape of the first fit."""
    images = images_for_predict(estimator, X)
    y = column_or_1d(_labels(y), warn=True)
    _check_lengths(images, y)
    with _explained(images, y):
        assert_all_finite(y, input_name="y")
    return images, y


def images_for_predict(estimator, X) -> np.ndarray:
    """Return images of the shape that `estimator` was fitted on, or raise."""
    shape = estimator.image_shape_
    X = _stacked(X)
    with _explained(X):
        if estimator._input_ndim == 2 and getattr(X, "ndim", 2) == 2:
            X = validate_data(estimator, X, reset=False, **_PIXELS)
        else:  # images; or flat rows for a model fitted on images, or the reverse
            X = check_array(X, input_name="X", **_PIXELS)
    images = X.reshape(len(X), *shape) if _is_flat(X, shape) else _unflatten(X)
    if np.shape(X) == shape != images.shape[1:]:
        raise TallyError(
            f"X: expected images of shape {shape} as in fit, got one of them; for a "
            "single image pass X[np.newaxis]"
        )
    if images.shape[1:] != shape:
        raise TallyError(
            f"X: expected images of shape {shape} as in fit, got {images.shape[1:]}; "
            "bring all cells to one size, for example with CellNormalizer"
        )
    return images


def _labels(y):
    """Return a list or one column as an array; what is neither is for scikit-learn."""
    is_column = isinstance(y, list | tuple) or (hasattr(y, "dtype") and not issparse(y))
    try:
        return as_labels(y) if is_column else y
    except ValueError:  # of several lengths, such as texts and tuples
        labels = np.empty(len(y), dtype=object)
        for i, label in enumerate(y):
            labels[i] = label
        return labels


def _stacked(X):
    """Return a list of images as one array, or raise where their sizes differ."""
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1:
        if not len(X) or not isinstance(X[0], np.ndarray):
            return X
        X = list(X)
    if not isinstance(X, (list, tuple)):
        return X
    try:
        return np.asarray(X)
    except ValueError:
        shapes = sorted({shape for x in X if (shape := _shape(x))})
        raise TallyError(
            f"X: expected images of one size, got several (such as {shapes[:3]}); "
            "bring all cells to one size, for example with CellNormalizer"
        ) from None


def _shape(x) -> tuple[int, ...]:
    try:
        return np.shape(x)
    except ValueError:  # its own rows differ
        return ()


def _check_lengths(X, y) -> None:
    """Raise unless each image has one label; what is no images is for scikit-learn."""
    try:
        lengths = len(X), len(y)
    except TypeError:
        return
    if not issparse(X) and np.ndim(X) > 1 and lengths[0] != lengths[1]:
        raise TallyError(
            f"y: expected {lengths[0]} labels, one for each image of X, got "
            f"{lengths[1]} (inconsistent numbers of samples); choose rows of X and y "
            "alike"
        )


@contextmanager
def _explained(X, y=None):
    """Say which images or labels are not finite, and what to do about them."""
    try:
        with np.errstate(over="ignore"):  # an error follows, and says more
            yield
    except ValueError as error:
        text = str(error)
        is_nan = "contains NaN" in text
        if not is_nan and "contains infinity" not in text:
            raise
        what = "NaN" if is_nan else "infinity or a value too large for float32"
        name, given = "X", X
        bad = np.flatnonzero(_not_finite(np.asarray(X)))
        if text.startswith("Input y") or not len(bad):  # scikit-learn may not say
            name, given = "y", y
            bad = np.flatnonzero(_not_finite(np.asarray(y)))
        if name == "y":
            hint = "label these samples, or leave them out"
        elif is_nan:
            hint = (
                "cells that CellNormalizer left NaN are absent: leave them out, such "
                "as by rows = np.isfinite(X).all(axis=(1, 2)), and their labels"
            )
        else:
            hint = "leave these images out, or np.clip them to the range of pixels"
        raise TallyError(
            f"{name}: expected finite values. Input {name} contains {what} in "
            f"{len(bad)} of {len(given)} samples (first: sample {bad[0]}); {hint}"
        ) from None


def _not_finite(values: np.ndarray) -> np.ndarray:
    """Return which samples hold NaN or infinity."""
    if values.dtype == object:
        bad = pd.isna(values) | np.isin(values, [np.inf, -np.inf])
    else:
        with np.errstate(over="ignore"):
            bad = ~np.isfinite(values.astype(np.float32))
    return bad.reshape(len(values), -1).any(axis=1)


def _is_flat(X: np.ndarray, shape: tuple[int, ...]) -> bool:
    return X.ndim == 2 and X.shape[1] == math.prod(shape)


def _unflatten(X: np.ndarray) -> np.ndarray:
    if X.ndim == 2:
        side = math.isqrt(X.shape[1])
        rows, columns = (side, side) if side * side == X.shape[1] else (1, X.shape[1])
        return X.reshape(len(X), rows, columns)
    if X.ndim == 4 and X.shape[3] == 1:
        return X[..., 0]
    if X.ndim == 3 or (X.ndim == 4 and X.shape[3] == 3):
        return X
    hint = ""
    if X.ndim == 4 and X.shape[1] in (1, 3):
        hint = "; move the channels last with X.transpose(0, 2, 3, 1)"
    raise TallyError(
        "X: expected grey images (n_samples, height, width), colour images "
        "(n_samples, height, width, 3) or flat rows (n_samples, n_pixels), got shape "
        f"{X.shape}{hint}"
    )


def pixel_range(images: np.ndarray) -> tuple[float, float]:
    """Return the median, which is the background, and the spread of the pixels."""
    step = -(-len(images) // _RANGE_SAMPLES)
    sample = np.asarray(images[::step], dtype=np.float32)
    spread = float(sample.std(dtype=np.float64))
    return float(np.median(sample)), spread if spread > 0 else 1.0


def encode_labels(y: np.ndarray, classes) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted classes and the int64 code of every label."""
    missing = np.flatnonzero(pd.isna(y))
    if len(missing):
        raise TallyError(
            f"y: {len(missing)} of {len(y)} labels are missing (first: sample "
            f"{missing[0]}); label these samples, or leave them out"
        )
    _check_one_kind("y", y)
    check_classification_targets(y)
    if classes is None:
        known, codes = np.unique(y, return_inverse=True)
        if len(known) < 2:
            raise TallyError(
                f"y: expected labels of at least 2 classes, got 1 class "
                f"({known.tolist()[0]!r}); add samples of another class, or name all "
                "classes in classes="
            )
        return known, codes.astype(np.int64)
    known = np.unique(_class_array(classes))
    codes = {label: i for i, label in enumerate(known.tolist())}
    labels, inverse = np.unique(y, return_inverse=True)
    unknown = [label for label in labels.tolist() if label not in codes]
    if unknown:
        raise TallyError(
            f"y: expected labels among classes={known.tolist()}, got also "
            f"{unknown[:5]}; add them to classes or drop these samples"
        )
    lookup = np.array([codes[label] for label in labels.tolist()], dtype=np.int64)
    return known, lookup[inverse]


def _check_one_kind(name: str, labels: np.ndarray) -> None:
    """Raise where labels are of kinds that have no order among each other."""
    if labels.dtype != object:
        return
    try:
        np.unique(labels)
    except TypeError as error:
        kinds = {type(label).__name__: label for label in labels.ravel()[::-1]}
        found = " and ".join(f"{kind} ({label!r})" for kind, label in kinds.items())
        raise TallyError(
            f"{name}: expected labels of one kind, all texts or all whole numbers, got "
            f"{found}; make texts of them all, such as by [str(v) for v in {name}]"
        ) from error


def check_same_classes(classes, known: np.ndarray) -> None:
    """Raise if `classes`, where given, are not those of the fitted network."""
    if classes is not None and set(_class_array(classes)) != set(known):
        raise TallyError(
            f"classes: expected {known.tolist()}, those of the network that training "
            f"goes on from, got {list(classes)}; fit a new one with warm_start=False"
        )


def _class_array(classes) -> np.ndarray:
    labels = np.asarray(classes)
    _check_one_kind("classes", labels)
    if labels.ndim != 1 or len(labels) < 2 or len(np.unique(labels)) < len(labels):
        raise TallyError(
            "classes: expected a list of at least 2 different labels, got "
            f"{classes!r}; leave it None to take the labels found in y"
        )
    return labels


def check_label_sets(label_sets, classes, n_samples: int) -> np.ndarray:
    """Return label sets bool ``(n_samples, n_classes)`` in order of `classes_`."""
    if classes is None:
        raise TallyError(
            "label_sets: the order of its columns is that of classes, which is None; "
            "construct CNNClassifier(classes=[...])"
        )
    sets = np.asarray(label_sets)
    shape = (n_samples, len(classes))
    if sets.dtype != bool or sets.shape != shape:
        raise TallyError(
            f"label_sets: expected bool (n_samples, n_classes) = {shape}, got "
            f"{sets.dtype} {sets.shape}; column j says whether classes[j] is possible"
        )
    empty = np.flatnonzero(~sets.any(axis=1))
    if len(empty):
        raise TallyError(
            f"label_sets: {len(empty)} samples admit no class (first: sample "
            f"{empty[0]}); allow at least one, or drop these samples"
        )
    return sets[:, np.argsort(_class_array(classes))]
