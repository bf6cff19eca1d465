"""Probabilities of boxes become true on pages that were held out."""

import numpy as np
import pytest
from sklearn.base import clone

from sktally import TallyError
from sktally.votes import DigitCalibrator, count_proba


def boxes_read(n, *, sharpness, seed, n_places=2):
    """Draw true digits from stated probabilities, and state them too sharply."""
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.full(12, 0.1), size=(n, 3, n_places))
    flat = proba.reshape(-1, 12)
    drawn = (flat.cumsum(axis=1) > rng.random((len(flat), 1))).argmax(axis=1)
    labels = drawn.reshape(proba.shape[:3])
    boxes = np.array(
        [["".join("0123456789x_"[k] for k in f) for f in page] for page in labels],
        dtype=object,
    )
    sharp = np.maximum(proba, 1e-12) ** sharpness
    return proba, sharp / sharp.sum(axis=-1, keepdims=True), boxes


def test_undoes_what_made_them_too_sharp():
    proba, sharp, boxes = boxes_read(400, sharpness=2.5, seed=0)
    calibrator = DigitCalibrator().fit(sharp, boxes)
    assert calibrator.temperature_ == pytest.approx([2.5], rel=0.1)
    assert calibrator.log_loss_[1] < 0.8 * calibrator.log_loss_[0]
    assert calibrator.n_pages_ == 400
    others, sharp, _ = boxes_read(50, sharpness=2.5, seed=1)
    assert calibrator.transform(sharp) == pytest.approx(others, abs=0.06)
    assert calibrator.transform(sharp).dtype == np.float32


def test_leaves_true_ones_as_they_are():
    proba, _, boxes = boxes_read(400, sharpness=1, seed=2)
    assert DigitCalibrator().fit(proba, boxes).temperature_ == pytest.approx(1, rel=0.1)


def test_by_place():
    _, sharp, boxes = boxes_read(400, sharpness=3, seed=3)
    proba, _, _ = boxes_read(400, sharpness=3, seed=3)
    mixed = np.stack([sharp[:, :, 0], proba[:, :, 1]], axis=2)
    calibrator = DigitCalibrator(by="place").fit(mixed, boxes)
    assert calibrator.temperature_ == pytest.approx([3, 1], rel=0.15)
    with pytest.raises(TallyError, match="expected 2 places, one for each temperature"):
        calibrator.transform(np.full((1, 3, 3, 12), 1 / 12))


def test_learns_from_counts_and_leaves_out_what_is_missing():
    proba = np.full((30, 1, 2, 12), 0.002)
    proba[:, :, 0, 10] = proba[:, :, 1, 7] = 1 - 11 * 0.002
    truth = np.full((30, 1), 7, dtype=object)  # a crossed box, then a 7
    truth[:5] = -1
    proba[5] = np.nan
    calibrator = DigitCalibrator().fit(proba, truth)
    assert calibrator.n_pages_ == 24
    assert calibrator.temperature_[0] < 1  # all were right
    assert np.isnan(calibrator.transform(proba)[5]).all()


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros((30, 1, 12)), [[1]] * 30, r"expected shape \(n_tallies, n_fields"),
        (np.full((30, 1, 1, 12), 2.0), [[1]] * 30, r"some outside \[0, 1\]"),
        (np.full((30, 1, 1, 12), 0.5), [[1]] * 30, "sum to 1 .* got a sum of 6"),
        (np.where(np.arange(12) == 3, np.nan, np.ones((30, 1, 1, 12))), None, "sum to"),
        ([[[["a"] * 12]]] * 30, [[1]] * 30, "expected an array of numbers"),
        (np.full((30, 1, 1, 12), 1 / 12), [[-1]] * 30, "at least 20 .* got 0"),
        (np.full((19, 1, 1, 12), 1 / 12), [[1]] * 19, "at least 20 .* got 19"),
        (np.full((30, 1, 1, 12), 1 / 12), [[1]] * 29, "y: expected shape"),
    ],
)
def test_what_it_cannot_learn_from(X, y, message):
    with pytest.raises(TallyError, match=message):
        DigitCalibrator().fit(X, y)


def test_parameters_are_checked_and_cloned():
    assert clone(DigitCalibrator(by="place")).by == "place"
    with pytest.raises(TallyError, match="by: expected one of 'all', 'place'"):
        DigitCalibrator(by="field").fit(np.full((30, 1, 1, 12), 1 / 12), [[1]] * 30)


def test_counts_are_as_probable_as_all_ways_to_write_them():
    rng = np.random.default_rng(4)
    proba = rng.dirichlet(np.full(12, 0.3), size=(2, 2, 2))
    proba[1, 1] = np.nan
    found = count_proba(proba, [[7, 12], [0, 3]])
    first, second = proba[0, 0]
    assert found[0, 0] == pytest.approx(first[[0, 10, 11]].sum() * second[7])
    assert found[0, 1] == pytest.approx(proba[0, 1, 0, 1] * proba[0, 1, 1, 2])
    assert np.isnan(found[1, 1])
    with pytest.raises(TallyError, match=r"counts: expected shape \(2, 2\)"):
        count_proba(proba, [[7]])


def test_few_pages_without_an_error_make_nothing_certain():
    proba = np.full((20, 1, 1, 12), 0.05 / 11)
    proba[..., 7] = 0.95
    calibrator = DigitCalibrator().fit(proba, np.full((20, 1), 7))
    assert 0.3 < calibrator.temperature_[0] < 0.9
    assert 0.95 < calibrator.transform(proba).max() < 0.9999


@pytest.mark.parametrize("counts", [[[np.nan]], [[1.7]], [[None]], [["7"]]])
def test_counts_that_are_no_whole_numbers(counts):
    proba = np.full((1, 1, 2, 12), 1 / 12)
    with pytest.raises(TallyError, match="counts: expected whole numbers, -1 for no"):
        count_proba(proba, counts)


def boxes_confused(n, *, seed, n_places=2):
    """State probabilities of a reader that takes half of the 4s for 9s."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 10, (n, 3, n_places))
    said = np.where((truth == 4) & (rng.random(truth.shape) < 0.5), 9, truth)
    proba = np.where(np.arange(12) == said[..., None], 0.89, 0.01)
    boxes = [["".join(map(str, field)) for field in page] for page in truth]
    return proba, truth, np.array(boxes, dtype=object)


@pytest.mark.parametrize("by", ["all", "place"])
def test_matrix_learns_what_a_class_is_taken_for(by):
    proba, truth, boxes = boxes_confused(400, seed=5)
    calibrator = DigitCalibrator(by=by, method="matrix").fit(proba, boxes)
    others, truth, _ = boxes_confused(300, seed=6)
    found = calibrator.transform(others)
    assert found.sum(axis=-1) == pytest.approx(1, abs=1e-5)
    said = others.argmax(axis=-1) == 9
    share = (truth[said] == 4).mean()  # a third
    assert found[said][:, 4].mean() == pytest.approx(share, abs=0.05)
    assert found[others.argmax(axis=-1) == 3][:, 3].min() > 0.95
    assert calibrator.log_loss_[1] < 0.5 * calibrator.log_loss_[0]
    assert calibrator.intercept_.shape == ({"all": 1, "place": 2}[by], 12)


def test_matrix_stays_near_the_identity_where_pages_say_little():
    proba, _, boxes = boxes_confused(20, seed=7)
    calibrator = DigitCalibrator(method="matrix").fit(proba[:, :1], boxes[:, :1])
    assert np.abs(calibrator.matrix_ - np.eye(12)).max() < 0.5
    temperature = DigitCalibrator().fit(proba[:, :1], boxes[:, :1])
    assert calibrator.temperature_ == temperature.temperature_
    assert temperature.matrix_ is temperature.intercept_ is None


def test_matrix_has_an_intercept_for_each_place():
    rng = np.random.default_rng(8)
    truth = np.stack([rng.integers(0, 2, 600), rng.integers(0, 10, 600)], axis=1)
    proba = np.full((600, 1, 2, 12), 1 / 12)  # only the place tells
    boxes = [["".join(map(str, page))] for page in truth]
    calibrator = DigitCalibrator(by="place", method="matrix").fit(proba, boxes)
    first, second = calibrator.transform(proba)[0, 0]
    assert first[:2].sum() > 0.95
    assert second[:10].min() > 0.06
    with pytest.raises(TallyError, match="expected 2 places"):
        calibrator.transform(np.full((1, 1, 3, 12), 1 / 12))


def test_method_is_checked():
    with pytest.raises(TallyError, match="method: expected one of 'temperature', 'm"):
        DigitCalibrator(method="isotonic").fit(np.full((30, 1, 1, 12), 1 / 12), [[1]])
