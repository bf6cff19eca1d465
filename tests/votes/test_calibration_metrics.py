"""Scores of probabilities agree with scikit-learn's, and their intervals with pages."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from sktally import TallyError
from sktally.votes import (
    calibration_difference,
    calibration_scores,
    reliability_curve,
)


def said_and_right(n_pages, seed, *, clustered=False, n_fields=4):
    """Draw probabilities, and what is right by them; pages may go wrong as a whole."""
    rng = np.random.default_rng(seed)
    proba = rng.beta(8, 2, (n_pages, 1 if clustered else n_fields))
    drawn = rng.random(proba.shape) < proba
    shape = (n_pages, n_fields)
    return np.broadcast_to(drawn, shape), np.broadcast_to(proba, shape)


def test_agree_with_scikit_learn():
    correct, proba = said_and_right(300, 0)
    found = calibration_scores(correct, proba, random_state=0).loc["all"]
    right, said = correct.ravel(), proba.ravel()
    assert found["n"] == 1200
    assert found["accuracy"] == right.mean()
    assert found["mean_proba"] == pytest.approx(said.mean())
    assert found["brier"] == pytest.approx(brier_score_loss(right, said))
    assert found["log_loss"] == pytest.approx(log_loss(right, said))
    shares, means = calibration_curve(right, said, n_bins=10, strategy="quantile")
    assert found["ece"] == pytest.approx(np.abs(shares - means).mean(), abs=2e-3)
    curve = reliability_curve(correct, proba)
    assert curve["accuracy"].to_numpy() == pytest.approx(shares, abs=0.02)
    assert curve["mean_proba"].to_numpy() == pytest.approx(means, abs=0.01)
    assert curve["n"].to_numpy() == pytest.approx(np.full(10, 120), abs=1)
    assert (curve["low"] < curve["accuracy"]).all()


def test_known_answers():
    correct, proba = [1, 1, 0, 0], [0.9, 0.9, 0.9, 0.1]
    found = calibration_scores(correct, proba, n_bins=2, random_state=0).loc["all"]
    assert found["brier"] == pytest.approx((3 * 0.01 + 0.81) / 4)
    # 0.9 is right twice in three times, 0.1 never
    assert found["ece"] == pytest.approx((3 * (0.9 - 2 / 3) + 0.1) / 4)
    assert calibration_scores([1, 0], [1, 1]).loc["all", "log_loss"] == pytest.approx(
        -np.log(1e-6) / 2, rel=1e-3
    )


def test_what_is_not_read_or_not_known_is_left_out():
    correct = [[1, np.nan], [0, 1], [1, 1]]
    proba = [[0.8, 0.1], [np.nan, 0.7], [0.6, 0.9]]
    found = calibration_scores(correct, proba, by=["a", "b"], random_state=0)
    assert found["n"].to_dict() == {"all": 4, "a": 2, "b": 2}
    assert found.loc["a", "mean_proba"] == pytest.approx(0.7)
    assert reliability_curve(correct, proba, n_bins=1)["n"].item() == 4
    other = [[0.8, 0.1], [0.9, 0.7], [0.6, np.nan]]
    pair = calibration_difference(correct, proba, other, random_state=0)
    assert pair.loc["brier", "proba"] == pytest.approx((0.04 + 0.09 + 0.16) / 3)


@pytest.mark.parametrize("clustered", [False, True])
def test_intervals_cover_under_clustering(clustered):
    """Both readers are what they say: their Brier score is E[p (1 - p)] = 0.1455."""
    inside = wide = 0
    for seed in range(70):
        correct, proba = said_and_right(150, seed, clustered=clustered)
        rng = np.random.RandomState(seed)
        how = {"n_resamples": 200, "random_state": rng}
        found = calibration_scores(correct, proba, **how).loc["all"]
        inside += found["brier_low"] <= 8 * 2 / (10 * 11) <= found["brier_high"]
        page = np.repeat(np.arange(150), 4)
        flat = calibration_scores(correct.ravel(), proba.ravel(), groups=page, **how)
        alone = calibration_scores(correct.ravel(), proba.ravel(), **how)
        widths = [
            t.loc["all", "brier_high"] - t.loc["all", "brier_low"]
            for t in (flat, alone)
        ]
        wide += widths[0] - widths[1]
    assert 0.86 <= inside / 70 <= 0.99
    assert (wide / 70 > 0.02) == clustered


def test_one_page_has_no_intervals():
    found = calibration_scores(
        [[1, 0], [1, 1]], [[0.5, 0.5], [0.9, 0.9]], by=[[1], [2]]
    )
    assert found.loc[[1, 2], ["brier_low", "ece_high"]].isna().all(axis=None)
    assert found.loc["all"].notna().all()
    pair = calibration_difference([[1, 0]], [[0.5, 0.5]], [[0.9, 0.9]])
    assert pair[["low", "high"]].isna().all(axis=None)
    assert pair.loc["brier", "difference"] == pytest.approx(0.25 - 0.41)


def test_differences_are_paired():
    correct, proba = said_and_right(200, 1, clustered=True)
    sharp = proba**0.7
    found = calibration_difference(correct, proba, sharp, random_state=0)
    assert list(found.index) == ["brier", "log_loss", "ece"]
    assert (found["difference"] == found["proba"] - found["other"]).all()
    assert (found["low"] <= found["difference"])[:2].all()
    assert (found["difference"] <= found["high"])[:2].all()
    alone = calibration_scores(correct, proba, random_state=0).loc["all"]
    assert found.loc["brier", "proba"] == alone["brier"]
    width = found.loc["brier", "high"] - found.loc["brier", "low"]
    assert width < (alone["brier_high"] - alone["brier_low"]) / 2
    same = calibration_difference(correct, proba, proba, random_state=0)
    assert (same[["difference", "low", "high"]] == 0).all(axis=None)


def test_random_state_decides():
    correct, proba = said_and_right(50, 2)
    first, again, other = (
        calibration_scores(correct, proba, random_state=seed) for seed in (0, 0, 1)
    )
    assert first.equals(again) and not first.equals(other)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: calibration_scores([1, 2], [0.5, 0.5]),
            "correct: expected 1, 0",
        ),
        (
            lambda: calibration_scores([1], [0.5, 0.5]),
            r"\(1,\), got shape \(2,\)",
        ),
        (lambda: calibration_scores([1], [1.5]), r"proba: .*\[0, 1\], got 1.5"),
        (
            lambda: calibration_scores([np.nan], [1]),
            "one count of known truth",
        ),
        (lambda: calibration_scores([1], [np.nan]), "at least one that is not NaN"),
        (lambda: calibration_scores([1], [1], by=[1, 2]), r"by: .*, got \(2,\)"),
        (lambda: calibration_scores([1], [1], by=[np.nan]), "by: .* none missing"),
        (lambda: calibration_scores([1], [1], by=[None]), "by: .* none missing"),
        (lambda: calibration_scores([1], [1], by=["all"]), "by: .* none 'all'"),
        (
            lambda: calibration_scores([1], [1], confidence_level=95),
            "confidence_level: expected a number",
        ),
        (
            lambda: calibration_scores([1], [1], n_resamples=0),
            "n_resamples: expected",
        ),
        (lambda: reliability_curve([1], [1], n_bins=0), "n_bins: expected an integer"),
        (lambda: reliability_curve([1], [1], groups=[1, 2]), r"groups: .* got"),
        (
            lambda: calibration_difference([1], [1], [-1]),
            "other: expected",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(TallyError, match=message):
        call()
