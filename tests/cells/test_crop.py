"""TallyCropper: pages and paths in, cells and reports out."""

import pickle
import re
import warnings

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import estimator_checks_generator

from sktally.cells import TallyCropper, sample_cells
from sktally.exceptions import (
    FormError,
    PageReadError,
    RegistrationError,
    TallyError,
    TallyWarning,
)
from sktally.form import TallyForm, load_form


@pytest.fixture(scope="module")
def cropper():
    return TallyCropper("example").fit()


@pytest.fixture(scope="module")
def cells(cropper, tallies):
    return cropper.transform(tallies.pages)


@pytest.fixture
def files(tallies, tmp_path):
    paths = [tmp_path / f"page_{i}.png" for i in range(len(tallies.pages))]
    for path, page in zip(paths, tallies.pages, strict=True):
        cv2.imwrite(str(path), page)
    return paths


def test_shape_dtype_and_place(cells, tallies):
    assert cells.shape == (3, 6, 3, 38, 31)
    assert cells.dtype == np.uint8
    truth = np.stack(
        [
            sample_cells(page, quads, cell_size=(38, 31))
            for page, quads in zip(tallies.pages, tallies.quads, strict=True)
        ]
    )
    # Registration is good to a fraction of a pixel, so only edges differ.
    assert np.abs(cells.astype(int) - truth).mean() < 12


def test_reports_name_every_page(cropper, tallies):
    blank = np.full((300, 200), 255, np.uint8)
    cells, reports = cropper.crop([tallies.pages[0], blank, "missing.png"])
    assert [r.status for r in reports] == ["ok", "rejected", "failed"]
    assert [r.name for r in reports] == ["X[0]", "X[1]", "missing.png"]
    assert reports[0].registration.quads.shape == (6, 3, 4, 2)
    assert reports[0].message == ""
    assert isinstance(reports[1].error, RegistrationError)
    assert reports[1].message.startswith("X[1]: ")
    assert isinstance(reports[2].error, PageReadError)
    assert reports[2].message.count("missing.png") == 1
    assert cells.any(axis=(1, 2, 3, 4)).tolist() == [True, False, False]


def test_unread_pages_are_absent_with_one_warning(cropper, tallies):
    X = [tallies.pages[0], *[np.full((99, 99), 255, np.uint8)] * 5]
    with pytest.warns(TallyWarning, match=r"5 of 6 pages.*X\[1\].*and 2 more") as seen:
        cells = cropper.transform(X)
    assert len(seen) == 1
    assert not cells[1:].any()
    assert cells[0].any(axis=(-2, -1)).all()


def test_crop_does_not_warn(cropper):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cropper.crop([np.full((99, 99), 255, np.uint8)])


def test_on_error_raise_names_the_sample(tallies):
    cropper = TallyCropper("example", on_error="raise").fit()
    with pytest.raises(PageReadError, match=r"nowhere\.png"):
        cropper.transform([tallies.pages[0], "nowhere.png"])
    with pytest.raises(RegistrationError, match=r"X\[1\]"):
        cropper.transform([tallies.pages[0], np.full((99, 99), 255, np.uint8)])


def test_on_error_raise_tells_of_the_first_page_whatever_is_wrong_with_it(tallies):
    # Pages are opened before those ahead of them are looked at.
    cropper = TallyCropper("example", on_error="raise").fit()
    with pytest.raises(RegistrationError, match=r"X\[1\]"):
        cropper.transform(
            [tallies.pages[0], np.full((99, 99), 255, np.uint8), "nowhere.png"]
        )


@pytest.mark.parametrize("at_once", [0, 10**9])
def test_pages_opened_together_are_cropped_as_one_by_one(
    cropper, cells, files, at_once, monkeypatch
):
    monkeypatch.setattr("sktally.cells._crop._AT_ONCE", at_once)
    paths = [files[0], "nowhere.png", *files[1:]]
    found, reports = cropper.crop(paths)
    np.testing.assert_array_equal(np.delete(found, 1, axis=0), cells)
    assert [report.name for report in reports] == [str(path) for path in paths]
    assert [report.status == "ok" for report in reports] == [
        p != paths[1] for p in paths
    ]


def test_all_ways_to_name_pages_give_the_same_cells(cropper, cells, tallies, files):
    names = [str(path) for path in files]
    inputs = [
        files,
        names,
        tuple(names),
        np.array(names),
        np.array(names)[:, None],
        pd.Series(names, index=[7, 8, 9]),
        pd.DataFrame({"file": names}),
        [names[0], tallies.pages[1], files[2]],
    ]
    for X in inputs:
        np.testing.assert_array_equal(cropper.transform(X), cells)


def test_arrays_of_pages_grey_and_colour(cropper, cells, tallies):
    stack = np.stack(tallies.pages)
    np.testing.assert_array_equal(cropper.transform(stack), cells)
    colour = np.repeat(stack[..., None], 3, axis=-1)
    found = cropper.transform(colour)
    assert np.abs(found.astype(int) - cells).max() <= 1


def test_short_fields_are_padded_on_the_left(tallies):
    content = load_form("example").model_dump(mode="json", exclude_defaults=True)
    content["fields"][0]["places"] = 2
    form = TallyForm.from_dict(content)
    present = TallyCropper(form).fit_transform(tallies.pages).any(axis=(-2, -1))
    assert not present[:, 0, 0].any()
    assert present[:, 0, 1:].all()
    assert present[:, 1:].all()


def test_cell_size_and_margin(tallies):
    cells = TallyCropper("example", cell_size=24, margin=0).fit_transform(tallies.pages)
    assert cells.shape == (3, 6, 3, 27, 22)
    wide = TallyCropper("example", cell_size=24, margin=0.6).fit_transform(
        tallies.pages
    )
    # Without a margin the frame runs along the edges; with a wide one it is inside.
    assert cells[..., :2, :].mean() < wide[..., :2, :].mean() - 20


def test_jobs_change_nothing(cells, tallies):
    found = TallyCropper("example", n_jobs=2).fit_transform(tallies.pages)
    np.testing.assert_array_equal(found, cells)


def test_order_and_subset_change_nothing(cropper, cells, tallies):
    np.testing.assert_array_equal(cropper.transform(tallies.pages[::-1]), cells[::-1])
    np.testing.assert_array_equal(cropper.transform(tallies.pages[1:2]), cells[1:2])


def test_fit_learns_nothing_and_changes_no_parameter(cropper, cells, tallies):
    other = TallyCropper("example", margin=0.15)
    before = other.get_params()
    state = dict(other.__dict__)
    assert other.fit(tallies.pages[:1]) is other
    assert other.get_params() == before
    assert {k: other.__dict__[k] for k in state} == state
    other.fit(tallies.pages)  # twice is once
    fitted = dict(other.__dict__)
    np.testing.assert_array_equal(other.transform(tallies.pages), cells)
    assert other.__dict__ == fitted


def test_fit_transform_takes_y(cells, tallies):
    found = TallyCropper("example").fit_transform(tallies.pages, tallies.counts)
    np.testing.assert_array_equal(found, cells)


def test_read_only_and_fortran_pages(cropper, cells, tallies):
    pages = [np.asfortranarray(page) for page in tallies.pages]
    for page in pages:
        page.flags.writeable = False
    np.testing.assert_array_equal(cropper.transform(pages), cells)


def test_clone_pickle_and_state(cropper, cells, tallies):
    with pytest.raises(NotFittedError):
        clone(cropper).transform(tallies.pages)
    copies = [
        pickle.loads(pickle.dumps(cropper)),
        clone(cropper)._set_fitted_state(cropper._fitted_state()),
    ]
    for copy in copies:
        np.testing.assert_array_equal(copy.transform(tallies.pages), cells)


BAD_X = [
    ("page.png", r"single path 'page\.png'; give \[path\]"),
    (np.zeros((9, 9), np.uint8), r"single page give \[page\]"),
    (np.zeros((9, 9, 3), np.uint8), r"single page give \[page\]"),
    (np.zeros((2, 9, 9)), "dtype float64"),
    (np.zeros((2, 9, 9, 4, 1), np.uint8), r"shape \(2, 9, 9, 4, 1\)"),
    ([], "0 samples; is the folder empty"),
    ({"a.png": 1}, "got dict"),
    ((path for path in ["a.png"]), "got generator"),
    (None, "got NoneType"),
    (["a.png", None], r"X\[1\]: expected a path.*got NoneType"),
    (["a.png", float("nan")], r"X\[1\]: .*got float: nan"),
    ([[1, 2], [3]], r"X\[0\]: .*got list"),
]


@pytest.mark.parametrize(("X", "message"), BAD_X)
def test_bad_X(cropper, X, message):
    with pytest.raises(TallyError, match=message):
        cropper.transform(X)
    if X is not None and not hasattr(X, "send"):
        with pytest.raises(TallyError, match=message):
            TallyCropper("example").fit(X)


BAD_PAGES = [
    (np.zeros((9, 9)), "expected uint8"),
    (np.zeros((9, 9, 4), np.uint8), r"shape \(9, 9, 4\)"),
    (np.zeros((0, 9), np.uint8), r"shape \(0, 9\)"),
    (np.zeros((1, 1), np.uint8), r"X\[0\]"),
]


@pytest.mark.parametrize(("page", "message"), BAD_PAGES)
def test_bad_pages_are_reported_not_raised(cropper, page, message):
    _, (report,) = cropper.crop([page])
    assert report.status != "ok"
    assert re.search(message, report.message)


BAD_PARAMETERS = [
    ({"cell_size": 4}, r"cell_size: expected an integer in \[8, 512\], got 4"),
    ({"cell_size": 40.0}, "cell_size: expected an integer, got 40.0"),
    ({"margin": -0.1}, r"margin: expected a number in \[0, 1\], got -0.1"),
    ({"on_error": "skip"}, "on_error: expected one of 'absent', 'raise', got 'skip'"),
    ({"n_jobs": "two"}, "n_jobs: expected an integer, got 'two'"),
    ({"n_jobs": 0}, "n_jobs: expected 1 or more, or -1 for all cores, got 0"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_PARAMETERS)
def test_bad_parameters(parameters, message):
    with pytest.raises(TallyError, match=message):
        TallyCropper("example", **parameters).fit()


def test_parameters_set_after_fit_are_checked(tallies):
    cropper = TallyCropper("example").fit().set_params(n_jobs=0)
    with pytest.raises(TallyError, match="n_jobs: expected 1 or more"):
        cropper.crop(tallies.pages)


def test_no_such_form():
    with pytest.raises(FormError, match="no form 'exmaple': shipped forms are"):
        TallyCropper("exmaple").fit()


class OpenTags(TallyCropper):
    """Says that X is 2-D, at which scikit-learn runs all its checks."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = False
        return tags


# Each check that feeds a 2-D X of numbers must fail with our message; beside it the
# test above that puts the same question with pages.
EXPECTED_FAILURES = {
    "check_complex_data": "test_bad_X",
    "check_dict_unchanged": "test_fit_learns_nothing_and_changes_no_parameter",
    "check_dont_overwrite_parameters": (
        "test_fit_learns_nothing_and_changes_no_parameter"
    ),
    "check_dtype_object": "test_bad_X",
    "check_estimator_sparse_array": "test_bad_X",
    "check_estimator_sparse_matrix": "test_bad_X",
    "check_estimator_sparse_tag": "test_bad_X",
    "check_estimators_dtypes": "test_arrays_of_pages_grey_and_colour",
    "check_estimators_empty_data_messages": "test_bad_X",
    "check_estimators_fit_returns_self": (
        "test_fit_learns_nothing_and_changes_no_parameter"
    ),
    "check_estimators_nan_inf": "test_bad_X",
    "check_estimators_overwrite_params": (
        "test_fit_learns_nothing_and_changes_no_parameter"
    ),
    "check_estimators_pickle": "test_clone_pickle_and_state",
    "check_f_contiguous_array_estimator": "test_read_only_and_fortran_pages",
    "check_fit2d_1feature": "test_bad_X",
    "check_fit2d_1sample": "test_bad_X",
    "check_fit2d_predict1d": "test_bad_X",
    "check_fit_check_is_fitted": "test_clone_pickle_and_state",
    "check_fit_idempotent": "test_fit_learns_nothing_and_changes_no_parameter",
    "check_fit_score_takes_y": "test_fit_transform_takes_y",
    "check_methods_sample_order_invariance": "test_order_and_subset_change_nothing",
    "check_methods_subset_invariance": "test_order_and_subset_change_nothing",
    "check_n_features_in": "test_bad_X",
    "check_n_features_in_after_fitting": "test_bad_X",
    "check_pipeline_consistency": "test_fit_transform_takes_y",
    "check_positive_only_tag_during_fit": "test_bad_X",
    "check_readonly_memmap_input": "test_read_only_and_fortran_pages",
    "check_transformer_data_not_an_array": (
        "test_all_ways_to_name_pages_give_the_same_cells"
    ),
    "check_transformer_general": "test_fit_transform_takes_y",
}


def _checks():
    for estimator, check in estimator_checks_generator(
        OpenTags("example"), legacy=True, mark=None
    ):
        name = check.func.__name__
        expected = name in EXPECTED_FAILURES
        marks = [pytest.mark.xfail(strict=True, raises=(ValueError, AssertionError))]
        yield pytest.param(estimator, check, id=name, marks=marks if expected else [])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize(("estimator", "check"), list(_checks()))
def test_sklearn_checks(estimator, check):
    check(estimator)


def test_the_list_of_expected_failures_is_not_stale():
    run = {
        check.func.__name__
        for _, check in estimator_checks_generator(
            OpenTags("example"), legacy=True, mark=None
        )
    }
    assert set(EXPECTED_FAILURES) <= run
    assert set(EXPECTED_FAILURES.values()) <= set(globals())


@pytest.mark.real
@pytest.mark.parametrize(
    ("form", "n_pages", "n_fields", "shape"),
    [("indonesia-2019-c1", 4, 5, (37, 32)), ("indonesia-2024", 4, 3, (34, 34))],
)
def test_real_pages(real_data, form, n_pages, n_fields, shape):
    files = sorted((real_data / form / "pages").iterdir())[:n_pages]
    cells, reports = TallyCropper(form).fit().crop(files)
    assert cells.shape == (n_pages, n_fields, 3, *shape)
    assert [report.status for report in reports] == ["ok"] * n_pages
