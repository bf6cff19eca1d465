"""TrainingDisplay: how loss and accuracy went from epoch to epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sktally.exceptions import TallyError
from sktally.inspection._axes import figure_of
from sktally.inspection._inside import held_by

__all__ = ["TrainingDisplay"]

_SETS = {"train": ("training", "tab:blue"), "valid": ("validation", "tab:orange")}


class TrainingDisplay:
    """Loss and accuracy of each epoch, in training and on the cells held out.

    Where the loss of validation rises while that of training falls, the network learns
    the cells by heart.

    Parameters
    ----------
    history : DataFrame
        A row for each epoch, as `CNNClassifier.history_`: ``epoch``, ``train_loss``,
        ``train_accuracy``, and with validation ``valid_loss``, ``valid_accuracy``.

    Attributes
    ----------
    best_epoch_ : int or None
        Epoch of the lowest loss in validation, whose weights early stopping keeps; None
        without validation.
    axes_ : ndarray of matplotlib.axes.Axes, shape (2,)
        Of loss and of accuracy.
    figure_ : matplotlib.figure.Figure
        Where it was drawn.

    See Also
    --------
    sktally.CNNClassifier : Writes the history.
    sklearn.model_selection.LearningCurveDisplay : Scores against the number of samples.

    Notes
    -----
    Figures of training are taken with dropout and augmentation at work, over an epoch
    in which the network still changes: in validation it may well look better.

    Examples
    --------
    >>> import pandas as pd
    >>> from matplotlib.figure import Figure
    >>> from sktally.inspection import TrainingDisplay
    >>> history = pd.DataFrame({"epoch": [1, 2, 3], "train_loss": [1.0, 0.5, 0.2]})
    >>> history["train_accuracy"] = [0.7, 0.8, 0.9]
    >>> history["valid_loss"] = [1.1, 0.7, 0.8]
    >>> history["valid_accuracy"] = [0.6, 0.8, 0.8]
    >>> TrainingDisplay.from_history(history, figure=Figure()).best_epoch_
    2
    """

    def __init__(self, history: pd.DataFrame) -> None:
        self.history = history

    @classmethod
    def from_estimator(cls, estimator: Any, *, figure: Any = None) -> TrainingDisplay:
        """Draw the training of a classifier.

        Parameters
        ----------
        estimator : CNNClassifier, or what holds one
            Fitted: a classifier, a reader, a Pipeline, a search or a FrozenEstimator.
        figure : matplotlib.figure.Figure or SubFigure, optional
            Where to draw; a new one by default.

        Returns
        -------
        TrainingDisplay

        Raises
        ------
        TallyError
            If there is no history.
        """
        return cls.from_history(_history_of(estimator), figure=figure)

    @classmethod
    def from_history(
        cls, history: pd.DataFrame, *, figure: Any = None
    ) -> TrainingDisplay:
        """Draw a history.

        Parameters
        ----------
        history : DataFrame
            As `CNNClassifier.history_`.
        figure : matplotlib.figure.Figure or SubFigure, optional
            Where to draw; a new one by default.

        Returns
        -------
        TrainingDisplay

        Raises
        ------
        TallyError
            If a column is missing, or there is no epoch.
        """
        wanted = ["epoch", "train_loss", "train_accuracy"]
        if not isinstance(history, pd.DataFrame):
            raise TallyError(
                "history: expected a DataFrame, as CNNClassifier.history_, got "
                f"{type(history).__name__}"
            )
        absent = [name for name in wanted if name not in history]
        if absent or not len(history):
            raise TallyError(
                f"history: expected columns {', '.join(wanted)} and an epoch or more, "
                f"as in CNNClassifier.history_, got {len(history)} rows of "
                f"{', '.join(map(str, history.columns)) or 'nothing'}"
            )
        return cls(history).plot(figure=figure)

    def plot(self, *, figure: Any = None) -> TrainingDisplay:
        """Draw loss and accuracy.

        Parameters
        ----------
        figure : matplotlib.figure.Figure or SubFigure, optional
            Where to draw; a new one by default.

        Returns
        -------
        TrainingDisplay
        """
        self.figure_ = figure_of(figure, figsize=(9, 3.6))
        self.axes_ = np.asarray(self.figure_.subplots(1, 2))
        best = None
        if "valid_loss" in self.history and self.history["valid_loss"].notna().any():
            best = self.history.iloc[int(np.nanargmin(self.history["valid_loss"]))]
        self.best_epoch_ = None if best is None else int(best["epoch"])
        for ax, measure in zip(self.axes_, ("loss", "accuracy"), strict=True):
            self._draw(ax, measure)
            if best is not None:
                _mark(ax, best["epoch"], best[f"valid_{measure}"])
        self.axes_[0].legend(fontsize="small")
        return self

    def _draw(self, ax: Any, measure: str) -> None:
        from matplotlib.ticker import MaxNLocator

        epochs = self.history["epoch"]
        marker = "o" if len(epochs) < 3 else None  # a line of one point is not seen
        for kind, (label, color) in _SETS.items():
            name = f"{kind}_{measure}"
            if name in self.history:
                values = self.history[name]
                ax.plot(epochs, values, label=label, color=color, marker=marker)
        ax.set(xlabel="epoch", ylabel=measure)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.grid(alpha=0.3)
        if measure == "loss":
            ax.set_ylim(bottom=0)


def _mark(ax: Any, epoch: float, value: float) -> None:
    ax.axvline(epoch, color="grey", ls=":", zorder=1)
    label = f"lowest loss in validation, epoch {epoch:.0f}"
    how = {"ls": "none", "marker": "*", "ms": 11, "color": "black"}
    ax.plot([epoch], [value], label=label, **how)


def _history_of(estimator: Any) -> pd.DataFrame:
    """Return the history of the classifier inside an estimator."""
    for inner in held_by(estimator):
        history = getattr(inner, "history_", None)
        if isinstance(history, pd.DataFrame):
            return history
    raise TallyError(
        f"estimator: expected a fitted CNNClassifier, or what holds one, got "
        f"{type(estimator).__name__} without history_; fit it first"
    )
