"""scikit-learn's own checks of an estimator, on VoteCountAggregator.

The tags say that X is not 2-D, at which scikit-learn skips nearly every check. Here
`OpenTags` says that it is, so that all checks run; those that feed 2-D X must fail with
our message. Each is replaced by the same check run on `OneBox`, which hands the rows of
a 2-D X to the unchanged aggregator as tallies of one field with one box.
"""

from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import (
    check_estimator,
    estimator_checks_generator,
)

from sktally.votes import VoteCountAggregator

ONE_BOX = "test_the_same_check_on_tallies_of_one_box"
EXPECTED_FAILURES = {
    "check_fit_score_takes_y": ONE_BOX,
    "check_estimators_overwrite_params": ONE_BOX,
    "check_dont_overwrite_parameters": ONE_BOX,
    "check_estimators_fit_returns_self": ONE_BOX,
    "check_readonly_memmap_input": ONE_BOX,
    "check_positive_only_tag_during_fit": ONE_BOX,
    "check_estimators_dtypes": ONE_BOX,
    "check_dtype_object": "test_bad_cells",
    "check_estimators_empty_data_messages": "test_bad_cells",
    "check_pipeline_consistency": ONE_BOX,
    "check_estimators_pickle": ONE_BOX,
    "check_f_contiguous_array_estimator": ONE_BOX,
    "check_methods_sample_order_invariance": ONE_BOX,
    "check_methods_subset_invariance": ONE_BOX,
    "check_fit2d_1sample": "test_bad_cells",
    "check_fit2d_1feature": "test_bad_cells",
    "check_dict_unchanged": ONE_BOX,
    "check_fit_idempotent": ONE_BOX,
    "check_fit_check_is_fitted": ONE_BOX,
    "check_n_features_in": "test_other_layouts_can_be_read_after_fit",
    "check_n_features_in_after_fitting": "test_other_layouts_can_be_read_after_fit",
    "check_fit2d_predict1d": "test_bad_cells",
}


class OpenTags(VoteCountAggregator):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


class OneBox(OpenTags):
    """Reads rows (n_samples, n_features) as cells, one box a tally."""

    def fit(self, X, y=None, **fit_params):
        if y is not None:
            y = _as_boxes(y)
        return super().fit(_as_cells(X), y, **fit_params)

    def predict_tallies(self, X):
        return super().predict_tallies(_as_cells(X))

    def score(self, X, y, sample_weight=None):
        return super().score(X, _as_boxes(y), sample_weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False  # a cell is NaN all over or not at all
        return tags


def _as_boxes(y):
    """Return numbers as strings of one digit: a count 0 would only name a set."""
    digits = np.abs(np.asarray(y, dtype=float)).astype(int) % 10
    return digits.reshape(-1, 1).astype(str)


def _as_cells(X):
    if np.ndim(X) != 2:
        return X
    X = np.asarray(X)
    X = X.astype(float) if X.dtype.kind in "iuO" else X
    return X.reshape(len(X), 1, 1, 1, -1)


def _named(argument):
    return getattr(getattr(argument, "func", None), "__name__", "aggregator")


CHECKS = list(
    estimator_checks_generator(
        OpenTags(LogisticRegression()),
        expected_failed_checks=EXPECTED_FAILURES,
        mark="xfail",
        xfail_strict=True,  # an expected failure that passes is a failure
    )
)


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=_named)
def test_sklearn_checks(estimator, check):
    check(estimator)


def test_the_list_names_checks_and_tests_that_exist():
    plain = estimator_checks_generator(OpenTags(LogisticRegression()))
    ran = {check.func.__name__ for _, check in plain}
    assert len(CHECKS) >= 40
    assert set(EXPECTED_FAILURES) <= ran
    tests = "".join(
        path.read_text() for path in Path(__file__).parent.glob("test_*.py")
    )
    for ours in EXPECTED_FAILURES.values():
        assert f"def {ours}(" in tests, ours


def test_expected_failures_are_our_message_about_x():
    results = check_estimator(
        OpenTags(LogisticRegression()),
        expected_failed_checks=EXPECTED_FAILURES,
        on_fail=None,
        on_skip=None,
    )
    for result in results:
        if result["status"] == "xfail":
            error = result["exception"]
            chain = f"{error} {error.__cause__} {error.__context__}"
            assert "X: expected cells" in chain, (result["check_name"], chain)
        else:
            assert result["status"] in ("passed", "skipped"), result


def test_with_its_own_tags_it_passes():
    with pytest.warns(SkipTestWarning, match="requires input  of type"):
        results = check_estimator(VoteCountAggregator(LogisticRegression()))
    assert {result["status"] for result in results} == {"passed"}


REPLACED = sorted(name for name, ours in EXPECTED_FAILURES.items() if ours == ONE_BOX)


@pytest.fixture(scope="module")
def results_on_one_box():
    results = check_estimator(OneBox(LogisticRegression()), on_fail=None, on_skip=None)
    return {result["check_name"]: result for result in results}


@pytest.mark.parametrize("name", REPLACED)
def test_the_same_check_on_tallies_of_one_box(name, results_on_one_box):
    result = results_on_one_box[name]
    assert result["status"] == "passed", result["exception"]
