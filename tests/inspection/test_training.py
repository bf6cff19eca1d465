import matplotlib.pyplot as plt
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktally import CNNClassifier, TallyError, VoteCountAggregator
from sktally.inspection import TrainingDisplay


@pytest.fixture
def history():
    return pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "train_loss": [1.0, 0.6, 0.3],
            "train_accuracy": [0.5, 0.7, 0.9],
            "valid_loss": [1.2, 0.7, 0.8],
            "valid_accuracy": [0.4, 0.8, 0.7],
        }
    )


def lines(ax):
    return {line.get_label(): list(line.get_ydata()) for line in ax.lines}


def test_both_sets_and_the_best_epoch(history):
    display = TrainingDisplay.from_history(history)
    loss, accuracy = display.axes_
    assert lines(loss)["training"] == [1.0, 0.6, 0.3]
    assert lines(loss)["validation"] == [1.2, 0.7, 0.8]
    assert lines(accuracy)["validation"] == [0.4, 0.8, 0.7]
    assert display.best_epoch_ == 2
    assert lines(loss)["lowest loss in validation, epoch 2"] == [0.7]
    assert lines(accuracy)["lowest loss in validation, epoch 2"] == [0.8]
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
    assert [t.get_text() for t in loss.get_legend().get_texts()] == [
        "training",
        "validation",
        "lowest loss in validation, epoch 2",
    ]


def test_without_validation_no_epoch_is_best(history):
    display = TrainingDisplay.from_history(history.iloc[:, :3])
    assert display.best_epoch_ is None
    assert list(lines(display.axes_[0])) == ["training"]
    some = history.assign(valid_loss=[None, 0.9, 0.95], valid_accuracy=[None, 0.6, 0.7])
    assert TrainingDisplay.from_history(some.astype(float)).best_epoch_ == 2


def test_one_epoch_is_a_point(history):
    figure = plt.figure()
    display = TrainingDisplay.from_history(history.iloc[:1], figure=figure)
    assert display.figure_ is figure
    assert display.axes_[0].lines[0].get_marker() == "o"
    assert all(tick == round(tick) for tick in display.axes_[0].get_xticks())


def test_the_history_is_found_inside():
    digits = load_digits()
    images, labels = digits.images[:60], digits.target[:60]
    small = {"filters": (4,), "hidden": (8,), "max_epochs": 2, "random_state": 0}
    network = CNNClassifier(**small, early_stopping=True).fit(images, labels)
    frozen = FrozenEstimator(network)
    for estimator in (
        network,
        frozen,
        VoteCountAggregator(frozen),
        make_pipeline(FunctionTransformer(), VoteCountAggregator(frozen)),
    ):
        display = TrainingDisplay.from_estimator(estimator)
        assert display.history is network.history_
        assert display.best_epoch_ == network.history_["valid_loss"].argmin() + 1


def test_what_has_no_history_is_refused(history):
    for estimator in (CNNClassifier(), KNeighborsClassifier(), None):
        with pytest.raises(TallyError, match="without history_; fit it first"):
            TrainingDisplay.from_estimator(estimator)
    with pytest.raises(TallyError, match="history: expected columns epoch, train_loss"):
        TrainingDisplay.from_history(history.drop(columns="train_loss"))
    with pytest.raises(TallyError, match="and an epoch or more.*got 0 rows"):
        TrainingDisplay.from_history(history.iloc[:0])
