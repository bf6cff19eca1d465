from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sktally import TallyError, vote_totals
from sktally.totals import VoteTotals, ranking

FIELDS = ["x", "y", "z"]


def totals_of(draws, totals, room, groups=None):
    """Return totals with given draws (n_draws, n_groups, n_fields)."""
    names = pd.DataFrame(index=range(1)) if groups is None else groups
    empty = pd.DataFrame()
    draws, totals, room = (np.asarray(a, float) for a in (draws, totals, room))
    return VoteTotals(empty, FIELDS, names, totals, draws, room, empty, 0.5)


def test_margin_and_doubt_are_those_of_the_draws():
    draws = [[[50, 40, 9]], [[48, 41, 9]], [[44, 45, 9]], [[49, 42, 9]], [[51, 40, 9]]]
    found = ranking(totals_of(draws, [[50, 40, 9]], [[0, 3, 7]]))
    assert (found.leader, found.runner_up, found.margin) == ("x", "y", 10)
    assert (found.margin_lower, found.margin_upper) == (7, 10)
    assert (found.doubt_read, found.doubt_unread) == (3, 3)
    assert found.leads == 0.8
    assert found.stands  # 7 is more than 3 for y, and 35 more than 7 for z
    assert str(found) == (
        "x leads y by 10 votes as counted (7 to 10 with 50 %), in 80.0 % of 5 draws; "
        "in doubt are 3 votes that were read and 3 that were not: the lead stands even "
        "if all of them go to the others"
    )
    open_ = ranking(totals_of(draws, [[50, 40, 9]], [[0, 3, 60]]))
    assert not open_.stands  # because of z, which is not second
    assert str(open_).endswith("the lead could fall")


@settings(max_examples=40, deadline=None)
@given(
    draws=st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=6),
)
def test_equals_share_their_ranks(draws):
    """As if ties were broken by every order of the parties alike."""
    expected = np.zeros((3, 3))
    for draw in draws:
        for order in permutations(range(3)):
            by_votes = sorted(range(3), key=lambda j: (-draw[j], order[j]))
            for rank, j in enumerate(by_votes):
                expected[j, rank] += 1 / (6 * len(draws))
    found = ranking(totals_of([[d] for d in draws], [[3, 2, 1]], [[0, 0, 0]]))
    assert found.proba.to_numpy() == pytest.approx(expected)
    assert list(found.proba.columns) == [1, 2, 3]


def test_a_group_has_a_ranking_of_its_own():
    groups = pd.DataFrame({"district": ["N", "S"], "kind": [1, 2]})
    draws = np.array([[[9, 1, 0], [1, 5, 0]]] * 2)
    totals = totals_of(draws, draws[0], np.zeros((2, 3)), groups)
    assert ranking(totals).leader == "x"
    assert ranking(totals).margin == 4
    south = ranking(totals, ("S", 2))
    assert south.leader == "y"
    assert str(south).startswith(
        "district S, kind 2: y leads x by 4 votes as counted (4 to 4 with"
    )
    for wrong in (("S", 1), "S", ("S",)):
        with pytest.raises(TallyError, match="group: expected one such as district N"):
            ranking(totals, wrong)


def test_a_single_column_is_named_by_its_value():
    groups = pd.DataFrame({"district": ["N", "S"]})
    draws = np.array([[[9, 1, 0], [1, 5, 0]]] * 2)
    totals = totals_of(draws, draws[0], np.zeros((2, 3)), groups)
    assert ranking(totals, "S").leader == "y"
    with pytest.raises(TallyError, match="got 'W'"):
        ranking(totals, "W")


def test_without_draws_or_rivals_there_is_no_ranking(kit, plain_form):
    table = kit.table_of([[1, 2, 3], [4, 5, 6]], FIELDS)
    with pytest.raises(TallyError, match="ranking: expected totals with draws"):
        ranking(vote_totals(table))
    proba = np.array(
        [[kit.boxes_of(n, 3) for n in row] for row in [[1, 2, 3], [4, 5, 6]]]
    )
    alone = vote_totals(table, fields="x", form=plain_form, digit_proba=proba)
    with pytest.raises(TallyError, match="expected two parties, got x"):
        ranking(alone)
