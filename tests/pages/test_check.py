"""What `check_form` says of each page."""

import re

import cv2
import numpy as np
import pytest

from sktally import load_form, make_tally_pages
from sktally.pages import check_form


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("scans") / "scan.png"
    cv2.imwrite(str(path), make_tally_pages(1, random_state=0).pages[0])
    return path


def moved(form, field, by):
    """Return a form in which the boxes of one field stand elsewhere."""
    fields = [
        f.model_copy(update={"start": (f.start[0] + by, f.start[1])})
        if f.name == field
        else f
        for f in form.fields
    ]
    return form.model_copy(update={"fields": tuple(fields)})


def test_fields_whose_frames_are_missed_are_named(scan, tmp_path):
    form = load_form("example")
    said = re.compile(r"; frames fit least in '(\w+)', (0\.\d\d)( \(a misfit\))?$")
    right = check_form(form, [scan], tmp_path)[0].line
    assert float(said.search(right)[2]) > 0.7 and not said.search(right)[3]
    half_off = check_form(moved(form, "02", -25), [scan], tmp_path)[0].line
    assert said.search(half_off)[1] == "02"
    assert float(said.search(half_off)[2]) < 0.6 and said.search(half_off)[3]
    one_off = check_form(moved(form, "02", 50), [scan], tmp_path)[0].line
    assert "frames of field '02' fit better -50, +0 form units" in one_off


def test_forms_without_frames_say_nothing_of_them(scan, tmp_path):
    form = load_form("example")
    bare = [f.model_copy(update={"frame": 0.0}) for f in form.fields]
    form = form.model_copy(update={"fields": tuple(bare)})
    assert "frames fit" not in check_form(form, [scan], tmp_path)[0].line


def test_nobody_is_sent_where_they_are(tmp_path):
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.full((1100, 850), 255, np.uint8))
    line = check_form("example", [blank], tmp_path / "out")[0].line
    assert line.endswith("Is this page of form 'example'? Look at its picture")
