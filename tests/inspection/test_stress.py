"""Changes of a stated amount against scipy and NumPy; curves with known answers."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import ndimage
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.svm import LinearSVC

from sktally import (
    TallyError,
    load_model,
    load_reader,
    make_digit_cells,
    make_tally_pages,
)
from sktally.inspection import StressDisplay, stress_curves
from sktally.inspection._changes import CHANGES, changed

matplotlib.use("Agg")


def strokes(n=6, side=21, seed=0):
    """Return bright shapes on 0 of which most pixels are background."""
    rng = np.random.default_rng(seed)
    X = np.zeros((n, side, side), np.float32)
    X[:, 7:14, 8:11] = rng.random((n, 7, 3)) + 0.5
    X[:, 7:9, 8:15] = 1
    return X


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_rotation_is_counter_clockwise(turns):
    X = strokes()
    found = changed(X, "rotation", 90 * turns, 0)
    np.testing.assert_allclose(found, np.rot90(X, turns, axes=(1, 2)), atol=1e-4)
    wide = strokes()[:, 5:16]  # pixels stay square in cells that are not
    found = changed(wide, "rotation", 180, 0)
    np.testing.assert_allclose(found, wide[:, ::-1, ::-1], atol=1e-4)


def test_rotation_by_any_angle_is_that_of_scipy():
    X = strokes()
    found = changed(X, "rotation", 25, 0)
    other = ndimage.rotate(X, 25, axes=(2, 1), reshape=False, order=1)
    if np.abs(found - other).max() > 0.01:  # scipy's sign depends on its axes
        other = ndimage.rotate(X, 25, axes=(1, 2), reshape=False, order=1)
    np.testing.assert_allclose(found, other, atol=0.01)


def test_shift_is_one_of_the_four_ways():
    X = strokes(40)
    found = changed(X, "shift", 3, 5)
    ways = set()
    for before, after in zip(X, found):
        for axis in (0, 1):
            for way in (-3, 3):
                if np.allclose(np.roll(before, way, axis), after, atol=1e-4):
                    ways.add((axis, way))
                    break
            else:
                continue
            break
        else:
            pytest.fail("no shift by 3 pixels")
    assert len(ways) == 4


def test_contrast_goes_to_the_background_that_stays():
    X = (200 - 180 * strokes().clip(0, 1)).astype(np.uint8)
    found = changed(X, "contrast", 0.5, 0)
    assert found.dtype == np.uint8
    wanted = 200 + (X.astype(float) - 200) * 0.5
    assert np.abs(found - wanted).max() <= 1
    assert (changed(X, "contrast", 0, 0) == 200).all()


def test_light_takes_its_share_of_paper_at_the_darkest():
    X = np.full((30, 28, 28), 200, np.uint8)
    X[:, 10:18, 12:15] = 0
    found = changed(X, "light", 0.5, 1)
    paper = found[:, :8].astype(float)
    assert abs(paper.min() - 100) < 3 and paper.max() == 200
    assert (found[:, 11:17, 13] <= 2).all()  # the darkest ink has nothing to lose


def test_blur_and_noise_are_of_the_amount_that_is_said():
    X = np.zeros((1, 41, 41), np.float32)
    X[0, 20, 20] = 1
    found = changed(X, "blur", 2, 0)[0]
    place = np.arange(41) - 20
    assert found.sum() == pytest.approx(1, abs=1e-4)
    assert (found.sum(axis=0) * place**2).sum() == pytest.approx(4, rel=0.02)
    flat = np.full((20, 30, 30), 100, np.uint8)
    flat[:, :9] = 160
    noisy = changed(flat, "noise", 0.3, 0).astype(float) - flat
    assert noisy[:, 12:].std() == pytest.approx(0.3 * flat.std(), rel=0.25)


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("kind", ["float", "uint8", "colour"])
def test_changes_keep_shape_kind_and_range_and_repeat(name, kind):
    X = strokes()
    if kind != "float":
        X = (255 - 200 * X.clip(0, 1)).astype(np.uint8)
    if kind == "colour":
        X = np.repeat(X[..., None], 3, axis=3)
    before = X.copy()
    amounts = CHANGES[name].amounts
    for amount in (amounts[0], amounts[-1]):
        found = changed(X, name, amount, 3)
        assert found.shape == X.shape and found.dtype == X.dtype
        assert found.min() >= (0 if kind != "float" else X.min())
        np.testing.assert_array_equal(found, changed(X, name, amount, 3))
    assert not np.array_equal(found, X)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(changed(X, name, amounts[0], 3), X)


class ReadsTop(ClassifierMixin, BaseEstimator):
    """Says "up" where the upper half has more ink, and is 0.9 sure of everything."""

    classes_ = np.array(["down", "up"])
    is_fitted_ = True

    def predict_proba(self, X):
        half = X.shape[1] // 2
        up = X[:, :half].sum(axis=(1, 2)) > X[:, half:].sum(axis=(1, 2))
        return np.where(up[:, None], [0.1, 0.9], [0.9, 0.1])


def arrows():
    X = np.zeros((8, 20, 20), np.float32)
    X[:, 3:8, 8:12] = 1
    X[:4] = X[:4, ::-1]
    return X, ["down"] * 4 + ["up"] * 4


def test_curves_of_a_classifier_that_is_sure_and_wrong():
    X, y = arrows()
    curves = stress_curves(ReadsTop(), X, y, changes={"rotation": [0, 180]})
    assert curves["accuracy"].tolist() == [1, 0]
    np.testing.assert_allclose(curves["confidence"], 0.9)
    assert curves["n"].tolist() == [8, 8] and curves["read"].tolist() == [1, 1]
    assert (curves["accuracy_lower"] <= curves["accuracy"]).all()
    assert curves["unit"].iloc[0] == "degrees, counter-clockwise"


def test_the_bundled_model_is_sure_of_digits_that_lie():
    made = make_digit_cells(40, classes="0123456789", random_state=3)
    model = load_model("default")
    curves = stress_curves(
        model, made.images, made.target, changes={"rotation": [0, 90], "blur": 4}
    )
    assert curves["accuracy"].iloc[0] == model.score(made.images, made.target)
    assert curves["accuracy"].iloc[1] < 0.5 < curves["confidence"].iloc[1]


def test_a_reader_and_its_pages():
    made = make_tally_pages(2, scale=0.7, random_state=0)
    reader = load_reader("example")
    curves = stress_curves(
        reader, made.pages, made.counts, changes={"rotation": [0, 40]}
    )
    assert curves["n"].tolist() == [made.counts.size] * 2
    assert curves["accuracy"].iloc[0] == reader.score(made.pages, made.counts)
    assert curves["read"].tolist() == [1, 0]
    assert np.isnan(curves["confidence"].iloc[1])
    shown = StressDisplay.from_estimator(
        reader, made.pages[:1], made.boxes[:1], changes={"rotation": [0]}
    )
    assert shown.curves["accuracy"].iloc[0] == (
        reader.score(made.pages[:1], made.counts[:1])
    )
    with pytest.raises(TallyError, match="y: expected counts or boxes of 2 pages"):
        stress_curves(reader, made.pages, made.counts[:1])


def test_the_display_draws_a_panel_for_each_change():
    X, y = arrows()
    shown = StressDisplay.from_estimator(ReadsTop(), X, y, random_state=1)
    assert [ax.get_xlabel().split(" (")[0] for ax in shown.axes_] == list(CHANGES)
    lines = {line.get_label(): line for line in shown.axes_[0].lines}
    rotation = shown.curves[shown.curves["change"] == "rotation"]
    np.testing.assert_allclose(lines["accuracy"].get_ydata(), rotation["accuracy"])
    assert shown.readings["rotation"][0] == "down  0.90"
    assert len(shown.images["rotation"]) == len(rotation)
    axes = Figure().subplots(1, 6)
    assert shown.plot(axes=axes).axes_.tolist() == axes.tolist()
    shown.figure_.canvas.draw()
    with pytest.raises(TallyError, match="axes: expected 6, one for each .* got 1"):
        shown.plot(axes=axes[:1])
    table = StressDisplay(shown.curves).plot()
    assert len(table.axes_) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("tilt", r"changes: expected names among rotation, .*got \['tilt'\]"),
        ({}, r"changes: expected names among"),
        ({"blur": [-1]}, r"changes\['blur'\]: expected numbers in \[0, 1000\] \(sd in"),
        ({"light": 2}, r"changes\['light'\]: .*got 2"),
        ({"noise": ["much"]}, r"changes\['noise'\]: "),
        ({"noise": [np.nan]}, r"changes\['noise'\]: "),
        ({"noise": []}, r"changes\['noise'\]: "),
    ],
)
def test_bad_changes_are_said(changes, message):
    with pytest.raises(TallyError, match=message):
        stress_curves(ReadsTop(), *arrows(), changes=changes)


def test_bad_input_is_said():
    X, y = arrows()
    with pytest.raises(TallyError, match="X: expected cells .*got float32 .8, 400"):
        stress_curves(ReadsTop(), X.reshape(8, -1), y)
    with pytest.raises(TallyError, match=r"y: expected 8 labels, .*got shape \(3,\)"):
        stress_curves(ReadsTop(), X, y[:3])
    X = X.copy()
    X[0] = np.nan
    with pytest.raises(TallyError, match="X: expected finite pixels, got NaN"):
        stress_curves(ReadsTop(), X, y)
    with pytest.raises(TallyError, match="predict_proba, got LinearSVC"):
        stress_curves(LinearSVC(), X, y)
