from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from sktally import (
    FormError,
    FormMismatchError,
    PageReadError,
    RegistrationError,
    TallyError,
    TallyForm,
    TallyWarning,
    load_form,
    register_page,
)
from sktally.datasets import make_tally_pages
from sktally.pages import _locate
from sktally.pages._bent import snap_bent
from sktally.pages._locate import locate_form
from sktally.pages._registration import apply_homography, form_quads
from sktally.pages._view import Views
from sktally.pages._which_way import break_tie

PAGES = Path("../shared/data")
CORNERS = ("top-left", "top-right", "bottom-right", "bottom-left")


def fields(n, x, y, step, box, places, frame):
    return [
        {
            "name": f"f{i}",
            "start": [x, y + i * step],
            "box": box,
            "places": places,
            "frame": frame,
        }
        for i in range(n)
    ]


def squares(places, size):
    return [
        {"name": f"s{i}", "kind": "square", "center": c, "size": [size, size]}
        for i, c in enumerate(places)
    ]


def millimetre_form(frame=0.4):
    """A4 in millimetres, L-shaped corners, fields of four digits."""
    at = dict(zip(CORNERS, [[10, 10], [200, 10], [200, 287], [10, 287]], strict=True))
    anchors = [
        {
            "name": name,
            "kind": "corner",
            "opens": name,
            "center": center,
            "size": [9, 9],
            "thickness": 1.6,
        }
        for name, center in at.items()
    ]
    return TallyForm.from_dict(
        {
            "name": "mm",
            "page": {"width": 210, "height": 297},
            "anchors": anchors,
            "fields": fields(8, 140, 50, 22, [9, 11], 4, frame),
        }
    )


def table_form():
    """Letter, landscape, tenths of an inch, located by a table and two boxes."""
    frames = [("table", [40, 45], [60, 50]), ("stamp", [93, 12], [16, 10])]
    frames.append(("sign", [92, 72], [24, 11]))
    return TallyForm.from_dict(
        {
            "name": "inch",
            "page": {"width": 110, "height": 85},
            "anchors": [
                {"name": n, "kind": "frame", "center": c, "size": s, "thickness": 0.25}
                for n, c, s in frames
            ],
            "fields": fields(5, 50, 23, 9, [4.5, 6], 3, 0.15),
        }
    )


def three_square_form(frame=3):
    return TallyForm.from_dict(
        {
            "name": "three",
            "page": {"width": 1000, "height": 1400},
            "anchors": squares([[60, 60], [940, 60], [60, 1340]], 30),
            "fields": fields(5, 600, 300, 120, [60, 80], 3, frame),
        }
    )


@pytest.fixture(scope="module")
def patch_form(tmp_path_factory):
    """Located by four patches cut from the user's own scan."""
    folder = tmp_path_factory.mktemp("patches")
    words = {"logo": "EC", "title": "TALLY SHEET", "foot": "Form 12-B", "seal": "oX"}
    places = {"logo": [12, 14], "title": [75, 14], "foot": [70, 195], "seal": [130, 40]}
    anchors = []
    for i, (name, word) in enumerate(words.items()):
        image = np.full((120, 60 + 40 * len(word)), 255, np.uint8)
        cv2.putText(image, word, (15, 90), 0, 2.2, 0, 9 + 2 * i, cv2.LINE_AA)
        if len(word) == 2:
            cv2.circle(image, (image.shape[1] // 2, 60), 52, 60, 5)
        cv2.imwrite(str(folder / f"{name}.png"), image)
        size = [image.shape[1] / 10, image.shape[0] / 10]
        anchors.append(
            {
                "name": name,
                "kind": "patch",
                "center": places[name],
                "size": size,
                "file": f"{name}.png",
            }
        )
    form = TallyForm.from_dict(
        {
            "name": "patch",
            "page": {"width": 148, "height": 210},
            "anchors": anchors,
            "fields": fields(5, 80, 60, 20, [8, 10], 3, 0.3),
        }
    )
    form.to_toml(folder / "patch.toml")
    return load_form(folder / "patch.toml")


def share_of_box(found, truth):
    """Mean distance of box corners over the mean width of a box."""
    width = np.linalg.norm(truth[..., 1, :] - truth[..., 0, :], axis=-1)
    return np.nanmean(np.linalg.norm(found - truth, axis=-1)) / np.nanmean(width)


def sheets(form, n=1, **options):
    longest = max(form.page.width, form.page.height)
    options = {"random_state": 0, "scale": 1300 / longest, "fold": 0} | options
    return make_tally_pages(n, form=form, **options)


FORMS = {
    "example": lambda: load_form("example"),
    "indonesia-2019-c1": lambda: load_form("indonesia-2019-c1"),
    "corners": millimetre_form,
    "frames": table_form,
    "three squares": three_square_form,
}


def place_patches(pages, form, homographies):
    """Print patch images where the truth says; drawn forms show none."""
    for k, (page, homography) in enumerate(zip(pages, homographies, strict=True)):
        for anchor in form.anchors:
            image = cv2.imread(str(form.beside(anchor.file)), cv2.IMREAD_GRAYSCALE)
            step = np.array(anchor.size) / image.shape[::-1]
            corner = np.array(anchor.center) - np.array(anchor.size) / 2 + step / 2
            to_form = np.diag([*step, 1.0])
            to_form[:2, 2] = corner
            drawn = cv2.warpPerspective(
                image,
                homography @ to_form,
                page.shape[::-1],
                flags=cv2.INTER_AREA,
                borderValue=255,
            )
            pages[k] = page = np.minimum(page, drawn)


class TestKnownAnswer:
    @pytest.mark.parametrize("name", FORMS)
    def test_flat_scans_are_placed_to_one_percent_of_a_box(self, name):
        data = sheets(FORMS[name](), 3, degrade="scan")
        for page, quads in zip(data.pages, data.quads, strict=True):
            found = register_page(page, data.form)
            assert found.turn == 0
            assert share_of_box(found.quads, quads) < 0.01
            assert found.quads.shape == quads.shape
            assert found.residual < 0.002 * max(
                data.form.page.width, data.form.page.height
            )

    @pytest.mark.parametrize("name", FORMS)
    def test_photos_are_placed_to_five_percent_of_a_box(self, name):
        data = sheets(FORMS[name](), 3, degrade="photo")
        for page, quads in zip(data.pages, data.quads, strict=True):
            found = register_page(page, data.form)
            assert share_of_box(found.quads, quads) < 0.05

    @pytest.mark.parametrize("turn", [0, 90, 180, 270])
    @pytest.mark.parametrize("name", FORMS)
    def test_every_turn_is_righted(self, name, turn):
        data = sheets(FORMS[name](), turn=turn, degrade="scan")
        found = register_page(data.pages[0], data.form)
        assert found.turn == turn
        assert share_of_box(found.quads, data.quads[0]) < 0.01

    def test_folded_paper_is_followed_by_the_fields(self):
        data = sheets(load_form("example"), 3, fold=0.008, degrade="scan")
        for page, quads in zip(data.pages, data.quads, strict=True):
            found = register_page(page, data.form)
            plain = apply_homography(found.homography, form_quads(data.form))
            assert share_of_box(plain, quads) > 0.02
            assert share_of_box(found.quads, quads) < 0.03

    @pytest.mark.parametrize("scale", [0.4, 1.0, 4.0])
    def test_any_resolution(self, scale):
        data = sheets(load_form("example"), scale=scale, degrade="none")
        found = register_page(data.pages[0], "example")
        assert share_of_box(found.quads, data.quads[0]) < 0.01

    def test_patches(self, patch_form):
        data = sheets(patch_form, 2, degrade="none", scribbles=False)
        place_patches(data.pages, patch_form, data.homographies)
        for page, quads in zip(data.pages, data.quads, strict=True):
            found = register_page(page, patch_form)
            assert share_of_box(found.quads, quads) < 0.01
            upside_down = register_page(page[::-1, ::-1], patch_form)
            assert upside_down.turn == 180

    def test_page_that_fills_half_of_the_picture(self):
        data = sheets(load_form("example"), degrade="none")
        page, quads = data.pages[0], data.quads[0]
        h, w = page.shape
        page = cv2.copyMakeBorder(
            page, h // 3, h // 4, w // 3, w // 4, cv2.BORDER_CONSTANT, value=90
        )
        found = register_page(page, "example")
        assert share_of_box(found.quads, quads + [w // 3, h // 3]) < 0.01

    def test_colour_and_bits_are_taken(self):
        data = sheets(load_form("example"), degrade="none")
        page = data.pages[0]
        grey = register_page(page, "example")
        colour = register_page(np.dstack([page] * 3), "example")
        bits = register_page(page > 127, "example")
        assert np.allclose(grey.quads, colour.quads, atol=0.1)
        assert np.allclose(grey.quads, bits.quads, atol=1)


class TestDamagedAnchors:
    def remove(self, page, anchor, homography, level=235):
        x, y = apply_homography(homography, np.array(anchor.center)).astype(int)
        page = page.copy()
        cv2.rectangle(page, (x - 70, y - 70), (x + 70, y + 70), level, -1)
        return page

    @pytest.mark.parametrize("lost", range(4))
    def test_one_of_four_missing(self, lost):
        data = sheets(load_form("example"), degrade="scan", perspective=0)
        anchor = data.form.anchors[lost]
        page = self.remove(data.pages[0], anchor, data.homographies[0])
        found = register_page(page, data.form)
        assert [hit.found for hit in found.anchors] == [i != lost for i in range(4)]
        assert share_of_box(found.quads, data.quads[0]) < 0.03

    def test_one_missing_on_a_photo_is_replaced_by_the_print(self):
        data = sheets(load_form("example"), degrade="none", perspective=0.03)
        anchor = data.form.anchors[3]
        page = self.remove(data.pages[0], anchor, data.homographies[0])
        found = register_page(page, data.form)
        assert not found.anchors[3].found
        assert share_of_box(found.quads, data.quads[0]) < 0.04

    def test_a_strong_mark_in_a_wrong_place_is_left_out(self):
        data = sheets(load_form("example"), degrade="none", perspective=0, skew=0)
        page = self.remove(data.pages[0], data.form.anchors[0], data.homographies[0])
        x, y = apply_homography(data.homographies[0], np.array([90.0, 75.0])).astype(
            int
        )
        cv2.rectangle(page, (x - 14, y - 14), (x + 14, y + 14), 0, -1)
        found = register_page(page, data.form)
        assert not found.anchors[0].found
        assert share_of_box(found.quads, data.quads[0]) < 0.03

    def test_scribbled_anchor(self):
        data = sheets(load_form("example"), degrade="scan", perspective=0)
        x, y = apply_homography(data.homographies[0], np.array([45.0, 45.0])).astype(
            int
        )
        page = data.pages[0].copy()
        for dy in (-9, 3, 12):
            cv2.line(page, (x - 60, y + dy), (x + 60, y + 2 * dy), 30, 4, cv2.LINE_AA)
        found = register_page(page, data.form)
        assert share_of_box(found.quads, data.quads[0]) < 0.03

    def test_two_of_four_missing(self):
        data = sheets(load_form("example"), degrade="none")
        page = data.pages[0]
        for anchor in data.form.anchors[:2]:
            page = self.remove(page, anchor, data.homographies[0])
        with pytest.raises(RegistrationError, match=r"of 4 .* form 'example'"):
            register_page(page, "example")


class TestRefusal:
    @pytest.mark.parametrize(
        "page",
        [
            np.full((1100, 850), 255, np.uint8),
            np.zeros((1100, 850), np.uint8),
            np.random.default_rng(0).integers(0, 256, (1100, 850)).astype(np.uint8),
            np.zeros((1, 1), np.uint8),
            np.full((3, 3000), 200, np.uint8),
        ],
        ids=["blank", "black", "noise", "1x1", "thin"],
    )
    def test_nothing_there(self, page):
        message = (
            r"of 4 anchors found \(best scores 0\.\d\d, 0\.\d\d, 0\.\d\d, 0\.\d\d; "
            r"needed 0\.60\)\. Is this page of form 'example'\? Try `sktally form check"
        )
        with pytest.raises(RegistrationError, match=message):
            register_page(page, "example")

    def test_anchors_without_the_print_are_another_form(self):
        form = millimetre_form()
        bare = millimetre_form(frame=0)
        page = sheets(bare, degrade="none", scribbles=False).pages[0]
        with pytest.raises(FormMismatchError, match="all anchors found, but the print"):
            register_page(page, form)

    @pytest.mark.parametrize("other", ["indonesia-2019-c1", "corners", "frames"])
    def test_pages_of_other_forms(self, other):
        page = sheets(FORMS[other](), degrade="scan").pages[0]
        with pytest.raises(RegistrationError):
            register_page(page, "example")

    @pytest.mark.parametrize("part", ["top", "bottom", "left", "right"])
    def test_half_a_page(self, part):
        page = sheets(load_form("example"), degrade="none").pages[0]
        h, w = page.shape
        halves = {
            "top": page[: h // 2],
            "bottom": page[h // 2 :],
            "left": page[:, : w // 2],
            "right": page[:, w // 2 :],
        }
        with pytest.raises(RegistrationError):
            register_page(halves[part], "example")

    def test_mirrored_page(self):
        page = sheets(load_form("indonesia-2019-c1"), degrade="none").pages[0]
        with pytest.raises(RegistrationError, match="mirrored"):
            register_page(page[:, ::-1], "indonesia-2019-c1")

    def test_small_page_is_not_taken_for_a_mirrored_one(self):
        made = sheets(load_form("indonesia-2019-c1"), degrade="none")
        small = cv2.resize(
            made.pages[0], None, fx=0.45, fy=0.45, interpolation=cv2.INTER_AREA
        )
        scan = np.full(made.pages[0].shape, 170, np.uint8)
        scan[100 : 100 + small.shape[0], 70 : 70 + small.shape[1]] = small
        found = register_page(scan, "indonesia-2019-c1")
        assert np.abs(found.quads - (made.quads[0] * 0.45 + [70, 100])).max() < 1
        with pytest.raises(RegistrationError):
            register_page(scan[:, ::-1], "indonesia-2019-c1")

    def test_boxes_outside_the_scan(self):
        form = TallyForm.from_dict(
            {
                "name": "edge",
                "page": {"width": 1000, "height": 1000},
                "anchors": squares([[60, 60], [800, 60], [60, 800]], 30),
                "fields": fields(4, 500, 200, 230, [60, 80], 3, 3),
            }
        )
        page = sheets(form, degrade="none", scribbles=False, skew=0).pages[0]
        cut = page[: int(0.92 * len(page))]
        with pytest.raises(RegistrationError, match="cut off: boxes of field 'f3'"):
            register_page(cut, form)

    def test_three_bare_anchors_seen_at_an_angle(self):
        form = three_square_form(frame=0)
        data = sheets(form, degrade="none", perspective=0)
        assert register_page(data.pages[0], form).score > 0.9
        h, w = data.pages[0].shape
        src = np.float32([[0, 0], [w, 0], [w, h], [0, h]])
        move = np.float32([[0, 0], [0, 0.03 * h], [-0.1 * w, 0], [0.06 * w, 0]])
        warp = cv2.getPerspectiveTransform(src, src + move)
        page = cv2.warpPerspective(data.pages[0], warp, (w, h), borderValue=235)
        with pytest.raises(RegistrationError, match="anchors contradict each other"):
            register_page(page, form)


class TestArguments:
    def test_page_of_a_wrong_type(self):
        with pytest.raises(PageReadError, match="expected uint8"):
            register_page(np.zeros((50, 50)), "example")

    @pytest.mark.parametrize("name", ["min_score", "min_agreement", "max_residual"])
    def test_thresholds(self, name):
        page = np.full((50, 50), 255, np.uint8)
        with pytest.raises(TallyError, match=f"{name}: expected a number"):
            register_page(page, "example", **{name: 7})

    def test_min_agreement_is_the_gate(self):
        page = sheets(load_form("example"), degrade="none").pages[0]
        score = register_page(page, "example").score
        assert 0.5 < score < 1
        needed = f"needed {score + 0.005:.2f}"  # 0.2 less, as all fields fit
        with pytest.raises(FormMismatchError, match=needed):
            register_page(page, "example", min_agreement=score + 0.205)


@pytest.mark.parametrize("number, by", [(3, 50), (4, 50)])
def test_boxes_one_off_for_a_mistyped_anchor_are_refused(number, by):
    form = load_form("example")
    anchors = list(form.anchors)[:number]
    x, y = anchors[1].center
    anchors[1] = anchors[1].model_copy(update={"center": (x + by, y)})
    form = form.model_copy(update={"anchors": tuple(anchors)})
    page = make_tally_pages(1, form="example", random_state=0).pages[0]
    with pytest.raises(FormMismatchError, match=r"one box or row off. Is each anchor"):
        register_page(page, form)


def test_symmetric_form_says_so_and_keeps_the_page_as_it_lies():
    form = millimetre_form(frame=0)
    data = sheets(form, degrade="none", scribbles=False)
    with pytest.warns(TallyWarning, match="'mm'.*look the same"):
        found = register_page(data.pages[0], form)
    assert found.turn == 0
    assert share_of_box(found.quads, data.quads[0]) < 0.01


@pytest.mark.filterwarnings("error::sktally.exceptions.TallyWarning")
def test_the_turn_whose_boxes_fit_is_taken_where_marks_fit_as_well_turned():
    made = make_tally_pages(1, form="example", random_state=0)
    page, form = Views(np.ascontiguousarray(made.pages[0][::-1, ::-1])), made.form
    right = locate_form(page, form, min_score=0.6)[0]
    assert right.turn == 180
    width, height = form.page.width, form.page.height
    half = np.array([[-1, 0, width], [0, -1, height], [0, 0, 1.0]])
    wrong = replace(right, turn=0, homography=right.homography @ half)
    for attempts in ([wrong, right], [right, wrong]):
        snapped = snap_bent(page, form, attempts[0].homography)
        best, (_, frames) = break_tie(page, form, attempts, snapped)
        assert best is right and np.nanmin(frames) > 0.6


def test_bends_are_never_invented_on_a_flat_page():
    data = sheets(load_form("indonesia-2019-c1"), 3, degrade="fax")
    for page, quads in zip(data.pages, data.quads, strict=True):
        assert share_of_box(register_page(page, data.form).quads, quads) < 0.02


@pytest.mark.real
@pytest.mark.parametrize("turn", [0, 180])
def test_real_pages_of_c1(turn):
    folder = PAGES / "indonesia-2019-c1" / "pages"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    for path in sorted(folder.glob("*.jpg")):
        page = np.rot90(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), -(turn // 90))
        found = register_page(page, "indonesia-2019-c1")
        assert found.turn == turn
        assert found.score > 0.5
        assert np.median(found.field_scores) > 0.6
        assert sum(hit.found for hit in found.anchors) >= 3


@pytest.mark.real
@pytest.mark.parametrize("form", ["indonesia-2019-c1", "example"])
def test_real_pages_of_other_forms_are_refused(form):
    others = sorted((PAGES / "nist-hsf").glob("*.png"))
    others += sorted((PAGES / "indonesia-2024" / "pages").glob("*.jpg"))[:250:50]
    if not others:
        pytest.skip(f"{PAGES} is not there")
    for path in others:
        with pytest.raises(RegistrationError):
            register_page(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), form)


def test_a_draft_without_marks_says_what_to_do():
    draft = TallyForm.from_dict(
        {
            "name": "draft",
            "page": {"width": 100, "height": 100},
            "fields": [{"name": "a", "start": [10, 10], "box": [5, 5], "places": 2}],
        }
    )
    with pytest.raises(FormError, match="neither anchors nor a reference.*form learn"):
        register_page(np.full((100, 100), 255, np.uint8), draft)


def test_refusals_carry_what_was_found_of_the_anchors():
    with pytest.raises(RegistrationError) as caught:
        register_page(np.full((1100, 850), 255, np.uint8), "example")
    hits = caught.value.anchors
    assert [hit.name for hit in hits] == [a.name for a in load_form("example").anchors]
    assert not any(hit.found for hit in hits)


def test_an_anchor_mistyped_by_more_than_a_box_shows_and_does_no_harm():
    form = load_form("example")
    anchors = list(form.anchors)
    x, y = anchors[1].center
    anchors[1] = anchors[1].model_copy(update={"center": (x - 80, y)})
    form = form.model_copy(update={"anchors": tuple(anchors)})
    made = make_tally_pages(1, form="example", random_state=0)
    found = register_page(made.pages[0], form)
    assert found.residual > 10
    assert off_by(found.quads, made.quads[0]) < 0.1


def landscape_form():
    """Ten rows at one side of a landscape page with squares at three corners."""
    return TallyForm.from_dict(
        {
            "name": "landscape",
            "page": {"width": 1754, "height": 1240},
            "anchors": squares([[70, 70], [1684, 70], [70, 1170]], 36),
            "fields": fields(10, 1200, 200, 92, [58, 72], 3, 3),
        }
    )


def off_by(found, made):
    """Return how far the worst corner of any box lies off, in box widths."""
    width = np.linalg.norm(made[..., 1, :] - made[..., 0, :], axis=-1)
    return np.nanmax(np.linalg.norm(found - made, axis=-1) / width[..., None])


@pytest.mark.parametrize("perspective", [0.03, 0.1])
@pytest.mark.parametrize("turn", [0, 90])
def test_photos_of_three_marks_at_a_slant(perspective, turn):
    made = make_tally_pages(
        4,
        form=landscape_form(),
        degrade="photo",
        perspective=perspective,
        turn=turn,
        fold=0,
        random_state=1,
    )
    for page, quads in zip(made.pages, made.quads, strict=True):
        assert off_by(register_page(page, made.form).quads, quads) < 0.15


@pytest.mark.parametrize("form", [millimetre_form, landscape_form])
def test_folded_pages_whose_fields_fit_one_by_one(form):
    made, n_found = sheets(form(), 6, fold=0.015, random_state=5), 0
    for page, quads in zip(made.pages, made.quads, strict=True):
        try:
            found = register_page(page, made.form)
        except FormMismatchError:
            continue
        n_found += 1
        assert off_by(found.quads, quads) < 0.25
    assert n_found >= 5


def test_mirrored_pages_are_refused_and_their_mirror_images_are_not():
    made = sheets(millimetre_form(), 4, fold=0.01, random_state=3)
    for page in made.pages:
        register_page(page, made.form)
        with pytest.raises(RegistrationError):
            register_page(page[:, ::-1], made.form)


@pytest.mark.parametrize("how", [{"degrade": "photo", "perspective": 0.15}, {}])
def test_residual_is_small_on_flat_paper_at_any_angle(how):
    form = load_form("example")
    three = form.model_copy(update={"anchors": form.anchors[:3]})
    made = make_tally_pages(3, form="example", random_state=4, **how)
    for page in made.pages:
        for one in (form, three):
            assert register_page(page, one).residual < 0.004 * form.page.height


def test_residual_is_larger_on_folded_paper():
    made = make_tally_pages(3, form="example", fold=0.02, random_state=4)
    for page in made.pages:
        assert register_page(page, made.form).residual > 0.004 * made.form.page.height


def test_residual_of_three_marks_and_one_field_is_not_that_of_an_exact_fit():
    form = three_square_form()
    form = form.model_copy(update={"fields": form.fields[:1]})
    made = make_tally_pages(1, form=form, perspective=0.1, random_state=3)
    found = register_page(made.pages[0], form)
    assert not found.misfits.any()
    assert 0.01 < found.residual < 0.1 * form.page.width


@pytest.mark.parametrize(
    "how",
    [{}, {"degrade": "photo"}, {"turn": 180}, {"fold": 0.02}, {"perspective": 0.08}],
)
def test_who_looks_near_first_finds_what_a_search_finds(how, monkeypatch):
    made = make_tally_pages(4, form="example", random_state=5, **how)
    near = [register_page(page, made.form) for page in made.pages]
    monkeypatch.setattr(_locate._Locator, "beyond_doubt", lambda *_: None)
    for page, one in zip(made.pages, near, strict=True):
        other = register_page(page, made.form)
        assert one.turn == other.turn
        assert one.score == pytest.approx(other.score, abs=1e-3)
        np.testing.assert_allclose(one.quads, other.quads, atol=0.1)


def beside_paper(page, width):
    """Return a page with more paper on its left: its marks lie off their places."""
    return np.pad(page, ((0, 0), (width, 0)), constant_values=255)


def test_marks_beyond_doubt_are_found_without_a_search(monkeypatch):
    plans = []
    search = _locate.search_page
    monkeypatch.setattr(
        _locate, "search_page", lambda *given: plans.append(given[-1]) or search(*given)
    )
    made = make_tally_pages(1, form="example", degrade="none", random_state=0)
    register_page(made.pages[0], made.form)
    assert plans == [_locate.NEAR]
    plans.clear()
    register_page(beside_paper(made.pages[0], 100), made.form)
    assert plans[:2] == [_locate.NEAR, _locate.PLANS[0]]


def test_marks_that_look_alike_nearby_lead_nobody_astray():
    # A square as good as the mark, nearer to where it is expected.
    made = make_tally_pages(1, form="example", degrade="none", random_state=0)
    page = beside_paper(made.pages[0], 100)
    x, y = (round(value) for value in made.form.anchors[0].center)
    page[y - 12 : y + 12, x - 12 : x + 12] = 0
    found = register_page(page, made.form)
    quads = register_page(made.pages[0], made.form).quads + np.array([100, 0])
    np.testing.assert_allclose(found.quads, quads, atol=1.0)
