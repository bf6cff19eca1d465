"""ReadRateDisplay: how many counts may be accepted, and how many of them are wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sktally.exceptions import TallyError
from sktally.inspection._axes import axes_of, legend_above
from sktally.votes import AccuracyInterval, ReadingContract

__all__ = ["ReadRateDisplay"]


class ReadRateDisplay:
    """Share of wrong counts among those accepted, against the share accepted.

    Parameters
    ----------
    curve : DataFrame
        As `ReadingContract.curve_`: ``read_rate``, ``error``, ``error_bound``.
    max_error : float, optional
        Error rate that was agreed on, drawn as a line.
    read_rate : AccuracyInterval, optional
        Where the contract stands, with its interval.
    error_bound : float, optional
        Share of the accepted that is wrong there at most.
    name : str, optional
        For the legend.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    figure_ : matplotlib.figure.Figure
        What that is part of.

    See Also
    --------
    sktally.ReadingContract : Makes the curve.
    ReliabilityDisplay : How true the probabilities are.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from sktally import ReadingContract
    >>> from sktally.inspection import ReadRateDisplay
    >>> rng = np.random.default_rng(0)
    >>> scores = rng.beta(20, 1, size=(1000, 3))
    >>> correct = scores > rng.uniform(0, 0.95, size=scores.shape)
    >>> contract = ReadingContract(max_error=0.01).fit(scores, correct)
    >>> ax = ReadRateDisplay.from_estimator(contract, ax=Figure().subplots()).ax_
    >>> ax.get_legend().get_texts()[-1].get_text()
    'contract: 87.0% read (85.8-88.2%)'
    """

    def __init__(
        self,
        curve: pd.DataFrame,
        *,
        max_error: float | None = None,
        read_rate: AccuracyInterval | None = None,
        error_bound: float | None = None,
        name: str = "",
    ) -> None:
        self.curve = curve
        self.max_error = max_error
        self.read_rate = read_rate
        self.error_bound = error_bound
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator: ReadingContract, *, name: str = "", ax: Any = None
    ) -> ReadRateDisplay:
        """Draw what a contract found.

        Parameters
        ----------
        estimator : ReadingContract
            Fitted.
        name : str, optional
            For the legend.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes by default.

        Returns
        -------
        ReadRateDisplay

        Raises
        ------
        TallyError
            If it is no fitted contract.
        """
        if not hasattr(estimator, "curve_"):
            raise TallyError(
                "estimator: expected a fitted ReadingContract, got "
                f"{type(estimator).__name__} without curve_; fit it on checked pages"
            )
        accepts = np.isfinite(estimator.threshold_)
        display = cls(
            estimator.curve_,
            max_error=estimator.max_error,
            read_rate=estimator.read_rate_ if accepts else None,
            error_bound=estimator.error_bound_ if accepts else None,
            name=name,
        )
        return display.plot(ax=ax)

    def plot(self, *, ax: Any = None) -> ReadRateDisplay:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes by default. Several may be drawn on the same.

        Returns
        -------
        ReadRateDisplay
        """
        from matplotlib.ticker import PercentFormatter

        ax = axes_of(ax, figsize=(6, 4.2))
        prefix = f"{self.name}: " if self.name else ""
        rate, error = self.curve["read_rate"], self.curve["error"]
        (line,) = ax.plot(rate, error, label=f"{prefix}wrong on the checked pages")
        how = {"color": line.get_color(), "ls": "--", "lw": 1}
        ax.plot(
            rate, self.curve["error_bound"], label=f"{prefix}at most, proven", **how
        )
        if self.max_error is not None:
            label = f"agreed: {self.max_error:.2%} at most"
            ax.axhline(self.max_error, color="grey", ls=":", label=label)
        self._mark(ax, prefix)
        top = max(error.max(), 3 * (self.max_error or 0), 1e-6)
        ax.set(xlim=(0, 1), ylim=(0, 1.15 * top))
        ax.set(xlabel="counts accepted", ylabel="wrong among those accepted")
        for axis, digits in ((ax.xaxis, 0), (ax.yaxis, None)):
            axis.set_major_formatter(PercentFormatter(1, decimals=digits))
        ax.grid(alpha=0.3)
        legend_above(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _mark(self, ax: Any, prefix: str) -> None:
        """Mark where the contract stands, or say that nothing is accepted."""
        how = {"marker": "o", "color": "black", "ls": "none", "zorder": 3}
        if self.read_rate is None or self.error_bound is None:
            if self.max_error is not None:
                ax.plot([], [], " ", label=f"{prefix}nothing is accepted")
            return
        rate, low, high = self.read_rate
        label = f"{prefix}contract: {rate:.1%} read ({100 * low:.1f}-{high:.1%})"
        ends = [[rate - low], [high - rate]]
        ax.errorbar(
            [rate], [self.error_bound], xerr=ends, capsize=3, label=label, **how
        )
