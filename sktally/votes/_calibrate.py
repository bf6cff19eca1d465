"""Make the probabilities of boxes true, by what they were worth on other pages.

Comes in: probabilities of boxes of pages whose counts are known, and that the
classifier was not fitted on. Goes out: the same probabilities, flatter or sharper, so
that of boxes read with 0.9 nine in ten are right.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sktally._validate import check_choice
from sktally.exceptions import TallyError
from sktally.votes._count_proba import check_digit_proba
from sktally.votes._decode import CLASSES
from sktally.votes._matrix import fit_matrix
from sktally.votes._targets import check_targets

__all__ = ["DigitCalibrator", "check_calibrator"]

_MIN_PAGES = 20
_RANGE = (0.1, 10.0)  # of temperatures
_SPREAD = math.log(2)  # of the logarithm of temperatures, before pages are seen
_FLOOR = 1e-12
_MAPS = ("temperature_", "matrix_", "intercept_")
_FAINT = 1e-6  # for the matrix: what is fainter would tell of the network's scale alone


class DigitCalibrator(TransformerMixin, BaseEstimator):
    """Calibrate probabilities of boxes, on pages that were held out.

    Logarithms of probabilities are divided by a temperature: above 1 for a classifier
    that is too sure of itself. Which class is the most probable does not change by
    that; by a matrix it may.

    Parameters
    ----------
    by : {"all", "place"}, default="all"
        One temperature, and one intercept, or one for each place (hundreds, tens,
        units).
    method : {"temperature", "matrix"}, default="temperature"
        "matrix" learns beside the temperature what classes are taken for, and how
        frequent they are: pages unlike those that the classifier was fitted on,
        blurred say, are misread in ways of their own. On others it gains nothing.

    Attributes
    ----------
    temperature_ : ndarray of shape (1,) or (n_places,)
        Above 0.
    matrix_ : ndarray of shape (12, 12) or None
        By what logarithms are multiplied then; near the identity.
    intercept_ : ndarray of shape (1, 12) or (n_places, 12), or None
        What is added to the products.
    log_loss_ : tuple of float
        Mean log loss of the boxes, before and after.
    n_pages_ : int
        Tallies that had something to learn from.

    See Also
    --------
    VoteCountAggregator.calibrate : Fits one for the counts of a reader.
    count_proba : From boxes to counts.

    Notes
    -----
    The pages must be others than those that the classifier was fitted on, which it
    knows too well. At least 20 are asked for. Temperatures are held to be near 1, a
    factor of two either way being one standard deviation: on a few pages without an
    error none would be the likeliest, and every probability 1. Hundreds of boxes that
    say otherwise outweigh that. Likewise is the matrix held to be near the identity,
    0.15 being one standard deviation, and intercepts near 0, by 0.5.
    ``benchmarks/joint.py`` prints what it does to blurred pages.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger (2017). "On calibration of modern
    neural networks". ICML.

    M. Kull, M. Perello-Nieto, M. Kängsepp, T. Silva Filho, H. Song and P. Flach (2019).
    "Beyond temperature scaling: obtaining well-calibrated multi-class probabilities
    with Dirichlet calibration". NeurIPS.

    Examples
    --------
    A reader that says 0.99, and is right four times in five:

    >>> import numpy as np
    >>> from sktally.votes import DigitCalibrator
    >>> truth = np.arange(500) % 10
    >>> said = np.where(np.arange(500) % 5, truth, (truth + 1) % 10)
    >>> proba = (0.99 * np.eye(12)[said] + 0.01 / 12)[:, None, None]
    >>> calibrator = DigitCalibrator().fit(proba, truth[:, None])
    >>> round(float(calibrator.transform(proba).max(axis=-1).mean()), 2)
    0.8
    """

    def __init__(self, *, by: str = "all", method: str = "temperature") -> None:
        self.by = by
        self.method = method

    def fit(self, X: npt.ArrayLike, y: Any) -> DigitCalibrator:
        """Find the map at which the truth is the least surprising.

        Parameters
        ----------
        X : array-like of shape (n_tallies, n_fields, n_places, 12)
            Probabilities of the classes; NaN for absent boxes.
        y : array-like of shape (n_tallies, n_fields)
            Box strings or counts; "", None and -1 are left out.

        Returns
        -------
        DigitCalibrator

        Raises
        ------
        TallyError
            If too few tallies were read and are labelled, or X is something else.
        """
        check_choice("by", self.by, ("all", "place"))
        check_choice("method", self.method, ("temperature", "matrix"))
        proba = check_digit_proba(X)
        absent = np.asarray(np.isnan(proba).any(axis=-1))
        sets = check_targets(y, absent=absent).label_sets
        known = np.asarray(~absent & sets.any(axis=-1))
        self.n_pages_ = int(known.any(axis=(1, 2)).sum())
        if self.n_pages_ < _MIN_PAGES:
            raise TallyError(
                f"DigitCalibrator: expected at least {_MIN_PAGES} labelled pages that "
                f"were read, got {self.n_pages_}; label more, or leave probabilities "
                "as they are"
            )
        place = np.broadcast_to(np.arange(proba.shape[2]), known.shape)[known]
        group = place if self.by == "place" else np.zeros_like(place)
        n = proba.shape[2] if self.by == "place" else 1
        logs, sets = np.log(np.maximum(proba[known], _FLOOR)), sets[known]
        boxes = [group == i for i in range(n)]
        self.temperature_ = np.array(
            [_fitted(logs[own], sets[own]) if own.any() else 1.0 for own in boxes]
        )
        self.matrix_: npt.NDArray[np.float64] | None = None
        self.intercept_: npt.NDArray[np.float64] | None = None
        if self.method == "matrix":
            scaled = self._scaled(logs, group)
            self.matrix_, self.intercept_ = fit_matrix(scaled, sets, np.eye(n)[group])
        after = self._mapped(logs, group)
        self.log_loss_ = (
            float(_losses(logs, sets).mean()),
            float(_losses(after, sets).mean()),
        )
        return self

    def _scaled(
        self, logs: npt.NDArray[np.float64], group: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.float64]:
        """Return logarithms by temperature, as the matrix takes them."""
        least = math.log(_FAINT) if self.method == "matrix" else -np.inf
        return np.maximum(logs / self.temperature_[group][..., None], least)

    def _mapped(
        self, logs: npt.NDArray[np.float64], group: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.float64]:
        """Return logarithms of probabilities after calibration, up to a constant."""
        scaled = self._scaled(logs, group)
        matrix, intercept = (getattr(self, name, None) for name in _MAPS[1:])
        if matrix is None or intercept is None:
            return scaled
        return np.asarray(scaled @ matrix.T + intercept[group])

    def transform(self, X: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return calibrated probabilities.

        Parameters
        ----------
        X : array-like of shape (n_tallies, n_fields, n_places, 12)
            Probabilities of the classes; NaN for absent boxes.

        Returns
        -------
        proba : ndarray of float32, shape of `X`
            NaN where `X` is.
        """
        check_is_fitted(self)
        proba = check_digit_proba(X)
        n = len(self.temperature_)
        if n not in (1, proba.shape[2]):
            raise TallyError(
                f"digit_proba: expected {n} places, one for each temperature, got "
                f"{proba.shape[2]}; fit on pages of this form, or with by='all'"
            )
        group = np.arange(proba.shape[2]) % n
        logs = self._mapped(np.log(np.maximum(proba, _FLOOR)), group)
        logs -= logsumexp(logs, axis=-1, keepdims=True)
        return np.exp(logs).astype(np.float32)

    def _fitted_state(self) -> dict[str, Any]:
        """Return what fit learnt, to be saved."""
        names = (*_MAPS, "log_loss_", "n_pages_")
        return {name: getattr(self, name, None) for name in names}

    def _set_fitted_state(self, state: dict[str, Any]) -> None:
        """Take back what `_fitted_state` gave."""
        found = np.asarray(state.get("temperature_", ()), dtype=np.float64)
        if not (found.ndim == 1 and len(found) and (found > 0).all()):
            raise TallyError(
                f"temperature_: expected numbers above 0, got {found}; the model file "
                "is damaged, save it again"
            )
        self.temperature_ = found
        n = len(CLASSES)
        for name, shape in (("matrix_", (n, n)), ("intercept_", (len(found), n))):
            value = state.get(name)
            if self.method == "matrix":
                value = np.asarray(value, dtype=np.float64)
                if value.shape != shape or not np.isfinite(value).all():
                    raise TallyError(
                        f"{name}: expected finite numbers of shape {shape}, got shape "
                        f"{value.shape}; the model file is damaged, save it again"
                    )
            setattr(self, name, value)
        before, after = state.get("log_loss_") or (math.nan, math.nan)
        self.log_loss_ = (float(before), float(after))
        self.n_pages_ = int(state.get("n_pages_") or 0)

    def _content(self) -> dict[str, Any]:
        """Return what probabilities are changed by, to be noted."""
        names = [name for name in _MAPS if getattr(self, name, None) is not None]
        return {name.rstrip("_"): getattr(self, name).tolist() for name in names}


def check_calibrator(calibrator: object) -> None:
    """Raise unless it is a fitted calibrator, or None."""
    if calibrator is None:
        return
    if not isinstance(calibrator, DigitCalibrator):
        raise TallyError(
            "calibrator: expected a fitted DigitCalibrator, such as calibrator_ of the "
            "last step of a reader that was calibrated, got "
            f"{type(calibrator).__name__}"
        )
    check_is_fitted(calibrator)


def _losses(
    logs: npt.NDArray[np.float64], sets: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return for each box minus the logarithm of the probability of its labels."""
    allowed = np.where(sets, logs, -np.inf)
    return np.asarray(logsumexp(logs, axis=1) - logsumexp(allowed, axis=1))


def _fitted(logs: npt.NDArray[np.float64], sets: npt.NDArray[np.bool_]) -> float:
    """Return the most probable temperature, given the losses of all boxes."""

    def surprise(log_t: float) -> float:
        loss = float(_losses(logs / math.exp(log_t), sets).sum())
        return loss + (log_t / _SPREAD) ** 2 / 2

    found = minimize_scalar(
        surprise,
        bounds=(math.log(_RANGE[0]), math.log(_RANGE[1])),
        method="bounded",
    )
    return float(np.exp(found.x))
