"""Displays as users call them: labels as pandas has them, searches, wrong axes."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktally import load_reader, make_digit_cells, make_tally_pages
from sktally.exceptions import TallyError
from sktally.inspection import (
    CellsDisplay,
    FiltersDisplay,
    MisreadDisplay,
    ReadCells,
    RegistrationDisplay,
    ReliabilityDisplay,
    TrainingDisplay,
    stress_curves,
)


@pytest.fixture(scope="module")
def made():
    return make_digit_cells(40, classes="17", random_state=0)


@pytest.fixture(scope="module")
def rows(made):
    """A classifier of cells as rows, of scikit-learn alone, with labels 1 and 7."""
    flat = FunctionTransformer(lambda cells: cells.reshape(len(cells), -1) / 255)
    return make_pipeline(flat, KNeighborsClassifier(1)).fit(
        made.images, made.target.astype(int)
    )


def test_numbers_beside_missing_ones_are_the_same_labels(made, rows):
    truth = pd.Series(made.target.astype(int)).where(np.arange(40) > 3)  # floats
    read = ReadCells.from_estimator(rows, made.images, truth)
    assert truth.dtype == float
    assert (read.known.sum(), read.misread.sum()) == (36, 0)
    assert set(read.truth[4:]) == {"1", "7"}
    np.testing.assert_array_equal(read.truth_proba[4:], read.proba[4:])


def test_labels_of_another_type_are_no_accuracy_of_0(made, rows):
    with pytest.raises(TallyError, match=r"y: expected labels such as \[1, 7\]"):
        stress_curves(rows, made.images, made.target, changes="blur")


@pytest.mark.parametrize("wrap", [FrozenEstimator, None])
def test_readers_in_searches_and_frozen(wrap):
    made = make_tally_pages(2, form="example", random_state=0)
    reader = load_reader("example")
    if wrap is None:
        wrapped = GridSearchCV(reader, {})
        wrapped.best_estimator_ = reader  # as fit leaves it
    else:
        wrapped = wrap(reader)
    found = ReadCells.from_estimator(wrapped, made.pages, made.boxes)
    known = ReadCells.from_estimator(reader, made.pages, made.boxes)
    np.testing.assert_array_equal(found.predicted, known.predicted)
    ax = Figure().subplots()
    shown = RegistrationDisplay.from_estimator(wrapped, made.pages[0], ax=ax)
    assert len(shown.texts) == 6
    curves = stress_curves(wrapped, made.pages, made.counts, changes={"blur": [0]})
    assert curves["n"].tolist() == [12]
    shown = ReliabilityDisplay.from_estimator(
        wrapped, made.pages, made.counts, n_bins=2, ax=Figure().subplots()
    )
    assert shown.curve["n"].sum() == 12


def test_what_is_no_axes_or_figure(made):
    with pytest.raises(TallyError, match="ax: expected one matplotlib Axes.*ndarray"):
        CellsDisplay.from_predictions(made.images, made.target, ax=np.empty(2, object))
    with pytest.raises(TallyError, match="ax: expected one matplotlib Axes.*Figure"):
        FiltersDisplay(np.ones((2, 1, 3, 3), np.float32), "one").plot(ax=Figure())
    with pytest.raises(TallyError, match="figure: expected a matplotlib Figure.*Axes"):
        MisreadDisplay.from_predictions(
            made.images, made.target, made.target, figure=Figure().subplots()
        )


@pytest.mark.parametrize("wrong", [None, load_reader])
def test_what_is_no_estimator(made, wrong):
    with pytest.raises(TallyError, match="estimator: expected a fitted reader or cl"):
        CellsDisplay.from_estimator(wrong, made.images)


def test_what_is_no_history():
    with pytest.raises(TallyError, match="history: expected a DataFrame.*got dict"):
        TrainingDisplay.from_history({"epoch": [1]})
