import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktally.datasets._counts import (
    count_of_boxes,
    draw_counts,
    sum_order,
    write_boxes,
)
from sktally.form import TallyForm, load_form


def form_with(sums, places=(3, 3, 3, 3)):
    fields = [
        {"name": name, "start": [0, 10 * i], "box": [5, 8], "places": n}
        for i, (name, n) in enumerate(zip("abcd", places, strict=True))
    ]
    anchors = [
        {
            "name": str(i),
            "kind": "square",
            "center": [i * 10, 1 + i % 2],
            "size": [1, 1],
        }
        for i in range(3)
    ]
    page = {"width": 100, "height": 100}
    return TallyForm.from_dict(
        {"name": "f", "page": page, "anchors": anchors, "fields": fields, "sums": sums}
    )


def test_totals_of_totals_come_last():
    form = form_with({"d": ["c", "b"], "c": ["a", "b"]})
    assert sum_order(form) == ["c", "d"]


def test_sums_hold_when_asked():
    form, rng = load_form("example"), np.random.default_rng(0)
    for _ in range(200):
        a, b, c, valid, invalid, total = draw_counts(form, rng, 1.0)
        assert a + b + c == valid and valid + invalid == total <= 999
        assert invalid <= valid or valid < 10


def test_slips_come_as_often_as_asked():
    form, rng = load_form("example"), np.random.default_rng(0)
    wrong = []
    for _ in range(600):
        a, b, c, valid, invalid, total = draw_counts(form, rng, 0.8)
        wrong += [a + b + c != valid, valid + invalid != total]
    assert np.mean(wrong) == pytest.approx(0.2, abs=0.04)


def test_counts_vary_and_use_all_places():
    form, rng = load_form("example"), np.random.default_rng(0)
    counts = np.array([draw_counts(form, rng, 0.9) for _ in range(300)])
    assert (counts[:, 5] > 99).mean() > 0.5
    assert len(np.unique(counts[:, 0])) > 100
    assert (counts[:, 4] < 100).mean() > 0.8


@pytest.mark.parametrize("sums", [{}, {"a": ["b"], "b": ["c"]}, {"d": ["a", "b", "c"]}])
@pytest.mark.parametrize("places", [(1, 1, 1, 1), (4, 3, 2, 1), (12, 12, 12, 12)])
def test_counts_fit_their_boxes(sums, places):
    form, rng = form_with(sums, places), np.random.default_rng(0)
    for hold in (0.0, 1.0):
        for _ in range(30):
            counts = draw_counts(form, rng, hold)
            assert counts.dtype == np.int64
            assert (counts >= 0).all()
            assert all(len(str(c)) <= n for c, n in zip(counts, places, strict=True))


@pytest.mark.parametrize("sums", [{}, {"d": ["a", "b", "c"]}])
def test_no_count_is_larger_than_the_form_says(sums):
    form = form_with(sums)
    fields = [f.model_copy(update={"largest": 40}) for f in form.fields]
    form = form.model_copy(update={"fields": tuple(fields)})
    rng = np.random.default_rng(0)
    counts = np.array([draw_counts(form, rng, 0.5) for _ in range(200)])
    assert 30 < counts.max() <= 40


def test_short_fields_do_not_shrink_the_others():
    form, rng = form_with({"d": ["a", "b"]}, (4, 3, 1, 4)), np.random.default_rng(0)
    a, _, c, d = np.array([draw_counts(form, rng, 1) for _ in range(200)]).T
    assert np.median(d) > 1500 and np.median(a) > 600
    assert set(c) == set(range(9))


@given(
    count=st.integers(0, 9999),
    extra=st.integers(0, 3),
    habit=st.sampled_from("0x_"),
    seed=st.integers(0, 99),
)
def test_boxes_say_the_count(count, extra, habit, seed):
    n_places = len(str(count)) + extra
    boxes = write_boxes(count, n_places, habit, np.random.default_rng(seed))
    assert len(boxes) == n_places
    assert count_of_boxes(boxes) == count
    assert set(boxes) <= set("0123456789x_")
    assert boxes[-1] != "_"


def test_known_box_strings():
    rng = np.random.default_rng(0)
    written = {write_boxes(23, 4, "x", rng) for _ in range(200)}
    assert written == {"xx23", "0023", "__23"}
    assert [count_of_boxes(b) for b in ("x2x", "_32", "000", "xxx")] == [20, 32, 0, 0]
