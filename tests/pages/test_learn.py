"""A form is learnt from filled pages: what is print recurs, what is ink does not."""

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file

from sktally import load_form, make_tally_pages
from sktally.exceptions import (
    FormError,
    PageReadError,
    RegistrationError,
    TallyError,
    TallyWarning,
)
from sktally.form import TallyForm
from sktally.pages._learn import align_pages, learn_form
from sktally.pages._recur import median_page, recurring_features
from sktally.pages._reference import register_by_reference
from sktally.pages._registration import apply_homography


@pytest.fixture(scope="module")
def made():
    """Filled pages of the form "example" with their truth."""
    return make_tally_pages(5, form="example", random_state=1)


def test_writes_form_and_reference(tmp_path, made):
    learnt = learn_form("example", made.pages, out=tmp_path / "own.toml")
    assert learnt == TallyForm.from_toml(tmp_path / "own.toml")
    assert learnt.reference_path == tmp_path / "example.reference.safetensors"
    assert {p.name for p in tmp_path.iterdir()} == {
        "own.toml",
        "example.reference.safetensors",
    }
    tensors = load_file(learnt.reference_path)
    assert tensors["points"].dtype == np.float32
    assert tensors["descriptors"].dtype == np.uint8
    assert len(tensors["points"]) == len(tensors["descriptors"]) > 200
    height, width = tensors["median"].shape
    assert (height, width) == (800, round(800 * 850 / 1100))
    other = make_tally_pages(1, form="example", degrade="photo", random_state=7)
    found = register_by_reference(other.pages[0], learnt)
    assert np.linalg.norm(found.quads - other.quads[0], axis=-1).max() < 6


def test_paths_and_keeping_no_median(tmp_path, made):
    paths = []
    for i, page in enumerate(made.pages):
        paths.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(paths[-1]), page)
    before = {p: p.read_bytes() for p in paths}
    out = tmp_path / "out"
    out.mkdir()
    learnt = learn_form("example", paths, out=out, keep_median=False)
    assert set(load_file(learnt.reference_path)) == {"points", "descriptors"}
    assert {p: p.read_bytes() for p in paths} == before
    assert len(list(tmp_path.iterdir())) == 6


def test_existing_form_file_keeps_its_text(tmp_path, made):
    source = load_form("example").to_toml()
    path = tmp_path / "f.toml"
    path.write_text("# measured by hand\n" + source)
    first = learn_form(path, made.pages[:3], out=path)
    text = path.read_text()
    assert text.startswith("# measured by hand\n")
    assert text.endswith('[reference]\nfile = "example.reference.safetensors"\n')
    assert learn_form(path, made.pages[:3], out=path) == first
    assert path.read_text() == text


def test_features_and_median_are_print_not_ink(made):
    form = made.form
    reference = recurring_features(made.pages, made.homographies, form)
    assert reference.n_pages == 5
    boxes = form.box_array().reshape(-1, 4)
    inner = boxes + np.array([8, 8, -16, -16])
    x, y = reference.points.T
    inside = np.zeros(len(x), bool)
    for bx, by, bw, bh in inner:
        inside |= (x > bx) & (x < bx + bw) & (y > by) & (y < by + bh)
    assert inside.mean() < 0.1
    median = median_page(made.pages, made.homographies, form)
    scale = median.shape[0] / form.page.height
    levels = []
    for bx, by, bw, bh in inner * scale:
        levels.append(median[int(by) : int(by + bh), int(bx) : int(bx + bw)].mean())
    assert min(levels) > 180
    assert np.median(median) == pytest.approx(200, abs=6)


def test_alignment_is_right(made):
    aligned, _ = align_pages(made.pages, made.form, seed=0, start=made.homographies[0])
    assert sorted(aligned) == [0, 1, 2, 3, 4]
    corners = np.array([[100, 100], [750, 100], [750, 1000], [100, 1000.0]])
    for i, matrix in aligned.items():
        truth = apply_homography(made.homographies[i], corners)
        assert np.linalg.norm(apply_homography(matrix, corners) - truth).max() < 8


@pytest.mark.parametrize("share", [0.5, 0.7, 0.8])
def test_page_cut_off_through_its_boxes_is_refused(tmp_path, made, share):
    learnt = learn_form("example", made.pages, out=tmp_path)
    found = register_by_reference(made.pages[0], learnt)
    last = found.quads.reshape(-1, 4, 2)[found.quads[..., 1].mean(axis=-1).argmax()]
    top, bottom = np.sort(last[:, 1])[[0, -1]]
    page = made.pages[0][: int(top + share * (bottom - top))]
    with pytest.raises(RegistrationError, match="cut off|not all fields"):
        register_by_reference(np.ascontiguousarray(page), learnt)


def test_page_on_which_boxes_were_measured_is_found(tmp_path, made):
    turned = [np.ascontiguousarray(page[::-1, ::-1]) for page in made.pages]
    pages = [turned[0], turned[1], made.pages[2], turned[3]]
    learnt = learn_form("example", pages, out=tmp_path)
    found = register_by_reference(turned[4], learnt)
    assert found.turn == 180


def test_pages_that_do_not_align_are_named(tmp_path, made):
    strange = make_tally_pages(1, form="indonesia-2024", random_state=0).pages[0]
    with pytest.warns(TallyWarning, match="1 of 5 pages does not align.*: page 2$"):
        learn_form("example", [made.pages[0], strange, *made.pages[1:4]], out=tmp_path)


def test_too_few_align(tmp_path, made):
    strange = make_tally_pages(2, form="indonesia-2024", random_state=0).pages
    with pytest.raises(RegistrationError, match="only 2 of 4 .*page 3, page"):
        learn_form("example", [*made.pages[:2], *strange], out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_too_few_pages(tmp_path, made):
    with pytest.raises(TallyError, match="at least 3 filled pages .* got 2"):
        learn_form("example", made.pages[:2], out=tmp_path)


def test_boxes_that_fit_nowhere(tmp_path):
    other = make_tally_pages(3, form="indonesia-2024", random_state=0).pages
    with pytest.raises(RegistrationError, match="do not fit the frames .* any page"):
        learn_form("example", other, out=tmp_path)
    with pytest.raises(RegistrationError, match="frames printed on page 2 .*0.60"):
        learn_form("example", other, out=tmp_path, measured_on=1)


def test_measured_on_out_of_range(tmp_path, made):
    with pytest.raises(TallyError, match=r"measured_on: .* in \[0, 4\], got 5"):
        learn_form("example", made.pages, out=tmp_path, measured_on=5)


def test_every_unreadable_page_is_named(tmp_path, made):
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    pages = [tmp_path / "torn.jpg", *made.pages[:3], tmp_path / "gone.png"]
    with pytest.raises(PageReadError, match="2 of 5 pages cannot be read") as info:
        learn_form("example", pages, out=tmp_path)
    assert "torn.jpg" in str(info.value)
    assert "gone.png" in str(info.value)
    with pytest.raises(PageReadError, match="page 2: .*float64"):
        learn_form("example", [made.pages[0], np.ones((9, 9))], out=tmp_path)


@pytest.mark.parametrize("out", ["missing/f.toml", "form.json", "example"])
def test_out_is_no_form_file(tmp_path, made, out):
    with pytest.raises(TallyError, match="out: expected a .toml file in an existing"):
        learn_form("example", made.pages, out=tmp_path / out)


def test_out_is_another_form(tmp_path, made):
    path = tmp_path / "other.toml"
    load_form("indonesia-2019-c1").to_toml(path)
    with pytest.raises(TallyError, match="describes another form than 'example'"):
        learn_form("example", made.pages, out=path)


def test_reference_name_with_a_folder(tmp_path, made):
    content = load_form("example").model_dump(mode="json", exclude_none=True)
    content["reference"] = {"file": "sub/r.safetensors"}
    for field in content["fields"]:
        del field["boxes"]
    form = TallyForm.from_dict(content)
    with pytest.raises(FormError, match="should be a bare file name"):
        learn_form(form, made.pages, out=tmp_path)


def test_out_names_another_reference(tmp_path, made):
    path = tmp_path / "f.toml"
    learn_form("example", made.pages[:3], out=path)
    form = TallyForm.from_toml(path).model_copy(
        update={"reference": type(TallyForm.from_toml(path).reference)(file="b")}
    )
    with pytest.raises(TallyError, match="names the reference .* make them agree"):
        learn_form(form, made.pages[:3], out=path)
