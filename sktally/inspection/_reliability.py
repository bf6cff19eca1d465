"""ReliabilityDisplay: whether what was said to be probable came true."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally._validate import check_choice
from sktally.exceptions import TallyError
from sktally.inspection._axes import axes_of, legend_above
from sktally.inspection._inside import unwrapped
from sktally.votes import calibration_scores, reliability_curve, target_counts

__all__ = ["ReliabilityDisplay", "right_and_said"]

_FINEST = 1e-9  # as near to 0 and 1 as a logit scale shows


class ReliabilityDisplay:
    """Share of right counts against the probability stated, in bins.

    On the diagonal probabilities are true. Below it the reader is too sure of itself,
    above it not sure enough.

    Parameters
    ----------
    curve : DataFrame
        From `reliability_curve`.
    scores : DataFrame, optional
        From `calibration_scores`; the legend tells its first row.
    name : str, optional
        What it is of, for the legend.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    figure_ : matplotlib.figure.Figure
        What that is part of.

    See Also
    --------
    sktally.votes.reliability_curve : The points.
    sktally.votes.calibration_scores : The scores.
    ReadRateDisplay : What may be accepted.

    Notes
    -----
    Bins hold as many counts each, so that no point rests on a handful. Of a good reader
    most stand near 1: ``scale="logit"`` tells them apart. Bars are intervals by page.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from sktally.inspection import ReliabilityDisplay
    >>> rng = np.random.default_rng(0)
    >>> said = rng.uniform(0.5, 1, size=(200, 3))
    >>> correct = rng.uniform(size=said.shape) < said
    >>> display = ReliabilityDisplay.from_predictions(
    ...     correct, said, n_bins=5, random_state=0, ax=Figure().subplots()
    ... )
    >>> display.curve["n"].tolist()
    [120, 120, 120, 120, 120]
    """

    def __init__(
        self, curve: pd.DataFrame, scores: pd.DataFrame | None = None, name: str = ""
    ) -> None:
        self.curve = curve
        self.scores = scores
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        n_bins: int = 10,
        confidence_level: float = 0.95,
        random_state: Any = None,
        name: str = "",
        scale: str = "linear",
        ax: Any = None,
    ) -> ReliabilityDisplay:
        """Read pages of known counts, and draw how true the probabilities are.

        Parameters
        ----------
        estimator : Pipeline or VoteCountAggregator
            A fitted reader, or its last step; neither fitted nor calibrated on `X`.
        X : list of pages, or array of cells of tallies
            What it reads.
        y : array-like of shape (n_tallies, n_fields)
            Box strings or counts; missing ones are left out.
        n_bins, confidence_level, random_state, name, scale, ax
            As in `from_predictions`.

        Returns
        -------
        ReliabilityDisplay
        """
        correct, said = right_and_said(estimator, X, y)
        return cls.from_predictions(
            correct,
            said,
            n_bins=n_bins,
            confidence_level=confidence_level,
            random_state=random_state,
            name=name,
            scale=scale,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        correct: npt.ArrayLike,
        proba: npt.ArrayLike,
        *,
        groups: npt.ArrayLike | None = None,
        n_bins: int = 10,
        confidence_level: float = 0.95,
        random_state: Any = None,
        name: str = "",
        scale: str = "linear",
        ax: Any = None,
    ) -> ReliabilityDisplay:
        """Draw how true probabilities are.

        Parameters
        ----------
        correct : array-like of shape (n,) or (n_tallies, n_fields)
            1 where it was right, 0 where not, NaN where that is not known.
        proba : array-like of the same shape
            The probability of that; NaN is left out.
        groups : array-like, optional
            Page of each; rows of a table are pages.
        n_bins : int, default=10
            Bins, with as many probabilities in each.
        confidence_level : float, default=0.95
            Coverage of the intervals.
        random_state : int, RandomState instance or None, default=None
            Draws the pages for the interval of the calibration error.
        name : str, optional
            For the legend.
        scale, ax
            As in `plot`.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        TallyError
            If shapes differ, a probability is outside [0, 1], or nothing is left.
        """
        how: dict[str, Any] = {"groups": groups, "n_bins": n_bins}
        how["confidence_level"] = confidence_level
        scores = calibration_scores(correct, proba, random_state=random_state, **how)
        curve = reliability_curve(correct, proba, **how)
        return cls(curve, scores, name).plot(scale=scale, ax=ax)

    def plot(self, *, scale: str = "linear", ax: Any = None) -> ReliabilityDisplay:
        """Draw the curve.

        Parameters
        ----------
        scale : {"linear", "logit"}, default="linear"
            "logit" gives 0.9 to 0.99 as much room as 0.99 to 0.999, for good readers.
            Bins in which all is right then lie on the upper edge.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes by default. Several may be drawn on the same.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        TallyError
            If `scale` is neither.
        """
        check_choice("scale", scale, ("linear", "logit"))
        ax = axes_of(ax, figsize=(5.2, 5.2))
        if not ax.lines:
            ends = (_FINEST, 1 - _FINEST)
            ax.plot(ends, ends, color="grey", ls=":", label="as true as can be")
        low, top = self._limits(scale)
        if len(ax.containers):  # of another reader
            low, top = min(low, ax.get_xlim()[0]), max(top, ax.get_xlim()[1])
        values = self.curve[["mean_proba", "accuracy", "low", "high"]].to_numpy()
        if scale == "logit":
            values = values.clip(_FINEST, top)
        said, share, lowest, highest = values.T
        bars = np.array([share - lowest, highest - share])
        how = {"marker": "o", "ms": 5, "lw": 1, "capsize": 2, "zorder": 3}
        ax.errorbar(said, share, bars, label=self._label(), **how)
        ax.set(xscale=scale, yscale=scale)
        ax.set(xlim=(low, top), ylim=(low, top), aspect="equal")
        if scale == "logit":
            _tick(ax, low, top)
        ax.set(xlabel="probability said", ylabel="share that was right")
        legend_above(ax)
        ax.grid(alpha=0.3)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _limits(self, scale: str) -> tuple[float, float]:
        """Return the ends of both axes: all that is drawn, and a little more."""
        least = float(self.curve[["mean_proba", "low"]].to_numpy().min())
        if scale == "linear":
            return max(0.0, np.floor(10 * least) / 10), 1.01
        most = float(self.curve["mean_proba"].max())
        return max(least / 2, _FINEST), max(1 - (1 - most) / 2, 0.99)

    def _label(self) -> str:
        if self.scores is None:
            return self.name or "reader"
        row = self.scores.iloc[0]
        text = f"{self.name}: " if self.name else ""
        text += f"calibration error {row.ece:.3f}"
        if not np.isnan(row.ece_low):
            text += f" ({row.ece_low:.3f}-{row.ece_high:.3f})"
        return f"{text},\nBrier score {row.brier:.3f}, {row.n:,.0f} counts"


def _tick(ax: Any, low: float, top: float) -> None:
    """Name the round numbers between the ends, such as 0.5, 0.9, 0.99."""
    nines = [1 - 10.0**-power for power in range(1, 10)]
    ticks = [t for t in (0.001, 0.01, 0.1, 0.5, *nines) if low <= t <= top]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(ticks, [f"{tick:.10g}" for tick in ticks])
        axis.set_ticks([], minor=True)


def right_and_said(
    estimator: Any, X: Any, y: Any
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return which counts a reader got right, NaN if not known, and what it said."""
    estimator = unwrapped(estimator)
    votes = estimator[-1] if hasattr(estimator, "steps") else estimator
    if not hasattr(votes, "predict_count_proba"):
        raise TallyError(
            "estimator: expected a reader or a VoteCountAggregator whose classifier "
            f"has predict_proba, got {type(estimator).__name__}"
        )
    cells = X if votes is estimator else estimator[:-1].transform(X)
    truth = target_counts(y, blank_right=votes.blank_right)
    counts, said = votes.predict(cells), votes.predict_count_proba(cells)
    if truth.shape != counts.shape:
        raise TallyError(
            f"y: expected a count for each page and field, shape {counts.shape}, got "
            f"{truth.shape}"
        )
    return np.where(truth < 0, np.nan, counts == truth), said
