"""The paper's confidence and tally quality."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktally.exceptions import TallyError
from sktally.votes import count_confidence, place_weights, tally_quality


def test_three_places_have_the_weights_of_the_paper():
    assert place_weights(3).tolist() == [0.5, 0.35, 0.15]


@pytest.mark.parametrize("n_places", range(1, 19))
def test_weights_sum_to_one_and_fall(n_places):
    weights = place_weights(n_places)
    assert weights.shape == (n_places,)
    assert weights.sum() == pytest.approx(1)
    assert (np.diff(weights) < 0).all()


@pytest.mark.parametrize("n_places", [0, 19, 2.5])
def test_number_of_places_is_checked(n_places):
    with pytest.raises(TallyError, match=r"n_places: expected an integer"):
        place_weights(n_places)


def test_confidence_of_known_fields():
    nan = np.nan
    proba = [
        [1.0, 1.0, 1.0],
        [0.9, 0.8, 0.6],
        [nan, 0.9, 0.6],
        [nan, nan, 0.4],
        [nan, nan, nan],
    ]
    expected = [1.0, 0.9 * 0.5 + 0.8 * 0.35 + 0.6 * 0.15, 0.8, 0.4, nan]
    assert count_confidence(proba) == pytest.approx(expected, nan_ok=True)


def test_field_with_fewer_places_has_weights_of_its_own_number():
    assert count_confidence([np.nan, 0.9, 0.8, 0.6]) == pytest.approx(
        count_confidence([0.9, 0.8, 0.6])
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_confidence_lies_between_the_extremes(proba):
    value = count_confidence(proba)
    assert min(proba) - 1e-9 <= value <= max(proba) + 1e-9


def test_quality_is_the_mean_over_fields_read():
    quality = tally_quality([[1.0, 0.8], [0.7, np.nan], [np.nan, np.nan]])
    assert quality == pytest.approx([0.9, 0.7, np.nan], nan_ok=True)
