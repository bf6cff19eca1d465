"""How accuracy and confidence fare where images get worse: the paper's section 4."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import check_random_state

from sktally.exceptions import TallyError, TallyWarning
from sktally.inspection._changes import changed, check_changes
from sktally.inspection._inside import unwrapped
from sktally.pages import read_page
from sktally.votes import accuracy_interval

__all__ = ["Answers", "answers_to_all", "curves_of", "stress_curves"]


@dataclass(frozen=True)
class Answers:
    """What an estimator makes of images that were changed by one amount.

    Attributes
    ----------
    change : str
        What was changed.
    amount : float
        By how much.
    right : ndarray of bool ``(n,)``
        Which labels, or known counts, were read as they should.
    confidence : ndarray of float ``(n,)``
        Of each; NaN where nothing was read.
    page : ndarray of int ``(n,)``
        Number of the image.
    first : ndarray
        The first image, changed.
    reading : str
        What was read on it.
    """

    change: str
    amount: float
    right: npt.NDArray[np.bool_]
    confidence: npt.NDArray[np.float64]
    page: npt.NDArray[np.int64]
    first: npt.NDArray[Any]
    reading: str


def stress_curves(
    estimator: Any, X: Any, y: Any, *, changes: Any = None, random_state: Any = 0
) -> pd.DataFrame:
    """Return accuracy and mean confidence where images are turned, shaded, blurred.

    A network that has never seen a digit lying on its side reads it all the same, and
    is as sure as ever: its confidence says little of images unlike those it learnt.

    Parameters
    ----------
    estimator : classifier, Pipeline or reader
        Fitted, with `predict_proba`: cells in, labels out. Or a reader, a Pipeline
        whose last step is a `VoteCountAggregator`: pages in, counts out.
    X : array-like ``(n, height, width)`` or ``(n, height, width, 3)``
        Cells as `estimator` takes them, in any range of pixels; for a reader a list of
        pages, as paths or arrays.
    y : array-like ``(n,)``
        True labels; for a reader counts or boxes ``(n_pages, n_fields)``, missing ones
        left out.
    changes : str, list of str or dict, optional
        Names, or names and amounts, such as ``{"rotation": [0, 90], "blur": [0, 2]}``;
        by default all, by usual amounts. See Notes.
    random_state : int, RandomState or None, default=0
        Which way images are shifted, where shadows lie, and what noise there is.

    Returns
    -------
    DataFrame
        A row for each change and amount: ``change``, ``amount``, ``unit``; ``n`` labels
        or counts; ``accuracy`` with ``accuracy_lower`` and ``accuracy_upper`` (95 %,
        counts of a page going right and wrong together), what was not read being wrong;
        mean ``confidence`` of what was read, and the share ``read``. For a reader
        confidence is that of counts, see `TallyPrediction`.

    Raises
    ------
    TallyError
        If a change or an amount is not known, or X and y do not belong together.

    See Also
    --------
    StressDisplay : Draws the curves.
    sktally.digits.Augmentation : The same changes at random, to learn from.

    Notes
    -----
    ``rotation`` in degrees, counter-clockwise. ``shift`` in pixels to one of the four
    sides. ``light``: the share of the light that a shadow takes on one side of a soft
    edge; paper loses most and the darkest ink nothing. ``contrast``: what is left of it
    against the background. ``blur``: standard deviation in pixels. ``noise``: standard
    deviation, in standard deviations of all pixels. Background is the median of all
    pixels. What a step before the network makes good, such as `CellNormalizer` the
    light, costs nothing: give it the raw cells.

    References
    ----------
    M. Torres and F. Cantú (2022). "Learning to See: Convolutional Neural Networks for
    the Analysis of Social Science Data". Political Analysis 30(1), section 4.

    Examples
    --------
    >>> from sktally import load_model, make_digit_cells
    >>> from sktally.inspection import stress_curves
    >>> made = make_digit_cells(40, classes="0123456789", random_state=0)
    >>> curves = stress_curves(load_model("default"), made.images, made.target,
    ...                        changes={"rotation": [0, 90]})
    >>> upright, lying = curves.itertuples()
    >>> upright.accuracy > 0.9, lying.accuracy < 0.5, lying.confidence > 0.5
    (True, True, True)
    """
    return curves_of(answers_to_all(estimator, X, y, changes, random_state))


def curves_of(answers: Iterator[Answers] | list[Answers]) -> pd.DataFrame:
    """Return the table of `stress_curves`."""
    from sktally.inspection._changes import CHANGES

    rows = []
    for one in answers:
        found = accuracy_interval(one.right, groups=one.page)
        known = ~np.isnan(one.confidence)
        sure = float(one.confidence[known].mean()) if known.any() else np.nan
        rows.append(
            {
                "change": one.change,
                "amount": one.amount,
                "unit": CHANGES[one.change].unit,
                "n": len(one.right),
                "accuracy": found.estimate,
                "accuracy_lower": found.low,
                "accuracy_upper": found.high,
                "confidence": sure,
                "read": float(known.mean()),
            }
        )
    return pd.DataFrame(rows)


def answers_to_all(
    estimator: Any, X: Any, y: Any, changes: Any, random_state: Any
) -> Iterator[Answers]:
    """Give the answers of an estimator to every change, one amount after the other."""
    amounts = check_changes(changes)
    estimator = unwrapped(estimator)
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    reads = hasattr(last, "predict_tallies")
    images, truth = _pages(X, y, last) if reads else _cells(estimator, X, y)
    answer = _counts if reads else _labels
    for name, values in amounts.items():
        for amount in values:
            many: Any
            if reads:
                many = [changed(x[None], name, amount, seed)[0] for x in images]
            else:
                many = changed(images, name, amount, seed)
            right, confidence, page, text = answer(estimator, many, truth)
            yield Answers(name, amount, right, confidence, page, many[0], text)


def _cells(estimator: Any, X: Any, y: Any) -> tuple[Any, Any]:
    if not hasattr(estimator, "predict_proba"):
        raise TallyError(
            f"estimator: expected one with predict_proba, got "
            f"{type(estimator).__name__}; CalibratedClassifierCV gives it to others"
        )
    images, labels = np.asarray(X), np.asarray(y)
    colour = images.ndim == 4 and images.shape[3] == 3
    if images.dtype.kind not in "uif" or not (images.ndim == 3 or colour):
        raise TallyError(
            "X: expected cells (n, height, width) or (n, height, width, 3), got "
            f"{images.dtype} {images.shape}"
        )
    if not len(images) or labels.shape != images.shape[:1]:
        raise TallyError(
            f"y: expected {len(images)} labels, one for each cell, and at least 1, got "
            f"shape {labels.shape}"
        )
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise TallyError(
            "X: expected finite pixels, got NaN or infinity; leave absent cells out, "
            "such as by np.isfinite(X).all(axis=(1, 2))"
        )
    known = getattr(estimator, "classes_", labels)
    if not np.isin(labels, known).any():
        raise TallyError(
            f"y: expected labels such as {np.asarray(known).tolist()[:3]}, which the "
            f"estimator knows, got none, but {labels.tolist()[:3]}; give them as text "
            "or as numbers, as in fit"
        )
    return images, labels


def _labels(estimator: Any, images: Any, labels: Any) -> tuple[Any, Any, Any, str]:
    proba = np.asarray(estimator.predict_proba(images), np.float64)
    read = np.asarray(estimator.classes_)[proba.argmax(axis=1)]
    best = proba.max(axis=1)
    pages = np.arange(len(images))
    return read == labels, best, pages, f"{read[0]}  {best[0]:.2f}"


def _pages(X: Any, y: Any, last: Any) -> tuple[Any, Any]:
    from sktally.votes._targets import target_counts

    if isinstance(X, str):
        X = [X]
    pages = [x if isinstance(x, np.ndarray) else read_page(x) for x in X]
    truth = target_counts(y, blank_right=last.blank_right)
    if len(truth) != len(pages) or not (truth >= 0).any():
        raise TallyError(
            f"y: expected counts or boxes of {len(pages)} pages, some of them known, "
            f"got {len(truth)} rows with {int((truth >= 0).sum())} known"
        )
    return pages, truth


def _counts(reader: Any, pages: Any, truth: Any) -> tuple[Any, Any, Any, str]:
    with warnings.catch_warnings():
        # pages that are not found any more are what is asked for here
        warnings.simplefilter("ignore", TallyWarning)
        found = reader[-1].predict_tallies(reader[:-1].transform(pages))
    known = truth >= 0
    right = found.counts == truth
    rows = np.broadcast_to(np.arange(len(truth))[:, None], truth.shape)
    texts = ["?" if count < 0 else str(count) for count in found.counts[0][:3]]
    more = ", ..." if found.counts.shape[1] > 3 else ""
    confidence = np.where(found.counts < 0, np.nan, found.confidence)
    return right[known], confidence[known], rows[known], ", ".join(texts) + more
