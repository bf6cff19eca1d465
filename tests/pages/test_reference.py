"""Forms without anchors are found by their learnt reference, others refused."""

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sktally import load_form, make_tally_pages, read_page, register_page
from sktally.exceptions import FormError, FormMismatchError, RegistrationError
from sktally.form import TallyForm
from sktally.pages._features import (
    find_features,
    fit_homography,
    is_plausible,
    match_features,
    read_reference,
)
from sktally.pages._learn import learn_form
from sktally.pages._reference import register_by_reference
from sktally.pages._registration import apply_homography, form_quads


def without_anchors(frame=None):
    """Return the form "example" without its anchors."""
    content = load_form("example").model_dump(
        mode="json", exclude_none=True, exclude_defaults=True
    )
    del content["anchors"]
    content["name"] = "mine"
    content["reference"] = {"file": "mine.reference.safetensors"}
    for field in content["fields"]:
        field["frame"] = field["frame"] if frame is None else frame
    return TallyForm.from_dict(content)


@pytest.fixture(scope="module")
def filled():
    """Filled pages of the form without anchors."""
    return make_tally_pages(6, form=without_anchors(), random_state=1).pages


@pytest.fixture(scope="module")
def learnt(tmp_path_factory, filled):
    """Return the form with a reference learnt from filled pages, no pixels kept."""
    folder = tmp_path_factory.mktemp("learnt")
    return learn_form(without_anchors(), filled, out=folder, keep_median=False)


@pytest.fixture(scope="module")
def unframed(tmp_path_factory, filled):
    """Return the same form described without frames, verified by its median."""
    folder = tmp_path_factory.mktemp("unframed")
    return learn_form(without_anchors(frame=0), filled, out=folder, measured_on=0)


def test_register_page_hands_forms_without_enough_anchors_on(learnt, filled):
    few = learnt.model_copy(update={"anchors": load_form("example").anchors[:2]})
    for form in (learnt, few):
        assert register_page(filled[0], form).method == "reference"
    with pytest.raises(RegistrationError, match="1.00 needed for each"):
        register_page(filled[0], learnt, min_score=1)


@pytest.mark.parametrize(
    ("degrade", "turn"), [("scan", 0), ("photo", 180), ("photo", 90), ("mixed", 270)]
)
def test_other_pages_are_found_any_way_up(learnt, degrade, turn):
    made = make_tally_pages(3, form=learnt, degrade=degrade, turn=turn, random_state=2)
    for page, truth in zip(made.pages, made.quads, strict=True):
        found = register_by_reference(page, learnt)
        assert found.method == "reference"
        assert found.turn == turn
        assert found.anchors == ()
        assert np.isnan(found.residual)
        assert 0.6 <= found.score <= 1
        assert found.field_scores.min() == pytest.approx(found.score)
        error = np.linalg.norm(found.quads - truth, axis=-1)
        assert np.median(error) < 2
        assert error.max() < 8  # a crease through a field
        plain = apply_homography(found.homography, form_quads(learnt))
        assert np.linalg.norm(plain - truth, axis=-1).max() < 30


def test_page_cropped_inside_its_edges(learnt):
    made = make_tally_pages(1, form=learnt, random_state=4)
    page, truth = made.pages[0][180:960, 90:800], made.quads[0] - [90, 180]
    found = register_by_reference(np.ascontiguousarray(page), learnt)
    assert np.linalg.norm(found.quads - truth, axis=-1).max() < 4


def test_small_blurred_photo(learnt):
    made = make_tally_pages(1, form=learnt, random_state=4)
    small = cv2.resize(made.pages[0], None, fx=0.4, fy=0.4, interpolation=3)
    small = cv2.GaussianBlur(small, (0, 0), 0.8)
    found = register_by_reference(small, learnt)
    truth = (made.quads[0] + 0.5) * 0.4 - 0.5
    assert np.linalg.norm(found.quads - truth, axis=-1).max() < 3


def test_same_page_same_answer(learnt, filled):
    one, two = (register_by_reference(filled[3], learnt) for _ in range(2))
    np.testing.assert_array_equal(one.quads, two.quads)


def test_half_a_page_names_the_missing_fields(learnt):
    page = make_tally_pages(1, form=learnt, random_state=5).pages[0][:560]
    with pytest.raises(RegistrationError, match="not all fields|are not there") as info:
        register_by_reference(page, learnt)
    assert "total" in str(info.value)
    assert "0.60 needed" in str(info.value)
    assert "sktally form check" in str(info.value)


@pytest.mark.parametrize("name", ["indonesia-2024", "mirror", "noise"])
@pytest.mark.parametrize("kind", ["learnt", "unframed"])
def test_other_pages_are_refused(request, kind, name):
    form = request.getfixturevalue(kind)
    if name == "mirror":
        page = make_tally_pages(1, form=form, random_state=6).pages[0]
        page = np.ascontiguousarray(page[:, ::-1])
    elif name == "noise":
        rng = np.random.default_rng(0)
        page = rng.integers(0, 255, (900, 700)).astype(np.uint8)
    else:
        page = make_tally_pages(1, form=name, random_state=6).pages[0]
    with pytest.raises(FormMismatchError, match="page of another form"):
        register_by_reference(page, form)


@pytest.mark.parametrize("shape", [(900, 700), (1, 1), (20, 4000), (40, 40)])
def test_blank_and_odd_pages_are_refused(learnt, shape):
    with pytest.raises(RegistrationError, match="hardly any print.* 0 features found"):
        register_by_reference(np.full(shape, 240, np.uint8), learnt)


def test_form_without_frames(unframed):
    made = make_tally_pages(2, form=without_anchors(), turn=180, random_state=2)
    for page, truth in zip(made.pages, made.quads, strict=True):
        found = register_by_reference(page, unframed)
        assert found.turn == 180
        assert np.isnan(found.field_scores).all()
        assert np.linalg.norm(found.quads - truth, axis=-1).max() < 12


def test_half_a_page_without_frames(unframed):
    page = make_tally_pages(1, form=without_anchors(), random_state=5).pages[0][:560]
    with pytest.raises(RegistrationError, match="likeness to the reference 0.0"):
        register_by_reference(page, unframed)


def test_without_frames_or_median_nothing_can_be_verified(tmp_path, filled):
    form = without_anchors(frame=0)
    learnt = learn_form(form, filled, out=tmp_path, keep_median=False, measured_on=0)
    with pytest.raises(FormError, match="no field has a printed `frame`.*form learn"):
        register_by_reference(filled[0], learnt)


def test_score_can_be_asked_for(learnt, filled):
    with pytest.raises(RegistrationError, match="0.99 needed for each"):
        register_by_reference(filled[0], learnt, min_score=0.99)


def test_missing_reference():
    with pytest.raises(FormError, match="has no \\[reference\\].*form learn"):
        read_reference(load_form("example"))


def test_missing_file():
    with pytest.raises(FormError, match="cannot be read .*No such file.*form learn"):
        read_reference(without_anchors())


def spoil(form, tmp_path, tensors, meta=None):
    """Write a reference file of such content and return a form that names it."""
    form.to_toml(tmp_path / "f.toml")
    path = tmp_path / form.reference.file
    if isinstance(tensors, bytes):
        path.write_bytes(tensors)
    else:
        save_file(tensors, path, meta)
    return TallyForm.from_toml(tmp_path / "f.toml")


def test_damaged_file(tmp_path):
    form = spoil(without_anchors(), tmp_path, b"PK\x03\x04 not safetensors")
    with pytest.raises(FormError, match="not a reference file, or damaged"):
        read_reference(form)


def test_other_format(tmp_path):
    form = spoil(without_anchors(), tmp_path, {"points": np.zeros((5, 2), np.float32)})
    with pytest.raises(FormError, match="format none, expected 1"):
        read_reference(form)


@pytest.mark.parametrize(
    "tensors",
    [
        {"points": np.zeros((9, 2), np.float32)},
        {"descriptors": np.zeros((8, 128), np.uint8)},
        {"descriptors": np.zeros((9, 128), np.float32)},
        {"points": np.full((9, 2), np.nan, np.float32)},
        {"points": np.zeros((9, 3), np.float32)},
        {"median": np.zeros((9, 9), np.float32)},
    ],
    ids=["none", "lengths", "type", "nan", "rank", "median"],
)
def test_wrong_tensors(tmp_path, tensors):
    good = {
        "points": np.zeros((9, 2), np.float32),
        "descriptors": np.zeros((9, 128), np.uint8),
    }
    if set(tensors) == {"points"} and tensors["points"].shape == (9, 2):
        good = good if np.isnan(tensors["points"]).any() else {}
    meta = {"sktally.reference": '{"format": "1", "n_pages": "3"}'}
    form = spoil(without_anchors(), tmp_path, good | tensors, meta)
    with pytest.raises(FormError, match=r"expected points float32\[n, 2\].*got"):
        read_reference(form)


def test_reference_is_read_once_and_again_when_changed(tmp_path, filled):
    learnt = learn_form(without_anchors(), filled[:3], out=tmp_path, measured_on=0)
    one = read_reference(learnt)
    assert read_reference(learnt) is one
    learn_form(without_anchors(), filled, out=tmp_path, measured_on=0)
    assert read_reference(learnt).n_pages == 6


def test_features_are_in_page_pixels():
    rng = np.random.default_rng(0)
    page = np.full((900, 600), 235, np.uint8)
    for x, y in rng.integers(40, 540, (40, 2)):
        cv2.rectangle(page, (int(x), int(y)), (int(x) + 14, int(y) + 9), 30, -1)
    points, descriptors = find_features(page)
    turned, _ = find_features(np.ascontiguousarray(page[::-1, ::-1]))
    assert descriptors.shape == (len(points), 128)
    back = np.array([599, 899]) - turned
    away = np.linalg.norm(points[:, None] - back, axis=2).min(axis=1)
    assert np.median(away) < 0.6


def test_match_and_fit_known_homography():
    rng = np.random.default_rng(0)
    descriptors = rng.integers(0, 255, (60, 128)).astype(np.uint8)
    order = rng.permutation(60)
    pairs = match_features(descriptors, descriptors[order])
    np.testing.assert_array_equal(order[pairs[:, 1]], pairs[:, 0])
    true = np.array([[0.9, 0.1, 20], [-0.1, 1.1, 5], [1e-4, 0, 1]])
    source = rng.uniform(0, 500, (60, 2))
    target = apply_homography(true, source)
    target[:15] += rng.uniform(50, 90, (15, 2))
    matrix, agree = fit_homography(source, target)
    assert not agree[:15].any()
    assert agree[15:].all()
    np.testing.assert_allclose(
        apply_homography(matrix, source[15:]), target[15:], atol=1
    )


def test_too_few_matches():
    none, agree = fit_homography(np.zeros((3, 2)), np.zeros((3, 2)))
    assert none is None
    assert agree.shape == (3,)
    assert match_features(np.empty((0, 128)), np.ones((4, 128))).shape == (0, 2)


@pytest.mark.parametrize(
    ("matrix", "plausible"),
    [
        (np.eye(3), True),
        (np.diag([-1.0, -1.0, 1.0]), True),
        (np.array([[0, -1, 900], [1, 0, 0], [0, 0, 1.0]]), True),
        (np.diag([-1.0, 1.0, 1.0]), False),
        (np.diag([1.0, 4.0, 1.0]), False),
        (np.array([[1, 0, 0], [0, 1, 0], [0, -2e-3, 1.0]]), False),
        (np.array([[1, 0, 0], [0, 1, 0], [5e-3, 0, 1.0]]), False),
    ],
    ids=["straight", "turned", "quarter", "mirror", "stretched", "behind", "steep"],
)
def test_plausible_homographies(matrix, plausible):
    assert is_plausible(matrix, 850, 1100) is plausible


def test_shipped_form_holds_no_pixels():
    form = load_form("indonesia-2024")
    tensors = load_file(form.reference_path)
    assert set(tensors) == {"points", "descriptors"}
    assert form.reference_path.stat().st_size < 300_000
    assert read_reference(form).n_pages >= 100


@pytest.mark.real
@pytest.mark.parametrize(("number", "turn"), [(207, 180), (126, 0), (128, 0), (242, 0)])
def test_real_pages_are_found(real_data, number, turn):
    form = load_form("indonesia-2024")
    page = read_page(real_data / "indonesia-2024" / "pages" / f"TPS_{number:03d}.jpg")
    found = register_by_reference(page, form)
    assert found.turn == turn
    assert found.score > 0.6


@pytest.mark.real
@pytest.mark.parametrize("number", [1, 7])
def test_real_page_of_another_form_is_refused(real_data, number):
    form = load_form("indonesia-2024")
    page = read_page(real_data / "indonesia-2019-c1" / "pages" / f"test{number}.jpg")
    with pytest.raises(FormMismatchError, match="page of another form"):
        register_by_reference(page, form)
