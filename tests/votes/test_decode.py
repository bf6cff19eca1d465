"""Box strings, labels and counts."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktally.exceptions import TallyError
from sktally.votes import (
    CLASSES,
    boxes_to_counts,
    counts_to_label_sets,
    labels_to_boxes,
    labels_to_counts,
)
from sktally.votes._decode import string_to_labels

RULES = ("missing", "zero", "shift")


@pytest.mark.parametrize(
    ("boxes", "missing", "zero", "shift", "status"),
    [
        ("x23", 23, 23, 23, "ok"),
        ("_32", 32, 32, 32, "ok"),
        ("023", 23, 23, 23, "ok"),
        ("x_7", 7, 7, 7, "ok"),
        ("000", 0, 0, 0, "ok"),
        ("xxx", 0, 0, 0, "ok"),
        ("__x", 0, 0, 0, "ok"),
        ("x2x", 20, 20, 20, "ambiguous"),
        ("0x7", 7, 7, 7, "ambiguous"),
        ("32_", -1, 320, 32, "ambiguous"),
        ("3__", -1, 300, 3, "ambiguous"),
        ("_3_", -1, 30, 3, "ambiguous"),
        ("3_2", -1, 302, -1, "ambiguous"),
        ("3x_", -1, 300, 30, "ambiguous"),
        ("___", 0, 0, 0, "ambiguous"),
        ("xx_", 0, 0, 0, "ambiguous"),
        ("7", 7, 7, 7, "ok"),
        ("_", 0, 0, 0, "ambiguous"),
        ("123456789012", 123456789012, 123456789012, 123456789012, "ok"),
        ("", -1, -1, -1, "unread"),
        (None, -1, -1, -1, "unread"),
    ],
)
def test_value_and_status_of_box_strings(boxes, missing, zero, shift, status):
    for rule, expected in zip(RULES, (missing, zero, shift), strict=True):
        counts, got = boxes_to_counts([boxes], blank_right=rule)
        assert counts.dtype == np.int64
        assert (counts[0], got[0]) == (expected, status), rule


def test_any_shape_is_kept():
    counts, status = boxes_to_counts([["x23", "1"], ["", "99"]])
    assert counts.tolist() == [[23, 1], [-1, 99]]
    assert status.shape == (2, 2)
    assert boxes_to_counts("0x")[0].shape == ()
    assert boxes_to_counts([])[0].shape == (0,)


def test_a_hole_between_boxes_is_unread():
    counts, status = labels_to_counts([[3, -1, 2], [-1, 3, 2], [3, 2, -1]])
    assert counts.tolist() == [-1, 32, -1]
    assert status.tolist() == ["unread", "ok", "unread"]


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.data())))
def test_written_counts_come_back(case):
    n_places, data = case
    count = data.draw(st.integers(0, 10**n_places - 1))
    text = str(count).zfill(n_places)
    zeros = len(text) - len(str(count))
    fillers = data.draw(st.text("x_", min_size=zeros, max_size=zeros))
    for written in (text, fillers + str(count)):
        for rule in RULES:
            counts, status = boxes_to_counts([written], blank_right=rule)
            assert (counts[0], status[0]) == (count, "ok")


@given(st.lists(st.text("0123456789x_", max_size=12), min_size=1, max_size=6))
def test_labels_and_boxes_are_inverse(strings):
    width = max(1, *(len(text) for text in strings), 1)
    labels = np.full((len(strings), width), -1)
    for row, text in zip(labels, strings, strict=True):
        row[width - len(text) :] = string_to_labels(text)
    assert labels_to_boxes(labels).tolist() == strings
    for rule in RULES:
        counts, status = labels_to_counts(labels, blank_right=rule)
        same, same_status = boxes_to_counts(strings, blank_right=rule)
        assert (counts == same).all() and (status == same_status).all()


@given(st.text("0123456789x_", min_size=1, max_size=12))
def test_rules_differ_only_where_a_blank_follows_a_digit(text):
    counts = {rule: boxes_to_counts(text, blank_right=rule)[0] for rule in RULES}
    assert counts["zero"] == int(text.replace("x", "0").replace("_", "0"))
    digits = text.lstrip("x_")
    if "_" not in digits:
        assert len(set(map(int, counts.values()))) == 1
    else:
        assert counts["missing"] == -1
        assert boxes_to_counts(text)[1] == "ambiguous"
        assert counts["shift"] in (
            -1,
            counts["zero"] // 10 ** (len(digits) - len(digits.rstrip("_"))),
        )


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(st.just(n), st.integers(0, 10**n - 1))
    )
)
def test_label_sets_hold_exactly_the_strings_of_that_count(case):
    n_places, count = case
    sets = counts_to_label_sets([count], n_places)
    assert sets.shape == (1, n_places, 12)
    for place, allowed in enumerate(sets[0]):
        digit = count // 10 ** (n_places - 1 - place) % 10
        leading = count < 10 ** (n_places - 1 - place)
        expected = [0, 10, 11] if leading else [digit]
        assert np.flatnonzero(allowed).tolist() == expected
    widest = "".join(CLASSES[np.flatnonzero(row)[-1]] for row in sets[0])
    assert boxes_to_counts(widest)[0] == count


def test_labels_to_boxes_leaves_out_absent_places():
    assert labels_to_boxes([[[10, 2], [-1, 7]]]).tolist() == [["x2", "7"]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: boxes_to_counts(["1?3"]), r"expected one of '0123456789x_'.*'\?' in"),
        (
            lambda: boxes_to_counts(["X12"]),
            "'X' in 'X12'; only a lower-case 'x' is",
        ),
        (lambda: boxes_to_counts([12]), "expected box strings such as 'x23', got 12"),
        (lambda: boxes_to_counts(["1"], blank_right="no"), "blank_right: expected one"),
        (lambda: labels_to_counts(np.ones((1, 19))), "at most 18 places, got 19"),
        (lambda: counts_to_label_sets([1000], 3), r"0 to 999 \(3 boxes\), got 1000"),
        (lambda: counts_to_label_sets([-1], 3), "got -1; drop missing counts before"),
    ],
)
def test_errors(call, message):
    with pytest.raises(TallyError, match=message):
        call()


@pytest.mark.real
@pytest.mark.parametrize("folder", ["indonesia-2024", "indonesia-2019-c1"])
def test_box_strings_of_real_pages_are_their_values(real_data, folder):
    # the synthetic twin is test_written_counts_come_back
    table = pd.read_csv(real_data / folder / "fields.csv", dtype={"boxes": str})
    counts, status = boxes_to_counts(table["boxes"].to_numpy(object))
    assert (counts == table["value"]).all() and (status == "ok").all()
