from dataclasses import replace

import cv2
import numpy as np
import pytest

from sktally import FormError, TallyForm
from sktally.pages._anchors import _correlate, find_marks, match_mark, match_marks
from sktally.pages._fit import (
    fit_marks,
    guess_affine,
    guess_at_once,
    is_plausible,
    jacobian,
)
from sktally.pages._marks import draw_mark, form_marks
from sktally.pages._print import PageEvidence, draw_print
from sktally.pages._registration import apply_homography
from sktally.pages._residual import fit_residual, joint_residual
from sktally.pages._view import Views, reduce_page, shrink_image

SQUARE = {"kind": "square", "size": [20, 20]}
CORNER = {"kind": "corner", "size": [30, 24], "thickness": 6, "opens": "bottom-left"}
FRAME = {"kind": "frame", "size": [80, 60], "thickness": 3}


def one_mark_form(**anchor):
    anchors = [
        {"name": f"{i}", "center": [50 + 40 * i, 60 + 10 * i**2]} | anchor
        for i in range(3)
    ]
    field = {"name": "a", "start": [100, 100], "box": [30, 40], "places": 3, "frame": 2}
    return TallyForm.from_dict(
        {
            "name": "one",
            "page": {"width": 200, "height": 200},
            "anchors": anchors,
            "fields": [field],
        }
    )


def paint(mark, matrix, shape=(220, 260), level=30, fine=6):
    """Draw a mark on paper: look up every sub-pixel on the form."""
    y, x = np.indices((shape[0] * fine, shape[1] * fine), np.float32)
    page_xy = (np.stack([x, y], axis=-1) + 0.5) / fine - 0.5
    u, v = np.moveaxis(
        apply_homography(np.linalg.inv(matrix), page_xy) - np.array(mark.xy), -1, 0
    )
    ink = np.zeros(u.shape, np.float32)
    for x1, y1, x2, y2 in mark.rectangles:
        ink[(u > x1) & (u < x2) & (v > y1) & (v < y2)] = 1
    ink = cv2.resize(ink, shape[::-1], interpolation=cv2.INTER_AREA)
    return np.uint8(240 - (240 - level) * ink)


MARKS = {
    "square": lambda: form_marks(one_mark_form(**SQUARE))[0],
    "corner": lambda: form_marks(one_mark_form(**CORNER))[0],
    "frame": lambda: form_marks(one_mark_form(**FRAME))[2],
}


class TestMarks:
    def test_a_frame_is_its_four_corners(self):
        marks = form_marks(one_mark_form(**FRAME))
        assert [mark.anchor for mark in marks] == [0] * 4 + [1] * 4 + [2] * 4
        assert [mark.xy for mark in marks[:4]] == [
            (10, 30),
            (90, 30),
            (90, 90),
            (10, 90),
        ]

    @pytest.mark.parametrize(
        ("opens", "sign"),
        [
            ("top-left", (1, 1)),
            ("top-right", (-1, 1)),
            ("bottom-right", (-1, -1)),
            ("bottom-left", (1, -1)),
        ],
    )
    def test_arms_of_a_corner_run_from_its_vertex(self, opens, sign):
        mark = form_marks(one_mark_form(**(CORNER | {"opens": opens})))[0]
        boxes = np.array(mark.rectangles)
        ends = np.array([boxes[:, [0, 2]], boxes[:, [1, 3]]])  # axis, arm, end
        for axis, length in enumerate((30, 24)):
            far = ends[axis].max() if sign[axis] > 0 else ends[axis].min()
            assert far == sign[axis] * length
            assert 0 in ends[axis]

    def test_area_of_a_drawn_mark_is_exact(self):
        mark = MARKS["square"]()
        drawn = draw_mark(mark, (0.37, 0.37), 14.0)
        ink, weight, at = drawn.ink, drawn.weight, drawn.at
        assert ink.sum() == pytest.approx((20 * 0.37) ** 2, rel=1e-5)
        assert weight.all()
        centre = np.array(
            [np.average(np.indices(ink.shape)[k], weights=ink) for k in (1, 0)]
        )
        assert np.allclose(centre, at, atol=1e-4)

    @pytest.mark.parametrize("content", [None, b"", b"no picture"])
    def test_patch_that_is_no_picture(self, tmp_path, content):
        anchor = {"kind": "patch", "size": [20, 20], "file": "p.png"}
        one_mark_form(**anchor).to_toml(tmp_path / "form.toml")
        if content is not None:
            (tmp_path / "p.png").write_bytes(content)
        form = TallyForm.from_toml(tmp_path / "form.toml")
        message = "cannot read .*p.png" if content is None else "is not a picture"
        with pytest.raises(FormError, match=f"form 'one', anchor '0': .*{message}"):
            form_marks(form)

    def test_blank_patch_is_refused(self, tmp_path):
        cv2.imwrite(str(tmp_path / "p.png"), np.full((40, 40), 255, np.uint8))
        anchor = {"kind": "patch", "size": [20, 20], "file": "p.png"}
        one_mark_form(**anchor).to_toml(tmp_path / "form.toml")
        with pytest.raises(FormError, match="something printed"):
            form_marks(TallyForm.from_toml(tmp_path / "form.toml"))


class TestMatching:
    @pytest.mark.parametrize("kind", MARKS)
    @pytest.mark.parametrize("shift", [(0.0, 0.0), (0.5, 0.25), (-0.3, 0.4)])
    def test_found_to_a_tenth_of_a_pixel(self, kind, shift):
        mark = MARKS[kind]()
        matrix = np.array([[1.2, 0, 7 + shift[0]], [0, 1.2, 5 + shift[1]], [0, 0, 1]])
        truth = apply_homography(matrix, np.array(mark.xy))
        xy, score = match_mark(
            paint(mark, matrix),
            mark,
            xy=truth + [3, -4],
            jacobian=matrix[:2, :2],
            scale=1.2,
            radius=6,
        )
        assert np.abs(xy - truth).max() < 0.1
        assert score > 0.97

    @pytest.mark.parametrize("kind", MARKS)
    def test_found_on_a_skew_and_stretched_page(self, kind):
        mark = MARKS[kind]()
        turn = np.radians(12)
        linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        linear = 1.2 * linear @ np.diag([1, 0.9])
        matrix = np.eye(3)
        matrix[:2, :2], matrix[:2, 2] = linear, [40, -10]
        truth = apply_homography(matrix, np.array(mark.xy))
        xy, score = match_mark(
            paint(mark, matrix),
            mark,
            xy=truth + 2,
            jacobian=linear,
            scale=1.1,
            radius=6,
        )
        assert np.abs(xy - truth).max() < 0.1
        assert score > 0.95

    def test_slope_of_something_further_off_is_no_match(self):
        mark = MARKS["square"]()
        page = paint(mark, np.eye(3))
        _, score = match_mark(
            page,
            mark,
            xy=np.array(mark.xy) + [12, 0],
            jacobian=np.eye(2),
            scale=1.0,
            radius=6,
        )
        assert score == 0

    def test_several_are_matched_as_each_alone(self):
        marks = [MARKS[kind]() for kind in ("square", "corner", "square")]
        page = np.random.default_rng(0).integers(0, 256, (220, 260), np.uint8)
        page = np.minimum(page, paint(marks[0], np.eye(3)))
        xy = np.array([mark.xy for mark in marks]) + [[1, 2], [2, -1], [-3, 0]]
        turns = np.array([[[1, 0.1 * i], [-0.1 * i, 1]] for i in range(3)])
        places, scores = match_marks(
            page, marks, xy=xy, jacobians=turns, scales=[1.0, 1.0, 1.0], radius=6
        )
        for i, mark in enumerate(marks):
            alone = match_mark(
                page, mark, xy=xy[i], jacobian=turns[i], scale=1.0, radius=6
            )
            assert np.allclose(places[i], alone[0], atol=1e-3)
            assert scores[i] == pytest.approx(alone[1], abs=1e-4)

    @pytest.mark.parametrize("size", [[20, 20], [31, 14]])
    def test_product_of_bars_is_the_correlation_with_a_rectangle(self, size):
        mark = form_marks(one_mark_form(**(SQUARE | {"size": size})))[0]
        drawn = draw_mark(mark, (0.7, 0.7), 14.0)
        image = np.random.default_rng(0).normal(200, 30, (70, 90)).astype(np.float32)
        plain = replace(drawn, profile=None)
        assert np.allclose(
            _correlate(image[None], drawn), _correlate(image[None], plain), atol=1e-4
        )

    def test_candidates_come_best_first_and_apart(self):
        mark = MARKS["square"]()
        page = paint(mark, np.eye(3))
        cv2.rectangle(page, (150, 60), (168, 78), 120, -1)
        page[70, 150:168] = 240
        ((xy, scores),) = find_marks(
            page.astype(np.float32),
            draw_mark(mark, (1, 1), 14.0),
            windows=[(0, 0, 259, 219)],
            count=4,
        )
        assert (np.diff(scores) <= 0).all()
        assert np.abs(xy[0] - mark.xy).max() < 0.05
        assert np.abs(xy[1] - [159, 69]).max() < 3
        assert np.linalg.norm(xy[0] - xy[1:], axis=1).min() > 10

    def test_mark_at_the_edge_of_the_scan(self):
        mark = MARKS["square"]()
        page = paint(mark, np.eye(3))[49:]  # its upper edge is the first row
        ((xy, scores),) = find_marks(
            page.astype(np.float32),
            draw_mark(mark, (1, 1), 14.0),
            windows=[(0, 0, 259, 100)],
            count=1,
        )
        assert np.abs(xy[0] - [50, 11]).max() < 0.2
        assert scores[0] > 0.9

    def test_grain_is_no_mark(self):
        rng = np.random.default_rng(0)
        page = rng.normal(240, 3, (200, 200)).astype(np.float32)
        drawn = draw_mark(MARKS["square"](), (0.4, 0.4), 14.0)
        ((_, scores),) = find_marks(page, drawn, windows=[(0, 0, 199, 199)], count=3)
        assert scores.max(initial=0) < 0.35

    def test_empty_window(self):
        drawn = draw_mark(MARKS["square"](), (1, 1), 14.0)
        page = np.zeros((50, 50), np.float32)
        ((xy, scores),) = find_marks(page, drawn, windows=[(60, 0, 80, 49)], count=3)
        assert xy.shape == (0, 2) and scores.shape == (0,)

    def test_windows_searched_together_answer_as_each_alone(self):
        mark = MARKS["square"]()
        page = paint(mark, np.eye(3)).astype(np.float32)
        drawn = draw_mark(mark, (1, 1), 14.0)
        # Two of one size, one off the page, one cut by its edge.
        windows = [
            (20, 30, 80, 90),
            (90, 60, 150, 120),
            (900, 0, 950, 9),
            (-9, 0, 70, 70),
        ]
        together = find_marks(page, drawn, windows=windows, count=2)
        for window, (xy, scores) in zip(windows, together, strict=True):
            ((xy1, scores1),) = find_marks(page, drawn, windows=[window], count=2)
            assert np.allclose(xy, xy1, atol=1e-3)
            assert np.allclose(scores, scores1, atol=1e-4)
        assert [len(scores) > 0 for _, scores in together] == [True, False, False, True]


FORM_XY = np.array([[0, 0], [100, 0], [100, 150], [0, 150], [50, 75], [20, 120]], float)
TRUTH = np.array([[2, 0.1, 30], [-0.1, 2.1, 40], [1e-4, 2e-4, 1]])


class TestFit:
    def test_three_marks_give_the_affine_map(self):
        affine = np.array([[2, 0.1, 30], [-0.1, 2.1, 40], [0, 0, 1.0]])
        form_xy = FORM_XY[:3]
        ((found, used),) = fit_marks(
            form_xy, apply_homography(affine, form_xy), tolerance=1
        )
        assert np.allclose(found, affine)
        assert used.all()

    @pytest.mark.parametrize("n", [4, 5, 6])
    def test_more_give_the_projective_map(self, n):
        form_xy = FORM_XY[:n]
        found, used = fit_marks(
            form_xy, apply_homography(TRUTH, form_xy), tolerance=1e3
        )[0]
        assert np.allclose(found, TRUTH, atol=1e-5)
        assert used.all()

    def test_an_outlier_among_six_is_left_out(self):
        page_xy = apply_homography(TRUTH, FORM_XY)
        page_xy[3] += [25, -10]
        found, used = fit_marks(FORM_XY, page_xy, tolerance=2)[0]
        assert used.tolist() == [True, True, True, False, True, True]
        assert np.allclose(
            apply_homography(found, FORM_XY[3]) - page_xy[3], [-25, 10], atol=0.1
        )

    def test_four_that_disagree_are_also_tried_without_each(self):
        page_xy = apply_homography(TRUTH, FORM_XY[:4])
        fits = fit_marks(FORM_XY[:4], page_xy, tolerance=0.1)
        assert [used.sum() for _, used in fits] == [4, 3, 3, 3, 3]

    @pytest.mark.parametrize("n", [0, 2])
    def test_too_few(self, n):
        assert fit_marks(FORM_XY[:n], FORM_XY[:n], tolerance=1) == []

    def test_marks_on_a_line_determine_nothing(self):
        line = np.array([[0, 0], [1, 1], [2, 2]], float)
        assert fit_marks(line, line, tolerance=1) == []

    def test_residual_in_form_units(self):
        page_xy = 2 * FORM_XY[:3]
        assert fit_residual(FORM_XY[:3], page_xy, np.diag([2.0, 2, 1])) < 1e-9
        noisy = 2 * (FORM_XY + np.array([[1, 0]] * 6))
        assert fit_residual(FORM_XY, noisy, np.diag([2.0, 2, 1])) == pytest.approx(1)

    @pytest.mark.parametrize("n", [3, 4])
    def test_residual_of_an_exact_fit_is_not_nothing(self, n):
        form_xy = FORM_XY[:n]
        page_xy = form_xy.copy()
        page_xy[2] += [4, 0]
        matrix = fit_marks(form_xy, page_xy, tolerance=np.inf)[0][0]
        assert np.allclose(apply_homography(matrix, form_xy), page_xy, atol=1e-6)
        assert 0.3 < fit_residual(form_xy, page_xy, matrix) < 2.5

    def test_jacobian_is_the_derivative(self):
        point, step = np.array([30.0, 40.0]), 1e-5
        numeric = [
            (apply_homography(TRUTH, point + d) - apply_homography(TRUTH, point)) / step
            for d in np.eye(2) * step
        ]
        assert np.allclose(jacobian(TRUTH, point), np.array(numeric).T, atol=1e-4)

    @pytest.mark.parametrize(
        ("matrix", "plausible"),
        [
            (np.eye(3), True),
            (TRUTH, True),
            (np.diag([-1.0, 1, 1]), False),
            (np.array([[1, 0, 0], [0, 1, 0], [0.02, 0, 1]]), False),
            (np.array([[1, 0, 0], [0, 1, 0], [-0.02, 0, 1]]), False),
            (np.full((3, 3), np.nan), False),
        ],
        ids=["same", "photo", "mirror", "too oblique", "beyond horizon", "nan"],
    )
    def test_what_a_camera_can_see(self, matrix, plausible):
        assert is_plausible(matrix, 100, 150) is plausible


class TestGuess:
    def candidates(self, wrong, rng):
        right = 3 * FORM_XY[:4] + [10, 20]
        found = []
        for xy in right:
            others = rng.uniform(0, 450, (wrong, 2))
            found.append((np.vstack([others, xy]), np.full(wrong + 1, 0.8)))
        return right, found

    def guess(self, found, **options):
        options = {
            "expected": np.diag([3.0, 3, 1]),
            "tolerance": 10,
            "limits": (0.7, 1.4, 1.3, 15),
            "count": 2,
        } | options
        return guess_affine(FORM_XY[:4], found, **options)

    def test_the_consistent_combination_wins(self):
        right, found = self.candidates(3, np.random.default_rng(0))
        best = self.guess(found)[0]
        assert best.chosen.tolist() == [3, 3, 3, 3]
        assert np.allclose(apply_homography(best.matrix, FORM_XY[:4]), right)
        assert best.support == pytest.approx(3.2)

    def test_mirrored_and_oversized_maps_are_not_considered(self):
        one = np.full(1, 0.9)
        mirrored = [((xy * [-1, 1])[None], one) for xy in 3 * FORM_XY[:4]]
        assert self.guess(mirrored) == []
        large = [((2 * xy)[None], one) for xy in 3 * FORM_XY[:4]]
        assert self.guess(large) == []

    def test_best_candidates_that_agree_need_no_other(self):
        right, found = self.candidates(0, np.random.default_rng(0))
        options = {"expected": np.diag([3.0, 3, 1]), "tolerance": 10}
        options["limits"] = (0.7, 1.4, 1.3, 15)
        guess = guess_at_once(FORM_XY[:4], found, **options)
        assert np.allclose(apply_homography(guess.matrix, FORM_XY[:4]), right)
        assert guess.support == pytest.approx(3.2)
        found[2][0][0] += [30, 0]
        assert guess_at_once(FORM_XY[:4], found, **options) is None
        assert guess_at_once(FORM_XY[:3], found[:3], **options) is None
        mirrored = [(xy * [-1, 1], scores) for xy, scores in found]
        assert guess_at_once(FORM_XY[:4], mirrored, **options) is None

    def test_nothing_found(self):
        nothing = [(np.empty((0, 2)), np.empty(0))] * 4
        assert self.guess(nothing) == []


def draw_form(form, scale):
    size = (form.page.width, form.page.height)
    return draw_print(size, form.fields, form.printed, scale)


class TestPrint:
    def test_agreement_knows_the_place(self):
        form = one_mark_form(**SQUARE)
        page = np.uint8(255 - 255 * draw_form(form, 3.0))
        matrix = np.array([[3, 0, -0.5], [0, 3, -0.5], [0, 0, 1.0]])
        evidence = PageEvidence(page, form)
        assert evidence.agreement(matrix) > 0.9
        aside = matrix + [[0, 0, 40], [0, 0, 50], [0, 0, 0]]
        assert evidence.agreement(aside) < 0.3
        blank = PageEvidence(np.full_like(page, 240), form)
        assert blank.agreement(matrix) == pytest.approx(0, abs=0.01)

    def test_form_without_print(self):
        form = one_mark_form(**SQUARE)
        bare = form.model_dump() | {"name": "bare"}
        for field in bare["fields"]:
            field["frame"] = 0.0
            field["boxes"] = ((10, 10, 20, 20),)
            for key in ("start", "box", "pitch", "places"):
                field[key] = None
        bare = TallyForm.from_dict(bare)
        page = np.full((200, 200), 255, np.uint8)
        assert PageEvidence(page, bare).agreement(np.eye(3)) is None

    @pytest.mark.parametrize(
        ("mark", "inside", "outside"),
        [
            ({"kind": "line", "at": [10, 20, 60, 20], "thickness": 2}, 20, 26),
            ({"kind": "rect", "at": [10, 20, 50, 40], "thickness": 2}, 20, 30),
            ({"kind": "fill", "at": [10, 10, 60, 20]}, 20, 36),
            ({"kind": "circle", "at": [30, 40, 20]}, 20, 40),
        ],
    )
    def test_what_is_drawn(self, mark, inside, outside):
        form = one_mark_form(**SQUARE).model_dump() | {"printed": [mark]}
        drawn = draw_form(TallyForm.from_dict(form), 2.0)
        assert drawn.shape == (400, 400)
        assert drawn[2 * inside, 60] > 0.5
        assert drawn[2 * outside, 60] == 0


def test_reduced_pages_keep_the_way_back():
    page = np.full((1203, 901), 255, np.uint8)
    page[600:640, 300:340] = 0
    view = reduce_page(page, 300)
    assert view.image.shape == (300, 225)
    y, x = np.nonzero(view.image < 128)
    centre = apply_homography(view.to_page, np.array([x.mean(), y.mean()]))
    assert np.allclose(centre, [319.5, 619.5])
    assert reduce_page(page, 2000).image is page


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 6, 7])
def test_images_shrink_to_the_means_of_blocks(factor):
    image = np.random.default_rng(0).integers(0, 256, (64, 47), np.uint8)
    small = shrink_image(image, factor)
    height, width = 64 // factor, 47 // factor
    blocks = image[: height * factor, : width * factor]
    means = blocks.reshape(height, factor, width, factor).mean(axis=(1, 3))
    assert small.dtype == np.uint8
    assert np.abs(small - means).max() <= 1  # halving twice rounds twice


def test_views_are_made_once_and_halved_at_most_so_far():
    views = Views(np.zeros((120, 90), np.uint8))
    assert views.reduced(60) is views.halved(2.9)
    assert views.halved(1.9).image is views.page
    assert views.halved(4.0).image.shape == (30, 22)


@pytest.mark.parametrize("tilt", [0.0, 1e-4, 2e-4])
def test_joint_residual_is_that_of_the_best_map(tilt):
    rng = np.random.default_rng(0)
    form_xy = rng.uniform(0, [1700, 2200], (15, 2))
    matrix = np.array([[0.5, 0.01, 3], [-0.01, 0.5, 5], [tilt, -tilt / 2, 1]])
    exact = apply_homography(matrix, form_xy)
    assert joint_residual(form_xy, exact) < 1e-6
    noisy = exact + rng.normal(0, 0.7, exact.shape)
    best, _ = cv2.findHomography(form_xy, noisy, 0)
    off = apply_homography(np.linalg.inv(best), noisy) - form_xy
    known = np.sqrt((off**2).sum(axis=1).mean())
    assert joint_residual(form_xy, noisy) == pytest.approx(known, rel=0.05)


def test_joint_residual_of_points_on_a_line_is_not_known():
    line = np.arange(6.0)[:, None] * [10, 20]
    assert np.isnan(joint_residual(line, line))
