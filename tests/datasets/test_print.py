import cv2
import numpy as np
import pytest

from sktally.datasets._print import fill_rectangle, print_form
from sktally.form import TallyForm


def small_form(**parts):
    page = {"width": 100, "height": 80}
    anchors = [
        {"name": "square", "kind": "square", "center": [10, 10], "size": [8, 4]},
        {
            "name": "corner",
            "kind": "corner",
            "opens": "bottom-right",
            "center": [90, 70],
            "size": [20, 10],
            "thickness": 2,
        },
        {
            "name": "frame",
            "kind": "frame",
            "center": [80, 20],
            "size": [20, 10],
            "thickness": 2,
        },
    ]
    fields = [
        {"name": "a", "start": [40, 40], "box": [10, 12], "places": 2, "frame": 2}
    ]
    content = {"name": "s", "page": page, "anchors": anchors, "fields": fields, **parts}
    content.setdefault("printed", [{"kind": "text", "at": [5, 75, 4], "text": "."}])
    return TallyForm.from_dict(content)


def test_rectangles_cover_pixels_in_part():
    canvas = np.zeros((4, 5), np.uint8)
    fill_rectangle(canvas, 1.5, 1, 2, 1.5)
    assert canvas[1].tolist() == [0, 128, 255, 128, 0]
    assert canvas[2].tolist() == [0, 64, 128, 64, 0]
    fill_rectangle(canvas, -9, -9, 3, 3)  # outside: nothing
    assert canvas.sum() == 511 + 256


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.0])
def test_anchors_and_frames_lie_where_the_form_says(scale):
    canvas = print_form(small_form(), scale)
    assert canvas.shape == (80 * scale, 100 * scale) and canvas.dtype == np.uint8

    def darkness(x, y, w, h):
        x0, y0, x1, y1 = (round(v * scale) for v in (x, y, x + w, y + h))
        return canvas[y0:y1, x0:x1].astype(float)

    assert darkness(6, 8, 8, 4).min() == 255
    assert darkness(0, 0, 100, 6).max() == 0
    assert darkness(70, 68, 20, 2).min() == 255  # arms inside the outer vertex
    assert darkness(88, 60, 2, 10).min() == 255
    assert darkness(70, 60, 16, 6).max() == 0
    assert darkness(69, 14, 22, 2).min() == 255  # centred on the outline
    assert darkness(72, 17, 16, 6).max() == 0
    assert darkness(39, 39, 22, 2).min() == 255
    assert darkness(49, 41, 2, 10).min() == 255  # shared line
    assert darkness(41.2, 41.2, 7, 9).max() == 0


@pytest.mark.parametrize("opens", ["top-left", "top-right", "bottom-left"])
def test_corners_open_inwards(opens):
    corner = {"kind": "corner", "size": [20, 16], "thickness": 4, "opens": opens}
    anchors = [
        {**corner, "name": str(i), "center": [50, 40]}
        if i == 0
        else {"name": str(i), "kind": "square", "center": [2, 30 * i], "size": [1, 1]}
        for i in range(3)
    ]
    fields = [{"name": "a", "start": [2, 60], "box": [5, 8], "places": 1}]
    canvas = print_form(small_form(anchors=anchors, fields=fields), 1.0)[20:60, 20:80]
    ys, xs = np.nonzero(canvas)
    x0, x1 = (30, 50) if "left" in opens else (10, 30)
    y0, y1 = (20, 36) if "top" in opens else (4, 20)
    assert (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1) == (x0, x1, y0, y1)
    assert (canvas > 0).sum() == 20 * 4 + 16 * 4 - 16


def test_marks_of_every_kind():
    kinds = {
        "line": [10, 60, 30, 60],
        "rect": [10, 60, 20, 10],
        "fill": [10, 60, 20, 10],
        "circle": [20, 65, 6],
        "text": [10, 70, 8],
    }
    blank = print_form(small_form(), 2.0)
    for kind, at in kinds.items():
        dot = {"kind": "text", "at": [5, 75, 4], "text": "."}
        mark = {"kind": kind, "at": at, "text": "Ab\u00e9", "thickness": 1.5}
        added = print_form(small_form(printed=[dot, mark]), 2.0) > blank
        ys, xs = np.nonzero(added)
        assert len(xs) > 20, kind
        assert 16 <= xs.min() and xs.max() <= 66 and 112 <= ys.min() <= ys.max() <= 146


def test_text_has_its_cap_height():
    page = {"width": 400, "height": 80}
    mark = {"kind": "text", "at": [120, 70, 40], "text": "H"}
    canvas = print_form(small_form(page=page, printed=[mark]), 1.0)
    rows = np.flatnonzero(canvas[:, 118:200].max(axis=1) > 128)
    assert len(rows) == pytest.approx(40, abs=3)


def test_labels_where_no_text_is_printed():
    fields = [
        {"name": "a", "label": "Party", "start": [70, 40], "box": [10, 12], "places": 2}
    ]
    bare = print_form(small_form(fields=fields), 2.0)
    labelled = print_form(small_form(fields=fields, printed=[]), 2.0)
    assert (labelled[80:110, :138] > 60).sum() > 30
    assert (bare[80:110, :138] > 60).sum() == 0


def test_guide_dots():
    dotted = {"name": "a", "start": [40, 40], "box": [10, 12], "places": 2}
    plain = print_form(small_form(fields=[dotted]), 4.0)
    canvas = print_form(small_form(fields=[{**dotted, "guide_dots": True}]), 4.0)
    assert (canvas > plain).sum() > 50
    assert canvas[160:208, 160:240].max() < 160


def test_patch_anchor_shows_its_picture(tmp_path):
    picture = np.full((20, 30), 255, np.uint8)
    picture[5:15, 10:20] = 0
    cv2.imwrite(str(tmp_path / "mark.png"), picture)
    form = small_form()
    patch = {"name": "p", "kind": "patch", "center": [20, 60], "size": [15, 10]}
    patch["file"] = "mark.png"
    content = form.model_dump(mode="json", exclude_none=True)
    content["anchors"].append(patch)
    TallyForm.from_dict(content).to_toml(tmp_path / "form.toml")
    read = TallyForm.from_toml(tmp_path / "form.toml")
    canvas = print_form(read, 2.0)
    assert canvas[118:122, 38:42].min() > 250  # centre of the dark square
    assert canvas[112:128, 26:32].max() < 60
    (tmp_path / "mark.png").unlink()
    assert print_form(read, 2.0)[112:128, 26:54].max() == 0
