import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktally import CNNClassifier, TallyCropper, TallyError, TallyWarning
from sktally.inspection import ReadCells
from sktally.inspection._read_cells import in_order


def test_cells_of_pages_with_truth_and_place(reader, made):
    read = ReadCells.from_estimator(reader, made.pages, made.boxes)
    assert "".join(read.truth) == "".join(made.boxes.ravel())
    assert (read.predicted == read.truth).all() and not read.misread.any()
    crops = TallyCropper("example", cell_size=12).fit().transform(made.pages)
    assert (read.images == crops.reshape(-1, *crops.shape[3:])).all()
    assert (read.proba == 1).all() and (read.truth_proba == 1).all()
    assert read.where.iloc[19].to_list() == ["X[1]", "01", "tens"]
    assert read.where["place"].iloc[:3].to_list() == ["hundreds", "tens", "units"]


def test_what_is_written_otherwise_is_misread(reader, made):
    boxes = made.boxes.copy()
    number = "7" if boxes[1, 2][-1] != "7" else "8"
    was, boxes[1, 2] = boxes[1, 2][-1], boxes[1, 2][:-1] + number
    read = ReadCells.from_estimator(reader, made.pages, boxes)
    [wrong] = np.flatnonzero(read.misread)
    assert read.where.loc[wrong].to_list() == ["X[1]", "03", "units"]
    assert (read.predicted[wrong], read.truth[wrong]) == (was, number)
    assert read.truth_proba[wrong] == 0


def test_counts_leave_open_how_leading_zeros_are_written(reader, made):
    read = ReadCells.from_estimator(reader, made.pages, made.counts)
    assert read.known.all() and not read.misread.any()
    ones = ReadCells.from_estimator(reader, made.pages, made.counts * 0 + 111)
    assert set(ones.truth) == {"1"}


def test_a_truth_that_is_missing_is_not_known(reader, made):
    boxes = made.boxes.copy()
    boxes[0, 0] = None
    known = ReadCells.from_estimator(reader, made.pages, boxes).known
    assert (~known).sum() == 3
    assert not ReadCells.from_estimator(reader, made.pages).known.any()


def test_pages_that_cannot_be_read_are_left_out(reader, made, tmp_path):
    pages = [tmp_path / "gone.png", made.pages[1]]
    with pytest.warns(TallyWarning, match="1 of 2 pages was not read"):
        read = ReadCells.from_estimator(reader, pages, made.boxes[:2])
    assert set(read.where["page"]) == {"X[1]"}
    assert "".join(read.truth) == "".join(made.boxes[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(TallyError, match="got 1 of which none can be"):
            ReadCells.from_estimator(reader, pages[:1])


def test_classifiers_of_cells_and_of_rows():
    digits = load_digits()
    for classifier in (
        KNeighborsClassifier(1),
        make_pipeline(FunctionTransformer(), KNeighborsClassifier(1)),
    ):
        classifier.fit(digits.data[:50], digits.target[:50])
        read = ReadCells.from_estimator(
            classifier, digits.images[:50], digits.target[:50]
        )
        assert read.predicted.tolist() == [str(label) for label in digits.target[:50]]
        assert (read.proba == 1).all() and read.where is None
    network = CNNClassifier(max_epochs=1, filters=(4,), hidden=(8,), random_state=0)
    network.fit(digits.images[:50], digits.target[:50])
    read = ReadCells.from_estimator(network, digits.images[:50])
    assert read.proba == pytest.approx(network.predict_proba(digits.images[:50]).max(1))


def test_probabilities_of_all_classes_give_those_of_both_labels(cells):
    table = np.tile([0.7, 0.2, 0.1], (10, 1))
    read = ReadCells.from_predictions(
        cells, [3] * 10, truth=[5] * 9 + [None], proba=table, classes=[3, 5, 9]
    )
    assert read.proba.tolist() == [0.7] * 10
    assert read.truth_proba[:9].tolist() == [0.2] * 9
    assert read.misread.tolist() == [True] * 9 + [False]


def test_parts_keep_what_belongs_together(cells):
    where = pd.DataFrame({"page": range(10), "field": "a", "place": "units"})
    read = ReadCells.from_predictions(
        cells, list("0123456789"), proba=np.arange(10) / 10, where=where
    )
    part = read.part(np.array([7, 2]))
    assert part.predicted.tolist() == ["7", "2"]
    assert part.where["page"].tolist() == [7, 2]
    assert part.images[:, 0, 0].tolist() == [80, 30]
    assert read.part(read.proba > 0.75).where["page"].tolist() == [8, 9]


def test_labels_come_in_the_order_of_classes():
    labels = np.array(["_", "x", "b", "10", "9", "0", "a"], dtype=object)
    assert in_order(labels) == ["0", "9", "x", "_", "10", "a", "b"]


@pytest.mark.parametrize(
    ("cells", "match"),
    [
        (np.zeros((0, 4, 4)), r"one or more of one size.*got shape \(0, 4, 4\)"),
        (np.zeros((4, 4)), r"got shape \(4, 4\)"),
        (np.zeros((1, 6, 3, 4, 4)), "are read by from_estimator"),
        ([np.zeros((4, 4)), np.zeros((3, 4))], "of one size"),
        (np.full((1, 4, 4), np.nan), "leave out absent cells, which are NaN"),
        (np.full((1, 4, 4), "a"), "expected finite numbers"),
    ],
)
def test_what_is_no_cells_is_refused(cells, match):
    with pytest.raises(TallyError, match=match):
        ReadCells.from_predictions(cells, ["1"] * len(cells))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"predicted": ["1"] * 9}, r"predicted: expected a label for each.*\(10,\)"),
        ({"predicted": [None] * 10}, "predicted: expected a label for each cell, got"),
        ({"truth": ["1"]}, r"truth: expected a label for each cell, shape \(10,\)"),
        ({"proba": [0.5]}, r"proba: expected one for each cell, shape \(10,\)"),
        ({"proba": np.ones((10, 3))}, "give classes=classifier.classes_"),
        ({"proba": [1.5] * 10}, r"in \[0, 1\], got 1.5 to 1.5"),
        ({"where": pd.DataFrame({"page": [1]})}, "where: expected a DataFrame with"),
        (
            {"where": pd.DataFrame({"page": [1], "field": 1, "place": 1})},
            "where: expected 10 rows, one a cell, got 1",
        ),
    ],
)
def test_what_does_not_fit_the_cells_is_refused(cells, options, match):
    options = {"predicted": ["1"] * 10, **options}
    with pytest.raises(TallyError, match=match):
        ReadCells.from_predictions(cells, **options)
