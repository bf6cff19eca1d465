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
from sktally.votes._decode import CLASSES
from sktally.votes._posterior import count_posterior
from sktally.votes._targets import check_targets

__all__ = ["DigitCalibrator", "check_calibrator", "check_digit_proba", "count_proba"]

_MIN_PAGES = 20
_RANGE = (0.1, 10.0)  # of temperatures
_SPREAD = math.log(2)  # of the logarithm of temperatures, before pages are seen
_FLOOR = 1e-12
_TOLERANCE = 0.01  # of sums of probabilities, as `count_posterior` has it


class DigitCalibrator(TransformerMixin, BaseEstimator):
    """Calibrate probabilities of boxes by temperature, on pages that were held out.

    Logarithms of probabilities are divided by a temperature: above 1 for a classifier
    that is too sure of itself. Which class is the most probable does not change.

    Parameters
    ----------
    by : {"all", "place"}, default="all"
        One temperature, or one for each place (hundreds, tens, units).

    Attributes
    ----------
    temperature_ : ndarray of shape (1,) or (n_places,)
        Above 0.
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
    say otherwise outweigh that.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger (2017). "On calibration of modern
    neural networks". ICML.

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

    def __init__(self, *, by: str = "all") -> None:
        self.by = by

    def fit(self, X: npt.ArrayLike, y: Any) -> DigitCalibrator:
        """Find the temperature at which the truth is the least surprising.

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
        n_places = proba.shape[2]
        groups = range(n_places) if self.by == "place" else [slice(None)]
        temperature, before, after = [], [], []
        for group in groups:
            some = np.zeros_like(known)
            some[:, :, group] = known[:, :, group]
            logs = np.log(np.maximum(proba[some], _FLOOR))
            best = _fitted(logs, sets[some]) if some.any() else 1.0
            temperature.append(best)
            before.append(_losses(logs, sets[some], 1.0))
            after.append(_losses(logs, sets[some], best))
        self.temperature_ = np.array(temperature)
        self.log_loss_ = tuple(
            float(np.concatenate(losses).mean()) for losses in (before, after)
        )
        return self

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
        logs = np.log(np.maximum(proba, _FLOOR)) / self.temperature_[:, None]
        logs -= logsumexp(logs, axis=-1, keepdims=True)
        return np.exp(logs).astype(np.float32)

    def _fitted_state(self) -> dict[str, Any]:
        """Return what fit learnt, to be saved."""
        names = ("temperature_", "log_loss_", "n_pages_")
        return {name: getattr(self, name) for name in names}

    def _set_fitted_state(self, state: dict[str, Any]) -> None:
        """Take back what `_fitted_state` gave."""
        found = np.asarray(state.get("temperature_", ()), dtype=np.float64)
        if not (found.ndim == 1 and len(found) and (found > 0).all()):
            raise TallyError(
                f"temperature_: expected numbers above 0, got {found}; the model file "
                "is damaged, save it again"
            )
        self.temperature_ = found
        before, after = state.get("log_loss_", (math.nan, math.nan))
        self.log_loss_ = (float(before), float(after))
        self.n_pages_ = int(state.get("n_pages_", 0))


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


def count_proba(
    digit_proba: npt.ArrayLike, counts: npt.ArrayLike, *, blank_right: str = "missing"
) -> npt.NDArray[np.float64]:
    """Return the probability of each count, given the boxes of its field alone.

    Parameters
    ----------
    digit_proba : array-like of shape (n_tallies, n_fields, n_places, 12)
        Probabilities of the classes, calibrated if they are to be believed.
    counts : array-like of int, shape (n_tallies, n_fields)
        What was read; -1 for no count.
    blank_right : {"missing", "zero", "shift"}, default="missing"
        Value of an empty box to the right of a digit.

    Returns
    -------
    proba : ndarray of shape (n_tallies, n_fields)
        NaN for fields that were not read.

    Notes
    -----
    A count is as probable as all ways to write it are together: ``x7``, ``_7`` and
    ``07`` are one.

    Examples
    --------
    >>> import numpy as np
    >>> from sktally.votes import count_proba
    >>> proba = np.zeros((1, 1, 2, 12))
    >>> proba[0, 0, 0, [10, 11]] = 0.5
    >>> proba[0, 0, 1, [3, 8]] = 0.9, 0.1
    >>> count_proba(proba, [[3]])
    array([[0.9]])
    """
    proba = check_digit_proba(digit_proba)
    read = np.asarray(counts)
    if read.dtype.kind not in "iu":
        raise TallyError(
            f"counts: expected whole numbers, -1 for no count, got {read.dtype}; of a "
            "table, take counts.fillna(-1).astype('int64')"
        )
    if read.shape != proba.shape[:2]:
        raise TallyError(
            f"counts: expected shape {proba.shape[:2]}, (n_tallies, n_fields), got "
            f"{read.shape}"
        )
    found = np.full(read.shape, np.nan)
    for i, j in zip(*np.nonzero(~np.isnan(proba[:, :, -1, 0])), strict=True):
        posterior = count_posterior(proba[i, j], blank_right=blank_right)
        found[i, j] = posterior.of(int(read[i, j]))
    return found


def check_digit_proba(X: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return probabilities ``(n_tallies, n_fields, n_places, 12)``, or raise."""
    try:
        proba = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TallyError(
            f"digit_proba: expected an array of numbers ({error})"
        ) from None
    if proba.ndim != 4 or proba.shape[3] != len(CLASSES) or not proba.shape[2]:
        raise TallyError(
            "digit_proba: expected shape (n_tallies, n_fields, n_places, "
            f"{len(CLASSES)}), as predict_tallies(X).digit_proba, got {proba.shape}"
        )
    if ((proba < 0) | (proba > 1)).any():
        raise TallyError("digit_proba: expected probabilities, got some outside [0, 1]")
    sums = proba.sum(axis=-1)
    odd = ~(np.abs(sums - 1) < _TOLERANCE) & ~np.isnan(proba).all(axis=-1)
    if odd.any():
        raise TallyError(
            "digit_proba: expected probabilities that sum to 1 in each box, or NaN in "
            f"all of an absent one, got a sum of {sums[odd][0]:.3g} in one of "
            f"{odd.sum()} boxes"
        )
    return proba


def _losses(
    logs: npt.NDArray[np.float64], sets: npt.NDArray[np.bool_], temperature: float
) -> npt.NDArray[np.float64]:
    """Return for each box minus the logarithm of the probability of its labels."""
    scaled = logs / temperature
    allowed = np.where(sets, scaled, -np.inf)
    return np.asarray(logsumexp(scaled, axis=1) - logsumexp(allowed, axis=1))


def _fitted(logs: npt.NDArray[np.float64], sets: npt.NDArray[np.bool_]) -> float:
    """Return the most probable temperature, given the losses of all boxes."""

    def surprise(log_t: float) -> float:
        loss = float(_losses(logs, sets, math.exp(log_t)).sum())
        return loss + (log_t / _SPREAD) ** 2 / 2

    found = minimize_scalar(
        surprise,
        bounds=(math.log(_RANGE[0]), math.log(_RANGE[1])),
        method="bounded",
    )
    return float(np.exp(found.x))
