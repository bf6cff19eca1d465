"""What an aggregator says of how probable its boxes and its counts are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.metaestimators import available_if

from sktally.votes._calibrate import DigitCalibrator
from sktally.votes._cells import has_proba
from sktally.votes._count_proba import count_proba

if TYPE_CHECKING:
    from sktally.votes._result import TallyPrediction

__all__ = ["ProbabilityMixin"]


class ProbabilityMixin:
    """Probabilities of boxes, and of counts after `calibrate` on pages held out."""

    blank_right: str

    def predict_tallies(self, X: Any, *, misfit: Any = None) -> TallyPrediction:
        """Read tallies; the aggregator says how."""
        raise NotImplementedError

    @available_if(has_proba)
    def predict_digit_proba(self, X: Any) -> npt.NDArray[np.float32]:
        """Return the probability of each class at each place.

        Parameters
        ----------
        X : array of cells, as in `fit`

        Returns
        -------
        digit_proba : ndarray of float32, shape (n_tallies, n_fields, n_places, 12)
            Columns in the order of `classes_`, 0 for a class that the classifier does
            not have; NaN for absent cells.
        """
        return self.predict_tallies(X).digit_proba

    @available_if(has_proba)
    def calibrate(
        self, X: Any, y: Any, *, by: str = "all", method: str = "temperature"
    ) -> Self:
        """Fit `calibrator_` on pages that the classifier was not fitted on.

        Parameters
        ----------
        X : array of cells, as in `fit`
            Of 20 labelled pages or more.
        y : array-like of shape (n_tallies, n_fields)
            Box strings or counts; missing ones are left out.
        by : {"all", "place"}, default="all"
        method : {"temperature", "matrix"}, default="temperature"
            See `DigitCalibrator`.

        Returns
        -------
        self
            `fit` forgets the calibrator: it belongs to the classifier that was fitted.
        """
        proba = self.predict_tallies(X).digit_proba
        self.calibrator_ = DigitCalibrator(by=by, method=method).fit(proba, y)
        return self

    @available_if(has_proba)
    def predict_count_proba(
        self, X: Any, *, misfit: Any = None
    ) -> npt.NDArray[np.float64]:
        """Return how probable it is that each count is exactly right.

        Parameters
        ----------
        X : array of cells, as in `fit`
        misfit : array-like of bool, shape (n_tallies, n_fields), optional
            As of `predict_tallies`.

        Returns
        -------
        proba : ndarray of float64, shape (n_tallies, n_fields)
            Of the counts that `predict` gives, all ways to write them together, see
            `count_proba`, by boxes calibrated if `calibrate` was called; without it
            they are as sure as the classifier. NaN where no count was read.
        """
        read = self.predict_tallies(X, misfit=misfit)
        boxes = read.digit_proba
        if hasattr(self, "calibrator_"):
            boxes = self.calibrator_.transform(boxes)
        proba = count_proba(boxes, read.counts, blank_right=self.blank_right)
        return np.where(read.counts < 0, np.nan, proba)
