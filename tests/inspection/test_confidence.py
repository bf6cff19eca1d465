import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from sktally import (
    ReadingContract,
    TallyCropper,
    TallyError,
    TallyWarning,
    VoteCountAggregator,
)
from sktally.inspection import ReadRateDisplay, ReliabilityDisplay
from sktally.votes import calibration_scores, reliability_curve


@pytest.fixture(scope="module")
def said():
    rng = np.random.default_rng(0)
    proba = rng.beta(12, 1, size=(400, 3))
    return rng.uniform(size=proba.shape) < proba, proba


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_points_and_intervals_are_those_of_the_curve(said):
    display = ReliabilityDisplay.from_predictions(*said, n_bins=5, random_state=0)
    curve = reliability_curve(*said, n_bins=5)
    [drawn] = display.ax_.containers
    points, _, [bars] = drawn.lines
    assert (points.get_xdata() == curve["mean_proba"]).all()
    assert (points.get_ydata() == curve["accuracy"]).all()
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    assert ends == pytest.approx(curve[["low", "high"]].to_numpy())
    diagonal = display.ax_.lines[0].get_xydata()
    assert (diagonal[:, 0] == diagonal[:, 1]).all()
    score = calibration_scores(*said, n_bins=5, random_state=0).loc["all"]
    told = f"{score.ece:.3f} ({score.ece_low:.3f}-{score.ece_high:.3f})"
    assert legend(display.ax_)[1].startswith(f"calibration error {told},\nBrier score")
    assert "1,200 counts" in legend(display.ax_)[1]


def test_two_readers_on_the_same_axes(said):
    correct, proba = said
    first = ReliabilityDisplay.from_predictions(correct, proba, name="raw")
    second = ReliabilityDisplay.from_predictions(
        correct, np.sqrt(proba) / 2, name="calibrated", ax=first.ax_
    )
    assert second.ax_ is first.ax_ and second.figure_ is first.figure_
    names = [text.split(":")[0] for text in legend(second.ax_)]
    assert names == ["as true as can be", "raw", "calibrated"]
    lowest = min(first.curve["low"].min(), second.curve["mean_proba"].min())
    assert second.ax_.get_xlim()[0] <= lowest


def test_a_logit_scale_tells_good_bins_apart():
    correct = np.ones((300, 3))
    correct[:3, 0] = 0
    proba = np.tile([0.95, 0.999, 0.9999], (300, 1))
    display = ReliabilityDisplay.from_predictions(
        correct, proba, n_bins=3, random_state=0, scale="logit"
    )
    ax = display.ax_
    assert ax.get_xscale() == ax.get_yscale() == "logit"
    points = ax.containers[0].lines[0].get_xydata()
    top = ax.get_ylim()[1]
    assert points[:, 0] == pytest.approx([0.95, 0.999, 0.9999])
    assert points[:, 1] == pytest.approx([0.99, top, top])
    assert 0.9999 < top < 1 and ax.get_xlim() == ax.get_ylim()
    assert [text.get_text() for text in ax.get_xticklabels()][-3:] == [
        "0.99",
        "0.999",
        "0.9999",
    ]
    with pytest.raises(TallyError, match="scale: expected one of 'linear', 'logit'"):
        display.plot(scale="log")


def test_one_page_has_no_interval_and_says_none():
    display = ReliabilityDisplay.from_predictions([[1, 0, 1]], [[0.9, 0.2, 0.8]])
    assert "nan" not in legend(display.ax_)[1]
    assert ReliabilityDisplay(display.curve).plot().scores is None


def test_readers_are_compared_with_what_is_written(reader, made):
    boxes = made.boxes.copy()
    boxes[0, 0] = None
    display = ReliabilityDisplay.from_estimator(reader, made.pages, boxes)
    assert display.curve["n"].sum() == 17
    assert display.curve["accuracy"].tolist() == [1.0]
    cells = reader[:-1].transform(made.pages)
    alone = ReliabilityDisplay.from_estimator(reader[-1], cells, made.counts)
    assert alone.curve["n"].sum() == 18


def test_reliability_refuses_what_has_no_probabilities(reader, made):
    silent = make_pipeline(TallyCropper("example"), VoteCountAggregator(LinearSVC()))
    for estimator in (silent, LinearSVC()):
        with pytest.raises(TallyError, match="whose classifier has predict_proba"):
            ReliabilityDisplay.from_estimator(estimator, made.pages, made.counts)
    with pytest.raises(TallyError, match=r"shape \(3, 6\), got \(2, 6\)"):
        ReliabilityDisplay.from_estimator(reader, made.pages, made.counts[:2])


def test_read_rate_is_the_curve_of_the_contract(said):
    correct, proba = said
    contract = ReadingContract(max_error=0.05).fit(proba, correct)
    display = ReadRateDisplay.from_estimator(contract, name="north")
    ax = display.ax_
    error, bound, agreed = ax.lines[:3]
    curve = contract.curve_
    assert (error.get_xdata() == curve["read_rate"]).all()
    assert (error.get_ydata() == curve["error"]).all()
    assert (bound.get_ydata() == curve["error_bound"]).all()
    assert set(agreed.get_ydata()) == {0.05}
    [point] = ax.containers
    assert point.lines[0].get_xydata().tolist() == [
        [contract.read_rate_.estimate, contract.error_bound_]
    ]
    [ends] = point.lines[2][0].get_segments()
    assert ends[:, 0] == pytest.approx(contract.read_rate_[1:])
    rate = contract.read_rate_.estimate
    assert legend(ax)[2] == "agreed: 5.00% at most"
    assert legend(ax)[3].startswith(f"north: contract: {rate:.1%} read (")


def test_a_contract_that_accepts_nothing_has_no_point():
    rng = np.random.default_rng(1)
    scores = rng.uniform(size=(300, 2))
    with pytest.warns(TallyWarning, match="nothing is accepted"):
        contract = ReadingContract(0.02).fit(scores, rng.uniform(size=(300, 2)) < 0.5)
    _, ax = plt.subplots()
    assert ReadRateDisplay.from_estimator(contract, ax=ax).ax_ is ax
    assert not ax.containers
    assert legend(ax)[-1] == "nothing is accepted"
    bare = ReadRateDisplay(contract.curve_).plot()
    assert legend(bare.ax_) == ["wrong on the checked pages", "at most, proven"]


def test_read_rate_needs_a_fitted_contract():
    with pytest.raises(TallyError, match="without curve_; fit it on checked pages"):
        ReadRateDisplay.from_estimator(ReadingContract())
