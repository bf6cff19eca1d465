"""VoteCountAggregator: from the cells of tallies to counts and their confidence."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)

from sktally._validate import check_choice, check_range
from sktally.cells._bubbled import bubbles_of
from sktally.votes._cells import check_cells, read_cells
from sktally.votes._confidence import HIGH_QUALITY
from sktally.votes._decode import BLANK_RIGHT, CLASSES
from sktally.votes._fitting import check_classifier, fit_classifier
from sktally.votes._metrics import count_accuracy_score
from sktally.votes._prior import check_ratios, place_ratios, weigh_by_place
from sktally.votes._probabilities import ProbabilityMixin
from sktally.votes._result import TallyPrediction, fold_cells
from sktally.votes._targets import check_given, check_targets, target_counts

__all__ = ["VoteCountAggregator"]


class VoteCountAggregator(ProbabilityMixin, MetaEstimatorMixin, BaseEstimator):
    """Read whole counts with a classifier of single cells.

    The last step of a pipeline that reads tallies. It drops absent cells, fits or asks
    `classifier` about the others and folds the answers into one count per field. The
    sample is the page: n_samples is the number of tallies throughout.

    Parameters
    ----------
    classifier : classifier
        Any scikit-learn classifier. It is cloned and fitted, unless it is a
        `sklearn.frozen.FrozenEstimator` of a fitted one, which predicts without fit.
        Classifiers whose tags accept 3-D input get cells ``(n_cells, height, width)``,
        all others ``(n_cells, height * width)``.
    blank_right : {"missing", "zero", "shift"}, default="missing"
        Value of a count with an empty box to the right of a digit, such as ``32_``:
        unread (-1), 320, or 32. Take the form's, ``form.blank_right``. Whatever the
        rule, the status is "ambiguous". A crossed box there is zero, ``x2x`` is 20.
    high_quality : float, default=0.9
        A tally whose quality is larger than this is of high quality [1]_.
    place_prior : bool, default=False
        Whether to weigh the probabilities of a cell by how often each class stood at
        its place in `fit`, relative to all places; see Notes.
    bubbles : bool, default=True
        Whether to heed the bubbles beside the boxes, where the form has any and the
        classifier has `predict_proba`; see Notes.
    validation_fraction : float or None, default=None
        Share of the pages, not of the cells, held out in `fit` when the classifier
        stops early. None takes the classifier's own, or 0.1.
    random_state : int, RandomState instance or None, default=None
        Draws the pages held out. None takes the classifier's own.

    Attributes
    ----------
    classifier_ : classifier
        The fitted classifier of single cells.
    n_cells_ : int
        Number of cells it was fitted on; 0 for a frozen one.
    place_ratios_ : ndarray of shape (n_places, 12)
        What `place_prior` multiplies probabilities by; 1 is as frequent as elsewhere.
    calibrator_ : DigitCalibrator
        From `calibrate`; makes `predict_count_proba` true, and changes nothing else.

    See Also
    --------
    sktally.cells.CellNormalizer : The step before.
    sktally.digits.CNNClassifier : The classifier it is made for.
    count_accuracy : Scorer for GridSearchCV and cross_val_score.

    Notes
    -----
    *Fitting on box strings* uses every box. *Fitting on counts* uses what they say: the
    significant digits for certain, and for the leading zeros only that each is
    ``0``, ``x`` or ``_``. A classifier whose `fit` takes `label_sets` (bool, shape
    (n_cells, n_classes)) and that can declare its `classes` learns from those sets;
    for any other classifier such cells are left out.

    *Classes.* A classifier whose parameter `classes` is None is fitted with all twelve
    of `sktally.votes.CLASSES`, so that a fold without a 7 keeps its columns.

    *Early stopping.* Boxes of one page share one hand. If the classifier has
    ``early_stopping=True`` and its `fit` takes `validation_split`, that is a pair of
    index arrays made by page here, or by whole groups of pages where `fit` is given
    `groups`, such as the station or the clerk of each tally. Classifiers that split by
    themselves (scikit-learn's MLPClassifier, a search as `classifier`) split by cell
    and flatter themselves.

    *Fit parameters* go to the classifier's `fit` as they are, with metadata routing
    off (``votes__freeze_layers=1`` in a pipeline) and on (``set_fit_request``). Only
    `sample_weight` and `groups`, one value per tally, are spread over the cells.

    *Place prior.* In the hundreds of a polling station few classes occur. What occurs
    is learnt from the pages fitted on; where others may hold larger counts, leave it
    out. The classifier must have seen classes about as often as they occur.

    *Bubbles* say the same as the digits, another way, so probabilities are multiplied;
    crossed and empty boxes go with the bubble of 0. Where box and bubbles each rule the
    other out, the status is "ambiguous". See `sktally.cells.BubbledCells`.

    *Without predict_proba* (LinearSVC, SVC) counts come from `predict` and confidences
    are NaN, unless wrapped in `sklearn.calibration.CalibratedClassifierCV`.

    There is no `n_features_in_`: tallies of any layout can be read once fitted.

    References
    ----------
    .. [1] M. Torres and F. Cantú (2022). "Learning to See: Convolutional Neural
       Networks for the Analysis of Social Science Data". Political Analysis 30(1),
       113-131.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sktally.votes import VoteCountAggregator
    >>> digits = load_digits()
    >>> X = digits.images[:1794].reshape(299, 2, 3, 8, 8)
    >>> y = (digits.target[:1794].reshape(299, 2, 3) @ [100, 10, 1]).astype(int)
    >>> votes = VoteCountAggregator(KNeighborsClassifier(2)).fit(X[:200], y[:200])
    >>> read = votes.predict_tallies(X[200:202])
    >>> read.counts
    array([[773, 510],
           [ 22, 782]])
    >>> read.boxes
    array([['773', '510'],
           ['022', '782']], dtype=object)
    >>> votes.predict_count_proba(X[200:202])
    array([[0.5, 1. ],
           [1. , 0.5]])
    >>> round(votes.score(X[200:], y[200:]), 2)
    0.91
    """

    _since_format_1 = ("place_prior", "bubbles")

    def __init__(
        self,
        classifier: Any,
        *,
        blank_right: str = "missing",
        high_quality: float = HIGH_QUALITY,
        place_prior: bool = False,
        bubbles: bool = True,
        validation_fraction: float | None = None,
        random_state: Any = None,
    ) -> None:
        self.classifier = classifier
        self.blank_right = blank_right
        self.high_quality = high_quality
        self.place_prior = place_prior
        self.bubbles = bubbles
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    @property
    def classes_(self) -> npt.NDArray[np.str_]:
        """Classes of a box, the columns of `predict_digit_proba`."""
        return np.array(CLASSES)

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> VoteCountAggregator:
        """Fit the classifier on every cell that is present and labelled.

        Parameters
        ----------
        X : array of shape (n_tallies, n_fields, n_places, height, width)
            Float cells from CellNormalizer, NaN all over where a cell is absent; or
            uint8 cells from TallyCropper, 0 all over where one is absent.
        y : array-like of shape (n_tallies, n_fields)
            Box strings such as ``"x23"``, shorter ones aligned to the right, or counts.
            "", None, NaN and -1 are missing and dropped. Columns by position, not name.
        **fit_params
            For the classifier's `fit`, see Notes.

        Returns
        -------
        self : VoteCountAggregator

        Raises
        ------
        TallyError
            If `classifier` is none, X or y is of another shape or type, an element of
            y does not fit into its field, or no labelled cell is left.
        """
        self._check_params()
        check_classifier(self.classifier)
        check_given(y)
        cells, absent = check_cells(X)
        targets = check_targets(y, absent=absent)
        if get_config()["enable_metadata_routing"]:
            fit_params = process_routing(self, "fit", **fit_params).classifier.fit
        self.__dict__.pop("calibrator_", None)  # of the classifier fitted before
        self.place_ratios_ = place_ratios(targets.label_sets, ~absent)
        self.classifier_, self.n_cells_ = fit_classifier(
            clone(self.classifier),
            cells,
            ~absent,
            targets,
            validation_fraction=self.validation_fraction,
            random_state=self.random_state,
            fit_params=fit_params,
        )
        return self

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """Read the counts.

        Parameters
        ----------
        X : array of cells, as in `fit`, of any number of fields and places

        Returns
        -------
        counts : ndarray of int64, shape (n_tallies, n_fields)
            -1 where there is none.
        """
        return self.predict_tallies(X).counts

    def predict_boxes(self, X: Any) -> npt.NDArray[np.object_]:
        """Read the boxes.

        Parameters
        ----------
        X : array of cells, as in `fit`

        Returns
        -------
        boxes : ndarray of object, shape (n_tallies, n_fields)
            Strings such as ``"x23"``; ``""`` where nothing was read.
        """
        return self.predict_tallies(X).boxes

    def predict_tallies(self, X: Any, *, misfit: Any = None) -> TallyPrediction:
        """Read counts, boxes, status, confidence and quality in one pass.

        Parameters
        ----------
        X : array of cells, as in `fit`
        misfit : array-like of bool, shape (n_tallies, n_fields), optional
            Fields that fit badly, `Registration.misfits`; less sure for that.

        Returns
        -------
        TallyPrediction
            Arrays over tallies and fields, by name.
        """
        classifier = self._fitted_classifier()
        self._check_params()
        cells, absent = check_cells(X)
        labels, proba = read_cells(classifier, cells[~absent])
        if self.place_prior:
            ratios = getattr(self, "place_ratios_", None)
            labels, proba = weigh_by_place(proba, ~absent, ratios)
        return fold_cells(
            labels,
            proba,
            ~absent,
            blank_right=self.blank_right,
            high_quality=self.high_quality,
            bubbles=bubbles_of(X) if self.bubbles else None,
            misfit=misfit,
        )

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of counts that are exact.

        Parameters
        ----------
        X : array of cells, as in `fit`
        y : array-like of shape (n_tallies, n_fields)
            As in `fit`; missing ones are left out, and a count not read is wrong.
        sample_weight : array-like of shape (n_tallies,), optional
            Weight of each tally. Pipeline.score needs the name under metadata routing.

        Returns
        -------
        accuracy : float
            In [0, 1].
        """
        truth = target_counts(y, blank_right=self.blank_right)
        return count_accuracy_score(truth, self.predict(X), sample_weight=sample_weight)

    def get_metadata_routing(self) -> MetadataRouter:
        """Say which fit parameters go to the classifier.

        Returns
        -------
        routing : MetadataRouter
            Everything asked of `fit` is the classifier's.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(classifier=self.classifier, method_mapping=mapping)

    def _check_params(self) -> None:
        check_choice("blank_right", self.blank_right, BLANK_RIGHT)
        check_range("high_quality", self.high_quality, 0, 1)
        check_choice("place_prior", self.place_prior, (False, True))
        check_choice("bubbles", self.bubbles, (False, True))
        if self.validation_fraction is not None:
            check_range("validation_fraction", self.validation_fraction, 0, 1)

    def _fitted_classifier(self) -> Any:
        if hasattr(self, "classifier_"):
            return self.classifier_
        if self.__sklearn_is_fitted__():
            return self.classifier
        raise NotFittedError(
            f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with "
            "appropriate arguments, or give a FrozenEstimator of a fitted classifier."
        )

    def _fitted_state(self) -> dict[str, Any]:
        """Return what fit learnt beside the classifier, to be saved."""
        names = ("n_cells_", "place_ratios_")
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def _set_fitted_state(self, state: dict[str, Any]) -> None:
        """Take back what `_fitted_state` gave; `classifier_` is set elsewhere."""
        if "n_cells_" in state:
            self.n_cells_ = int(state["n_cells_"])
        if "place_ratios_" in state:
            self.place_ratios_ = check_ratios(state["place_ratios_"])

    def __sklearn_is_fitted__(self) -> bool:
        if hasattr(self, "classifier_"):
            return True
        frozen = isinstance(self.classifier, FrozenEstimator)
        return frozen and self.classifier.__sklearn_is_fitted__()

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = True
        return tags
