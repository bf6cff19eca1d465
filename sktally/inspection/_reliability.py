"""ReliabilityDisplay: whether what was said to be probable came true."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally.exceptions import TallyError
from sktally.inspection._axes import axes_of
from sktally.votes import calibration_scores, reliability_curve, target_counts

__all__ = ["ReliabilityDisplay", "right_and_said"]


class ReliabilityDisplay:
    """Share of right counts against the probability that was said, in bins.

    On the diagonal probabilities are true. Below it the reader is too sure of itself,
    above it not sure enough.

    Parameters
    ----------
    curve : DataFrame
        From `reliability_curve`.
    scores : DataFrame, optional
        From `calibration_scores`; its first row is told in the legend.
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
    Bins hold as many counts each, so that no point rests on a handful; of a good reader
    most stand near 1. Bars are intervals by page.

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
        level: float = 0.95,
        random_state: Any = None,
        name: str = "",
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
        n_bins, level, random_state, name, ax
            As in `from_predictions`.

        Returns
        -------
        ReliabilityDisplay
        """
        correct, said = right_and_said(estimator, X, y)
        options = {"level": level, "random_state": random_state, "name": name}
        return cls.from_predictions(correct, said, n_bins=n_bins, ax=ax, **options)

    @classmethod
    def from_predictions(
        cls,
        correct: npt.ArrayLike,
        proba: npt.ArrayLike,
        *,
        groups: npt.ArrayLike | None = None,
        n_bins: int = 10,
        level: float = 0.95,
        random_state: Any = None,
        name: str = "",
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
        level : float, default=0.95
            Coverage of the intervals.
        random_state : int, RandomState instance or None, default=None
            Draws the pages for the interval of the calibration error.
        name : str, optional
            For the legend.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes by default.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        TallyError
            If shapes differ, a probability is outside [0, 1], or nothing is left.
        """
        how: dict[str, Any] = {"groups": groups, "n_bins": n_bins, "level": level}
        scores = calibration_scores(correct, proba, random_state=random_state, **how)
        curve = reliability_curve(correct, proba, **how)
        return cls(curve, scores, name).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> ReliabilityDisplay:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes by default. Several may be drawn on the same.

        Returns
        -------
        ReliabilityDisplay
        """
        ax = axes_of(ax, figsize=(5.2, 5.2))
        said, share = self.curve["mean_proba"], self.curve["accuracy"]
        low, high = self.curve["low"], self.curve["high"]
        if not ax.lines:
            diagonal = {"color": "grey", "ls": ":", "label": "as true as can be"}
            ax.axline((0, 0), slope=1, **diagonal)
        ends = np.array([share - low, high - share])
        ax.errorbar(
            said, share, ends, marker="o", ms=5, lw=1, capsize=2, label=self._label()
        )
        lowest = min([ax.get_xlim()[0] if len(ax.containers) > 1 else 1, *said, *low])
        lowest = max(0.0, float(np.floor(10 * lowest) / 10))
        ax.set(xlim=(lowest, 1.01), ylim=(lowest, 1.01), aspect="equal")
        ax.set(xlabel="probability said", ylabel="share that was right")
        ax.legend(loc="lower right", fontsize="small")
        ax.grid(alpha=0.3)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _label(self) -> str:
        if self.scores is None:
            return self.name or "reader"
        row = self.scores.iloc[0]
        text = f"{self.name}: " if self.name else ""
        text += f"calibration error {row.ece:.3f}"
        if not np.isnan(row.ece_low):
            text += f" ({row.ece_low:.3f}-{row.ece_high:.3f})"
        return f"{text},\nBrier score {row.brier:.3f}, {row.n:,.0f} counts"


def right_and_said(
    estimator: Any, X: Any, y: Any
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return which counts a reader got right, NaN if not known, and what it said."""
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
