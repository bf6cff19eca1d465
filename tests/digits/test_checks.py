import os

import pytest
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from sktally import CNNClassifier

NORMED = CNNClassifier(
    filters=(8,), hidden=(16,), batch_norm=True, learning_rate=0.01, max_epochs=30
)
# The order of samples, dropout and batches are drawn at random, for 15 samples not as
# for the 30 of which they are repeats, as in scikit-learn's own stochastic estimators.
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": (
        "test_weights_are_repeats_where_nothing_is_drawn in test_balance.py"
    )
}


@parametrize_with_checks(
    [CNNClassifier(), NORMED],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


def test_number_of_checks():
    # one check, of the array API, runs only where SCIPY_ARRAY_API=1 is set
    found = check_estimator(
        CNNClassifier(filters=(2,), hidden=(), max_epochs=1),
        expected_failed_checks=EXPECTED_FAILURES,
        on_fail=None,
        on_skip=None,
    )
    assert len(found) >= 55
    skipped = [r["check_name"] for r in found if r["status"] == "skipped"]
    if os.environ.get("SCIPY_ARRAY_API") is None:
        assert skipped == ["check_array_api_input"]
    assert sum(r["status"] != "skipped" for r in found) >= 50
    expected = {r["check_name"] for r in found if r["status"] == "xfail"}
    assert expected == set(EXPECTED_FAILURES)


@pytest.mark.parametrize("name", ["two_d_array", "three_d_array"])
def test_tags_say_what_is_taken(name):
    assert getattr(CNNClassifier().__sklearn_tags__().input_tags, name)


def test_tags_claim_determinism():
    tags = CNNClassifier().__sklearn_tags__()
    assert not tags.non_deterministic and tags.classifier_tags.multi_class
    assert not tags.no_validation and not tags._skip_test
