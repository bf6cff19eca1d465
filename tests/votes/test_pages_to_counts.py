"""The whole pipeline, from files of pages to counts, searched and cross-validated."""

import numpy as np
import pytest
from PIL import Image
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from sktally.cells import CellNormalizer, TallyCropper
from sktally.datasets import make_tally_pages
from sktally.exceptions import TallyError, TallyWarning
from sktally.votes import (
    VoteCountAggregator,
    count_accuracy,
    digit_accuracy,
    page_accuracy,
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    made = make_tally_pages(8, form="example", random_state=0)
    folder = tmp_path_factory.mktemp("pages")
    paths = [str(folder / f"{i}.png") for i in range(8)]
    for path, page in zip(paths, made.pages, strict=True):
        Image.fromarray(page).save(path)
    return paths, made.boxes


@pytest.fixture
def reader():
    return Pipeline(
        [
            ("crop", TallyCropper("example")),
            ("normalize", CellNormalizer()),
            ("votes", VoteCountAggregator(SVC(C=10))),
        ]
    )


def test_pages_in_counts_out(files, reader):
    paths, boxes = files
    assert reader.fit(paths[:6], boxes[:6]).predict(paths).shape == (8, 6)
    assert reader.score(paths[:6], boxes[:6]) == 1
    assert digit_accuracy(reader, paths[6:], boxes[6:]) > 0.5  # 108 cells to learn from


def test_a_blank_page_is_unread_and_wrong(files, reader):
    paths, boxes = files
    reader.fit(paths, boxes)
    pages = [*paths[:3], np.full((1100, 850), 255, dtype=np.uint8)]
    with pytest.warns(TallyWarning, match="1 of 4 pages was not read"):
        assert (reader.predict(pages)[3] == -1).all()
    with pytest.warns(TallyWarning, match="1 of 4 pages was not read"):
        assert count_accuracy(reader, pages, boxes[:4]) == 0.75


def test_search_over_files_grouped_by_station(files, reader):
    paths, boxes = files
    search = GridSearchCV(
        clone(reader),
        {"votes__classifier__C": [1e-3, 10]},
        cv=GroupKFold(2),
        scoring=digit_accuracy,
        n_jobs=2,
        error_score="raise",
    ).fit(paths, boxes, groups=np.arange(8) // 2)
    assert search.best_params_ == {"votes__classifier__C": 10}


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_cells_are_no_data_frames(reader, container):
    assert reader.set_output() is reader
    assert reader.set_output(transform="default") is reader
    told = f"expected 'default', got '{container}': TallyCropper .*read_tallies"
    with pytest.raises(TallyError, match=told):
        reader.set_output(transform=container)
    with pytest.raises(TallyError, match="CellNormalizer returns images"):
        CellNormalizer().set_output(transform=container)


def test_tables_asked_of_all_estimators_leave_cells_as_they_are(files, reader):
    paths, boxes = files
    plain = reader.fit(paths[:2], boxes[:2]).predict(paths[:2])
    with config_context(transform_output="pandas"):
        assert reader[:-1].transform(paths[:2]).ndim == 5
        np.testing.assert_array_equal(reader.predict(paths[:2]), plain)


def test_scores_of_several_kinds_by_cross_validation(files, reader):
    paths, boxes = files
    scorers = {"count": count_accuracy, "page": page_accuracy, "digit": digit_accuracy}
    by_name = cross_validate(reader, paths, boxes, scoring=scorers, cv=2)
    own = cross_validate(reader, paths, boxes, cv=2)
    np.testing.assert_array_equal(by_name["test_count"], own["test_score"])
    page, count, digit = (
        by_name[f"test_{name}"] for name in ("page", "count", "digit")
    )
    assert (page <= count).all() and (count <= digit).all() and (digit > 0.5).all()
