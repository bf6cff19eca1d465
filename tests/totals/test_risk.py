"""Risk of transcription: never above the limit, by going through all draws."""

import hashlib
import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from sktally import TallyError
from sktally.totals import TranscriptionRiskPlan
from sktally.totals._contest import make_contest
from sktally.totals._martingale import log_wealth, sequential_risk
from sktally.totals._order import draw_order

LIMITS = (0.05, 0.1, 0.25, 0.5, 0.9)


@st.composite
def small_contests(draw):
    """Draw a contest of a few sheets: what was reported, and what is written."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, names = draw(st.sampled_from([2, 3, 3, 4, 4, 5])), draw(st.integers(2, 3))
    registered = rng.integers(1, 9, n)
    per_voter = draw(st.integers(1, names - 1))

    def votes():
        made = rng.integers(0, registered[:, None] + 1, (n, names))
        for row, voters in zip(made, registered):
            while row.sum() > per_voter * voters:
                row[rng.choice(np.flatnonzero(row))] -= 1
        return made

    reported = votes().astype(float)
    reported[rng.random(reported.shape) < draw(st.sampled_from([0, 0.2]))] = np.nan
    written = votes()
    winners = draw(st.integers(1, names - 1))
    try:
        contest = make_contest(
            reported, registered, n_winners=winners, votes_per_voter=per_voter
        )
    except TallyError:  # a tie
        return None
    return contest, written


def is_wrong(contest, written):
    totals = written.sum(axis=0)
    return (totals[contest.winners] <= totals[contest.losers]).any()


def all_draws(worst):
    """Yield all orders with their probabilities; sheets of 0 come last."""
    at_stake, rest = np.flatnonzero(worst > 0), np.flatnonzero(worst == 0)
    for order in itertools.permutations(at_stake):
        left, chance = worst.sum(), 1.0
        for row in order:
            chance *= worst[row] / left
            left -= worst[row]
        yield np.array([*order, *rest], int), chance


@settings(max_examples=100, deadline=None, derandomize=True)
@given(small_contests(), st.sampled_from([0.3, 0.9, 1.0]))
def test_wrong_outcomes_pass_no_more_often_than_the_limit(made, bet):
    """Exactly: all draws, weighed by their probabilities."""
    if made is None or not is_wrong(*made):
        return
    contest, written = made
    passed, wealth_of_false = np.zeros(len(LIMITS)), 0.0
    false = int(
        (
            written.sum(axis=0)[contest.winners] - written.sum(axis=0)[contest.losers]
        ).argmin()
    )
    whole = 0.0
    for order, chance in all_draws(contest.worst):
        over = contest.overstated(order, written[order].astype(float))
        wealth = log_wealth(over, contest.margins, contest.worst[order], bet=bet)
        passed += chance * (sequential_risk(wealth)[-1] <= np.array(LIMITS))
        wealth_of_false += chance * np.exp(wealth[:, false])
        whole += chance
    assert whole == pytest.approx(1)
    assert (passed <= np.array(LIMITS) + 1e-9).all()
    assert (wealth_of_false <= 1 + 1e-9).all()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(small_contests())
def test_right_outcomes_are_certain_once_all_is_read(made):
    if made is None:
        return
    contest, written = made
    rows = np.arange(len(written))
    over = contest.overstated(rows, written.astype(float))
    assert (over <= contest.most).all()
    order = np.argsort(contest.worst == 0)
    wealth = log_wealth(over[order], contest.margins, contest.worst[order], bet=0.9)
    risk = sequential_risk(wealth)[-1]
    assert risk == 0 or is_wrong(contest, written)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(small_contests(), st.integers(0, 2**32 - 1))
def test_what_cannot_be_read_is_taken_for_the_worst(made, seed):
    if made is None:
        return
    contest, written = made
    rng = np.random.default_rng(seed)
    partly = np.where(rng.random(written.shape) < 0.4, np.nan, written)
    rows = np.arange(len(written))
    worst = contest.overstated(rows, partly)
    assert (worst >= contest.overstated(rows, written.astype(float))).all()
    assert (worst <= contest.most).all()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(small_contests(), st.sampled_from([Fraction(1, 2), Fraction(1)]))
def test_wealth_as_in_fractions(made, bet):
    if made is None or not (made[0].worst > 0).all():
        return
    contest, written = made
    rows = np.arange(len(written))
    over = contest.overstated(rows, written.astype(float))
    found = log_wealth(over, contest.margins, contest.worst, bet=float(bet))
    for pair, margin in enumerate(map(int, contest.margins)):
        worst = [
            max(Fraction(int(m), int(v)) for m, v in zip(row, contest.margins))
            for row in contest.most
        ]
        wealth, spent = Fraction(1), Fraction(0)
        for i in rows:
            left, error = sum(worst[i:]), Fraction(int(over[i, pair]), margin)
            if 1 - spent > left:
                assert np.isinf(found[i, pair])
                break
            price = 1 - (1 - spent) / left
            if price > 0:
                wealth *= 1 + bet * ((1 - error / worst[i]) / price - 1)
            spent += error
            if 1 - spent <= sum(worst[i + 1 :]):
                assert np.exp(found[i + 1, pair]) == pytest.approx(float(wealth))


def test_without_errors_as_kaplan_and_markov():
    """Equal sheets, no error: the product of 1 / (1 - 1/U), U shrinking as they go."""
    counts = np.tile([60, 40], (50, 1))
    plan = TranscriptionRiskPlan(seed=1, bet=1.0).fit(counts, np.full(50, 100))
    left = 0.12 * np.arange(50, 0, -1)
    expected = np.cumprod(1 - 1 / left[:10])
    plan.draw(10)
    risks = plan.update(pd.DataFrame(counts).loc[plan.order_[:10]]).risks_
    assert risks[1:] == pytest.approx(expected)
    n = int((np.cumprod(1 - 1 / left[:40]) > 0.05).sum()) + 1
    assert plan.sheets_to_go() == n - 10
    found = plan.expected_sheets(n_trials=5, random_state=0)
    assert found == (n, n, n)


def made_contest(n=60, lead=20):
    rng = np.random.default_rng(0)
    names = [f"s{i}" for i in range(n)]
    ours = rng.integers(40, 60, n)
    votes = {"a": ours + lead, "b": 100 - ours, "c": rng.integers(0, 20, n)}
    return pd.DataFrame(votes, index=names), pd.Series(200, names)


def test_the_seed_and_the_names_fix_the_order():
    counts, registered = made_contest()
    plan = TranscriptionRiskPlan(seed="3 1 4").fit(counts, registered)
    again = TranscriptionRiskPlan(seed="3 1 4").fit(
        counts[::-1], registered.sort_index()
    )
    assert plan.order_.tolist() == again.order_.tolist()
    keys = {}
    for name, worst in plan.worst_.items():
        digest = hashlib.sha256(f"3 1 4,{name}".encode()).hexdigest()
        keys[name] = -math.log((int(digest[:16], 16) + 0.5) / 2**64) / worst
    assert plan.order_.tolist() == sorted(keys, key=keys.get)
    other = TranscriptionRiskPlan(seed="3 1 5").fit(counts, registered)
    assert other.order_.tolist() != plan.order_.tolist()


def test_draws_are_in_proportion_to_what_is_at_stake():
    weights = np.array([1.0, 2, 3, 4, 0])
    orders = np.array([draw_order("abcde", weights, seed) for seed in range(4000)])
    first = np.bincount(orders[:, 0], minlength=5)[:4]
    assert chisquare(first, 400 * weights[:4]).pvalue > 0.001
    second = np.bincount(orders[orders[:, 0] == 3, 1], minlength=5)[:3]
    assert chisquare(second, second.sum() * weights[:3] / 6).pvalue > 0.001
    assert (orders[:, -1] == 4).all()


def test_reading_on_until_the_outcome_holds():
    counts, registered = made_contest()
    plan = TranscriptionRiskPlan(seed=7).fit(counts, registered)
    assert (plan.risk_, plan.done_, plan.conclusion_) == (1, False, "read more")
    while not plan.done_:
        plan.update(counts.loc[plan.draw(3)])
    assert plan.conclusion_ == "outcome holds" and plan.risk_ <= 0.05
    assert plan.n_read_ == plan.n_drawn_ < 60 and plan.sheets_to_go() == 0
    assert (np.diff(plan.risks_) <= 0).all()
    assert "does not audit ballots" in plan.summary()


def test_only_sheets_before_the_first_unread_one_count():
    counts, registered = made_contest()
    plan = TranscriptionRiskPlan(seed=7).fit(counts, registered)
    drawn = plan.draw(10)
    plan.update(counts.loc[drawn[1:]])
    assert plan.n_read_ == 0 and plan.risk_ == 1
    plan.update(counts.loc[drawn[:1]])
    assert plan.n_read_ == 10 and plan.risk_ < 1


def test_a_wrong_outcome_ends_with_all_sheets_read():
    counts, registered = made_contest(lead=2)
    written = counts.rename(columns={"a": "b", "b": "a"})[counts.columns]
    plan = TranscriptionRiskPlan(seed=7).fit(counts, registered)
    plan.update(written.loc[plan.draw(60)])
    assert plan.done_ and plan.conclusion_ == "all sheets read" and plan.risk_ > 0.05
    assert plan.totals_.to_dict() == written.sum().to_dict()
    assert len(plan.draw(5)) == 0


def test_unread_and_lost_sheets():
    counts, registered = made_contest()
    whole = TranscriptionRiskPlan(seed=7).fit(counts, registered)
    some = counts.drop(index=[f"s{i}" for i in range(3, 20)])
    unread = TranscriptionRiskPlan(seed=7).fit(some, registered)
    assert unread.worst_["s3"] == pytest.approx(200 / unread.margins_["votes"].min())
    assert unread.sheets_to_go() > whole.sheets_to_go()
    lost = TranscriptionRiskPlan(seed=7).fit(some, registered, lost=["s3"])
    assert "s3" not in lost.order_ and len(lost.order_) == 59
    assert lost.update(counts.loc[lost.draw(59)]).risk_ == 0
    found = counts.drop(index="s3").reindex(unread.draw(60))  # nobody finds s3
    assert unread.update(found).risk_ == 0


def test_it_is_settled_when_too_few_votes_are_left():
    counts = pd.DataFrame([[90, 0], [3, 3]])
    plan = TranscriptionRiskPlan(seed=0).fit(counts, [100, 10])
    assert plan.order_.tolist() == [0, 1]
    plan.update(counts.loc[plan.draw(1)])
    assert plan.done_ and plan.risk_ == 0


def test_sheets_that_cannot_help_the_loser_come_last():
    """All voters of the first sheet voted for the loser, as reported."""
    counts = pd.DataFrame([[0, 10], [60, 40], [60, 40]])
    plan = TranscriptionRiskPlan(seed=0).fit(counts, [10, 100, 100])
    assert plan.worst_[0] == 0 and plan.order_[-1] == 0
    tie = counts.copy()
    tie.loc[2] = [45, 55]
    plan.update(tie.loc[plan.draw(2)])
    assert plan.risk_ > 0 and not plan.done_
    tie.loc[0] = [1, 9]
    assert plan.update(tie.loc[plan.draw(1)]).risk_ == 0


def test_more_winners():
    counts = np.tile([50, 30, 5, 5], (100, 1))
    plan = TranscriptionRiskPlan(seed=0, n_winners=2).fit(counts, np.full(100, 100))
    assert plan.winners_ == [0, 1] and len(plan.margins_) == 4
    assert plan.margins_["votes"].min() == 2500
    plan.update(pd.DataFrame(counts).loc[plan.draw(plan.sheets_to_go())])
    assert plan.conclusion_ == "outcome holds"


def test_expected_sheets_heed_errors_and_unread_sheets():
    counts, registered = made_contest(n=300)
    plan = TranscriptionRiskPlan(seed=0).fit(counts, registered)
    none, some = (
        plan.expected_sheets(error_rate=r, error_votes=100, random_state=0).mean
        for r in (0, 0.2)
    )
    assert none < some
    counts.iloc[:50] = np.nan
    other = TranscriptionRiskPlan(seed=0).fit(counts.astype("Int64"), registered)
    # once read, these add to the margin
    assert other.expected_sheets(random_state=0).high < other.sheets_to_go()


COUNTS = pd.DataFrame({"a": [5, 6], "b": [1, 2]}, index=["x", "y"])
BOUNDS = pd.Series({"x": 9, "y": 9})


@pytest.mark.parametrize(
    ("counts", "registered", "message"),
    [
        (COUNTS, pd.Series({"x": 5, "y": 9}), "sheet 'x' holds 6 votes, expected at"),
        (COUNTS, pd.Series({"x": 9}), "got none for y; add their registered voters"),
        (COUNTS, [9], "expected one for each of 2 sheets, got shape"),
        (COUNTS, pd.Series({"x": 9, "y": None}), "a number of voters for every sheet"),
        (
            COUNTS,
            pd.Series({"x": 9, "y": -1}),
            "registered: expected whole numbers of 0",
        ),
        (COUNTS, pd.Series([9, 9], ["x", "x"]), "each sheet once, got twice: x"),
        (COUNTS.replace(5, -5), BOUNDS, "got -5 for sheet 'x', 'a'"),
        (COUNTS.replace(5, 0.5), BOUNDS, "got 0.5 for sheet 'x', 'a'"),
        (COUNTS.replace(5, np.inf), BOUNDS, "got inf for sheet 'x', 'a'"),
        (COUNTS.astype(object).replace(5, "five"), BOUNDS, "expected whole numbers"),
        (COUNTS.set_axis(["x", "x"]), BOUNDS, "each sheet once, got twice: x"),
        (COUNTS.set_axis(["a", "a"], axis=1), BOUNDS, "each candidate once"),
        (COUNTS[["a"]], BOUNDS, "two candidates or more, got shape"),
        (COUNTS.iloc[:0], BOUNDS, "a row for each sheet"),
        (COUNTS.assign(b=[6, 5]), 2 * BOUNDS, "got a tie of a, b with 11 votes each"),
    ],
)
def test_bad_contests(counts, registered, message):
    with pytest.raises(TallyError, match=message):
        TranscriptionRiskPlan(seed=0).fit(counts, registered)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"seed": None}, "seed: expected text or an integer"),
        ({"risk_limit": 0}, "risk_limit above 0 and below 1"),
        ({"risk_limit": 1.0}, "risk_limit above 0 and below 1"),
        ({"risk_limit": 5}, "risk_limit: expected a number in"),
        ({"risk_limit": float("nan")}, "risk_limit: expected a number"),
        ({"bet": 0}, "a bet above 0"),
        ({"bet": 1.1}, "bet: expected a number in"),
        ({"n_winners": 0}, "n_winners: expected an integer"),
        ({"n_winners": 2}, "fewer winners than the 2 candidates"),
        ({"votes_per_voter": 0}, "votes_per_voter: expected an integer"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(TallyError, match=message):
        TranscriptionRiskPlan(**{"seed": 0, **params}).fit(COUNTS, BOUNDS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, rest: pd.concat([t, rest]), "expected sheets that were drawn, got"),
        (lambda t, rest: pd.concat([t, t]), "expected each sheet once"),
        (lambda t, rest: t[["a", "b"]], "expected the columns a, b, c, got a, b"),
        (lambda t, rest: t * -1, "expected whole numbers of 0 or more"),
        (lambda t, rest: t * 10, "holds .* votes, expected at most 1 for each of 200"),
    ],
)
def test_bad_readings(change, message):
    counts, registered = made_contest()
    plan = TranscriptionRiskPlan(seed=0).fit(counts, registered)
    drawn = counts.loc[plan.draw(2)]
    with pytest.raises(TallyError, match=message):
        plan.update(change(drawn, counts.loc[plan.order_[2:]]))
    plan.update(drawn)
    with pytest.raises(TallyError, match="were read before"):
        plan.update(drawn)
    with pytest.raises(TallyError, match="lost: expected sheets that have voters"):
        plan.fit(counts, registered, lost=["elsewhere"])


SMALL = pd.DataFrame({"A": [100, 90, 120], "B": [50, 60, 70]}, index=["a", "b", "ab"])


@pytest.mark.parametrize(
    ("counts", "registered", "message"),
    [
        (SMALL, 300, r"registered: expected one for each of 3 sheets, got shape \(\)"),
        (SMALL, None, r"registered: expected one for each of 3 sheets, got shape \(\)"),
        (SMALL, SMALL, r"got shape \(3, 2\)"),
        (5, [300] * 3, "counts: expected a table"),
        (SMALL.astype(float).replace(100, 1e20), [300] * 3, "counts: .* got 1e"),
        (SMALL, [1e20] * 3, "registered: .* got 1e"),
    ],
)
def test_counts_and_voters_that_are_none(counts, registered, message):
    with pytest.raises(TallyError, match=message):
        TranscriptionRiskPlan(seed=1).fit(counts, registered)


def test_lost_sheets_are_a_list_and_no_letters():
    with pytest.raises(TallyError, match="lost: expected a list of sheets, got 'ab'"):
        TranscriptionRiskPlan(seed=1).fit(SMALL, [300] * 3, lost="ab")


def test_a_generator_makes_the_trials():
    plan = TranscriptionRiskPlan(seed=1).fit(SMALL, [300] * 3)
    rng = np.random.default_rng(0)
    assert plan.expected_sheets(n_trials=5, random_state=rng).mean == 3
