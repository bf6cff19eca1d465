"""What a classifier of single cells is fitted on, made from tallies and their y."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from sktally._validate import check_range
from sktally.exceptions import TallyError
from sktally.votes._cells import as_features, class_columns
from sktally.votes._decode import CLASSES
from sktally.votes._targets import (
    TallyTargets,
    check_tally_groups,
    check_tally_weights,
)

__all__ = ["check_classifier", "fit_classifier", "split_by_page"]


def check_classifier(classifier: Any) -> None:
    """Raise unless `classifier` can be fitted and asked for classes.

    One that does not say what kind of estimator it is may be a classifier.
    """
    got, advice = repr(classifier), ""
    if isinstance(classifier, type):
        got = f"the class {classifier.__name__}"
        advice = f", with brackets: {classifier.__name__}()"
    elif all(hasattr(classifier, name) for name in ("get_params", "fit", "predict")):
        tagged = hasattr(classifier, "__sklearn_tags__")
        kind = get_tags(classifier).estimator_type if tagged else None
        if kind in (None, "classifier"):
            return
        got += f" ({kind.replace('_', ' ')})"
    raise TallyError(
        f"classifier: expected a scikit-learn classifier of single cells, got {got}; "
        f"pass an instance of one{advice or ', such as CNNClassifier()'}"
    )


def fit_classifier(
    classifier: Any,
    cells: npt.NDArray[Any],
    present: npt.NDArray[np.bool_],
    targets: TallyTargets,
    *,
    validation_fraction: float | None,
    random_state: Any,
    fit_params: dict[str, Any],
) -> tuple[Any, int]:
    """Fit `classifier` on all cells that are present and labelled.

    Parameters
    ----------
    classifier : classifier, not fitted yet
        Changed in place: a parameter `classes` that is None is set to the 12 classes.
    cells : ndarray of shape (n_tallies, n_fields, n_places, height, width)
    present : ndarray of bool, shape (n_tallies, n_fields, n_places)
    targets : TallyTargets
    validation_fraction : float or None
        Share of the pages held out for early stopping; None takes the classifier's.
    random_state : int, RandomState instance or None
        Draws those pages; None takes the classifier's.
    fit_params : dict
        Goes to the classifier's `fit`; `sample_weight` and `groups` hold one value per
        tally.

    Returns
    -------
    classifier : fitted
    n_cells : int
        Number of cells it was fitted on; 0 for a frozen one, which is left as it is.
    """
    if isinstance(classifier, FrozenEstimator):
        check_is_fitted(classifier)
        return classifier, 0
    names = _class_names(classifier)
    uses_sets = has_fit_parameter(classifier, "label_sets") and names is not None
    known = targets.label_sets.any(axis=-1) if uses_sets else targets.labels >= 0
    keep = present & known
    if not keep.any():
        raise TallyError(
            f"y: no cell to fit on: {present.any(axis=(1, 2)).sum()} of {len(cells)} "
            f"tallies were read, and y names the class of {known.sum()} boxes, none of "
            "them on a tally that was read; check that rows of y and X belong together"
        )
    params = dict(fit_params)
    tally_of_cell = np.nonzero(keep)[0]
    if params.get("sample_weight") is not None:
        weights = check_tally_weights(params["sample_weight"], len(cells))
        params["sample_weight"] = weights[tally_of_cell]
    unit_of_cell = tally_of_cell
    if params.get("groups") is not None:
        groups = check_tally_groups(params["groups"], len(cells))
        unit_of_cell = groups[tally_of_cell]
        params["groups"] = unit_of_cell
    labels = targets.labels[keep]
    if uses_sets and (labels < 0).any():
        columns = class_columns(np.asarray(names))
        params["label_sets"] = targets.label_sets[keep][:, columns]
    if getattr(classifier, "early_stopping", False) and has_fit_parameter(
        classifier, "validation_split"
    ):
        if validation_fraction is None:
            validation_fraction = getattr(classifier, "validation_fraction", 0.1)
        if random_state is None:
            random_state = getattr(classifier, "random_state", None)
        params["validation_split"] = split_by_page(
            unit_of_cell,
            validation_fraction=validation_fraction,
            random_state=random_state,
        )
    features = as_features(classifier, cells[keep])
    fitted = classifier.fit(features, _named(labels, names), **params)
    return fitted, int(keep.sum())


def split_by_page(
    tally_of_cell: npt.NDArray[np.intp],
    *,
    validation_fraction: float = 0.1,
    random_state: Any = None,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Split cells in two so that no page stands on both sides.

    Parameters
    ----------
    tally_of_cell : ndarray of int, shape (n_cells,)
        Page of each cell: boxes of one page share one hand. Or its group of pages.
    validation_fraction : float, default=0.1
        Share of the pages for validation, rounded, at least one page on each side.
    random_state : int, RandomState instance or None, default=None
        Draws the pages.

    Returns
    -------
    train, validation : ndarray of int
        Indices of cells.

    Examples
    --------
    >>> train, validation = split_by_page(
    ...     np.array([0, 0, 1, 1, 2, 2]), validation_fraction=0.3, random_state=0
    ... )
    >>> train, validation
    (array([0, 1, 2, 3]), array([4, 5]))
    """
    check_range("validation_fraction", validation_fraction, 0, 1)
    pages = np.unique(tally_of_cell)
    if len(pages) < 2:
        raise TallyError(
            f"X: early stopping needs 2 or more labelled pages, got {len(pages)} (of "
            "groups, where they are given); fit on more or set early_stopping=False"
        )
    n_held = min(max(round(validation_fraction * len(pages)), 1), len(pages) - 1)
    held = check_random_state(random_state).permutation(pages)[:n_held]
    is_held = np.isin(tally_of_cell, held)
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


def _class_names(classifier: Any) -> list[Any] | None:
    """Return the declared classes of a classifier that can declare them."""
    if "classes" not in classifier.get_params(deep=False):
        return None
    if classifier.classes is None:
        classifier.set_params(classes=list(CLASSES))
    return np.asarray(classifier.classes).tolist()


def _named(
    labels: npt.NDArray[np.int8], names: list[Any] | None
) -> npt.NDArray[np.generic]:
    """Return labels as the classifier calls them.

    Where only a set is known the name is that of the last class of the set, which
    a classifier that takes `label_sets` does not look at.
    """
    names = list(CLASSES) if names is None else names
    place = np.full(len(CLASSES), -1)
    place[class_columns(names)] = np.arange(len(names))
    indices = np.where(labels < 0, place.max(), place[labels])
    if (indices < 0).any():
        lacking = sorted({CLASSES[i] for i in labels[indices < 0]})
        raise TallyError(
            f"classifier: its parameter classes={names!r} lacks {lacking}, which y "
            "holds; leave classes=None for all twelve"
        )
    return np.asarray(names)[indices]
