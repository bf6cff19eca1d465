"""Bubbles: read off pages, carried through a Pipeline, heeded by the aggregator."""

import pickle
import warnings

import cv2
import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from sktally import load_form, load_reader, make_tally_pages, read_tallies
from sktally.cells import BubbledCells, CellNormalizer, TallyCropper
from sktally.cells._bubbled import join_cells, with_bubbles
from sktally.form import TallyForm
from sktally.tables import read_to_store, store_table


@pytest.fixture(scope="module")
def form():
    """Three fields of two to three boxes; bubbles of one run to the right from 1."""
    square = {"kind": "square", "size": [40, 40]}
    corners = {"tl": [60, 60], "tr": [940, 60], "bl": [60, 940], "br": [940, 940]}
    box = {"box": [45, 50], "pitch": 60, "frame": 2}
    down = {"start": [222, 280], "step": 26, "radius": 9}
    right = {"start": [600, 240], "step": [30, 0], "radius": 10, "digits": "1234567890"}
    fields = [
        {"name": "a", "start": [200, 200], "places": 3, "bubbles": down, **box},
        {
            "name": "b",
            "boxes": [[520, 200, 45, 50], [520, 270, 45, 50]],
            "frame": 2,
            "bubbles": right,
        },
        {"name": "c", "start": [520, 500], "places": 3, **box},
    ]
    return TallyForm.from_dict(
        {
            "name": "bubbles",
            "page": {"width": 1000, "height": 1000},
            "anchors": [{"name": n, "center": c, **square} for n, c in corners.items()],
            "fields": fields,
        }
    )


@pytest.fixture(scope="module")
def made(form):
    return make_tally_pages(8, form=form, degrade=0.5, random_state=3)


@pytest.fixture(scope="module")
def cells(form, made):
    return TallyCropper(form).fit_transform(made.pages)


def digits(made):
    """Return the digit of each box, -1 where there is none."""
    found = np.full((*made.boxes.shape, 3), -1)
    for at in np.ndindex(made.boxes.shape):
        string = made.boxes[at].translate(str.maketrans("x_", "00"))
        found[at][-len(string) :] = list(map(int, string))
    return found


def test_filled_bubbles_are_read(cells, made):
    truth = digits(made)
    said = cells.bubbles.argmax(axis=-1)
    plain = cells.bubbles.max(axis=-1) > 0.9
    assert cells.bubbles.dtype == np.float32
    np.testing.assert_allclose(cells.bubbles.sum(axis=-1), 1, atol=1e-5)
    assert (said == truth)[plain].all()
    assert plain[:, :2].sum() >= 0.85 * (truth[:, :2] >= 0).sum()
    # a field without bubbles, and the place that a field of two boxes does not have
    assert not plain[:, 2].any() and not plain[:, 1, 0].any()
    assert (np.ptp(cells.bubbles[:, 2], axis=-1) == 0).all()


@pytest.mark.parametrize("light", [0.35, 1.0])
def test_light_and_turns_do_not_matter(form, made, light, cells):
    pages = [np.rot90(page, 2) * light for page in made.pages[:3]]
    pages = [np.ascontiguousarray(page).astype(np.uint8) for page in pages]
    turned = TallyCropper(form).fit_transform(pages)
    sure = cells.bubbles[:3].max(axis=-1) > 0.9
    same = turned.bubbles.argmax(axis=-1) == cells.bubbles[:3].argmax(axis=-1)
    assert same[sure].all()


def test_empty_bubbles_say_nothing(form):
    bare = form.model_copy(
        update={
            "fields": tuple(f.model_copy(update={"bubbles": None}) for f in form.fields)
        }
    )
    circles = [
        {"kind": "circle", "at": [x, y, 9], "repeat": [[10, *step]]}
        for x, y, step in [
            *((222 + 60 * i, 280, (0, 26)) for i in range(3)),
            *((600, 240 + 70 * i, (30, 0)) for i in range(2)),
        ]
    ]
    printed = TallyForm.from_dict({**bare.model_dump(mode="json"), "printed": circles})
    made = make_tally_pages(4, form=printed, scribbles=False, random_state=0)
    found = TallyCropper(form).fit_transform(made.pages).bubbles
    assert found.max() < 0.2


def test_pages_that_are_not_read_have_no_bubbles(form, made):
    blank = np.full((400, 400), 255, np.uint8)
    with pytest.warns(match="1 of 2 pages was not read"):
        cells = TallyCropper(form).fit_transform([blank, made.pages[0]])
    assert (np.ptp(cells.bubbles[0], axis=-1) == 0).all()
    assert cells.bubbles[1].max() > 0.9


def test_cells_carry_them_through_a_pipeline(form, made, cells):
    steps = [("crop", TallyCropper(form)), ("normalize", CellNormalizer())]
    images = clone(Pipeline(steps)).fit(made.pages).transform(made.pages)
    assert isinstance(images, BubbledCells)
    np.testing.assert_array_equal(images.bubbles, cells.bubbles)


@pytest.mark.parametrize("key", [slice(2, 5), [1, 3], np.arange(8) > 5, ([0, 2], ...)])
def test_tallies_that_are_picked_keep_them(cells, key):
    first = key[0] if isinstance(key, tuple) else key
    np.testing.assert_array_equal(cells[key].bubbles, cells.bubbles[first])


def test_other_operations_drop_them(cells):
    assert cells[0].bubbles is None and cells[:, 0].bubbles is None
    assert (cells + 1).bubbles is None and cells.reshape(-1, 36, 32).bubbles is None


def test_pickles_keep_them(cells, tmp_path):
    joblib.dump(cells, tmp_path / "cells.joblib")
    for again in (
        pickle.loads(pickle.dumps(cells)),
        joblib.load(tmp_path / "cells.joblib"),
    ):
        np.testing.assert_array_equal(again, cells)
        np.testing.assert_array_equal(again.bubbles, cells.bubbles)


def test_joined_cells_keep_them(cells):
    plain = np.zeros_like(np.asarray(cells[:1]))
    both = join_cells([cells[:2], plain])
    np.testing.assert_array_equal(both.bubbles[:2], cells.bubbles[:2])
    assert np.ptp(both.bubbles[2]) == 0
    assert type(join_cells([plain, plain])) is np.ndarray
    assert type(with_bubbles(cells, None)) is np.ndarray


def altered(page, form, made, i, field, place, digit):
    """Return a page on which another bubble of a box is filled than its digit's."""
    page = page.copy()
    matrix = made.homographies[i]
    for d in range(10):
        x, y, radius = form.bubble_array()[field, place, d]
        u, v, w = matrix @ [x, y, 1]
        at = (round(u / w), round(v / w))
        paper = int(np.percentile(page, 75))
        cv2.circle(page, at, round(radius * 1.3), paper, cv2.FILLED)
        if d == digit:
            cv2.circle(page, at, round(radius), 20, cv2.FILLED)
    return page


@pytest.fixture(scope="module")
def reader(form):
    return load_reader(form)


def test_what_box_and_bubble_dispute_is_for_people(form, made, reader):
    i, field = next(at for at in np.ndindex(8, 2) if made.boxes[at][-1].isdigit())
    right = int(made.boxes[i, field][-1])
    page = altered(made.pages[i], form, made, i, field, -1, (right + 4) % 10)
    rows = read_tallies(reader, [page])
    row = rows.iloc[field]
    assert row["status"] == "ambiguous"
    assert "but the bubbles say" in row["message"]
    assert (rows["status"].drop(index=field) == "ok").all()


def test_bubbles_settle_what_a_box_leaves_open(form, made, cells, reader):
    """Boxes blurred until they are hard to read, bubbles as they are."""
    blurred = np.asarray(cells).copy()
    for at in np.ndindex(blurred.shape[:3]):
        if blurred[at].any():
            blurred[at] = np.maximum(cv2.GaussianBlur(blurred[at], (0, 0), 3), 1)
    X = reader[1].transform(with_bubbles(blurred, cells.bubbles))
    votes = clone(reader[-1])
    right = {
        heeded: (votes.set_params(bubbles=heeded).predict(X) == made.counts)[:, :2]
        for heeded in (True, False)
    }
    assert right[True].mean() >= 0.9 > right[False].mean()


def test_without_bubbles_nothing_changes(made, cells, reader):
    images = reader[1].transform(cells)
    votes = reader[-1]
    plain = votes.predict_tallies(np.asarray(images))
    deaf = clone(votes).set_params(bubbles=False).predict_tallies(images)
    np.testing.assert_array_equal(plain.digit_proba, deaf.digit_proba)
    assert (plain.bubbles == "").all() and (deaf.bubbles == "").all()
    assert (plain.handwriting == plain.boxes).all()


def test_stores_are_read_alike_by_two_processes(form, made, reader, tmp_path):
    paths = []
    for i, page in enumerate(made.pages[:3]):
        paths.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(paths[-1]), page)
    tables = []
    for n_jobs in (1, 2):
        path = tmp_path / f"{n_jobs}.sqlite"
        read_to_store(reader, paths, path, n_jobs=n_jobs)
        tables.append(store_table(path)[["field", "boxes", "confidence"]])
    assert tables[0].equals(tables[1])
    with threadpool_limits(1):  # as stores are read: sums of more threads round apart
        alone = reader[-1].predict_tallies(reader[:-1].transform(made.pages[:3]))
    assert tables[0]["confidence"].tolist() == pytest.approx(alone.confidence.ravel())


def test_real_layout_has_them():
    form = load_form("indonesia-2024")
    made = make_tally_pages(2, form=form, degrade=0.3, random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cells = TallyCropper(form).fit_transform(made.pages)
    plain = cells.bubbles.max(axis=-1) > 0.9
    assert plain.mean() > 0.7
    assert (cells.bubbles.argmax(axis=-1) == digits(made))[plain].all()
