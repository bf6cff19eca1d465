"""Contracts hold as often as they say, and refuse what cannot be proven."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, poisson
from sklearn.base import clone

from sktally import ReadingContract, TallyError, TallyWarning
from sktally.votes import accuracy_interval, contract_size
from sktally.votes._error_bound import error_bound, error_p_value, estimated_cluster
from sktally.votes._pages import paged_counts


def pages_of(n_pages, seed, *, together=0.0, n_fields=3, shape=(40, 1), sure=0.0):
    """Draw scores that are true, and what is right by them.

    A share `together` of the pages is right or wrong as a whole, and a share `sure` of
    the counts wrong, whatever their score.
    """
    rng = np.random.default_rng(seed)
    scores = rng.beta(*shape, (n_pages, n_fields))
    whole = rng.random((n_pages, 1)) < together
    scores = np.where(whole, scores[:, :1], scores)
    drawn = np.where(whole, rng.random((n_pages, 1)), rng.random(scores.shape))
    right = drawn < scores
    return scores, right & (rng.random(scores.shape) >= sure) if sure else right


def true_error(scores, correct, threshold):
    taken = scores >= threshold
    return (taken & ~correct).sum() / max(taken.sum(), 1)


def test_sizes_are_the_exact_binomial_tests():
    assert contract_size(0.001) == 2995  # rule of three: 3000
    for n_wrong in (0, 1, 7):
        n = contract_size(0.02, 0.9, n_wrong=n_wrong)
        p = [binomtest(n_wrong, m, 0.02, "less").pvalue for m in (n, n - 1)]
        assert p[0] <= 0.1 < p[1]


def test_sizes_at_the_ends_of_what_is_possible():
    assert contract_size(1e-9) == pytest.approx(np.log(20) * 1e9, rel=1e-3)
    assert contract_size(1e-9, n_wrong=10**9) > 10**18
    assert contract_size(1 - 1e-9, n_wrong=10**6) > 10**6
    with pytest.raises(TallyError, match="max_error: expected 1e-09 or more"):
        contract_size(1e-300)


def test_one_count_a_page_is_clopper_and_pearson():
    for wrong, n in ((0, 598), (3, 1200), (12, 900)):
        test = binomtest(wrong, n, 0.005, "less")
        assert error_bound(wrong, n, n, 1, 0.95) == pytest.approx(
            test.proportion_ci(0.95).high
        )
        if wrong <= n * 0.005 - 1:
            assert error_p_value(wrong, n, n, 1, 0.005) == pytest.approx(test.pvalue)


@given(
    n=st.integers(20, 60),
    bad=st.integers(0, 3),
    seed=st.integers(0, 1000),
    max_error=st.floats(0.02, 0.1),
)
def test_p_value_is_valid_whichever_pages_are_prone(n, bad, seed, max_error):
    """The exact chance of so few bad pages, where the null just holds, is no larger."""
    rng = np.random.default_rng(seed)
    accepted = rng.integers(1, 5, n)
    prone = rng.dirichlet(np.full(n, rng.choice([0.3, 10.0])))
    q = prone * max_error * accepted.sum()
    if (q > 1).any():
        q = np.full(n, q.mean())
    chance = np.r_[1.0, np.zeros(n)]
    for share in q:
        chance[1:] = chance[1:] * (1 - share) + chance[:-1] * share
        chance[0] *= 1 - share
    p_value = error_p_value(bad, n, accepted.sum(), 1.0, max_error)
    assert chance[: bad + 1].sum() <= p_value + 1e-12


@given(
    bad=st.integers(0, 5),
    n=st.integers(6, 2000),
    per_page=st.floats(1, 4),
    together=st.floats(1, 3),
    max_error=st.floats(0.001, 0.2),
)
def test_bound_and_p_value_agree(bad, n, per_page, together, max_error):
    how = (bad, n, n * per_page, together)
    bound = error_bound(*how, 0.95)
    p_value = error_p_value(*how, max_error)
    if abs(bound - max_error) > 1e-9 and bound < 1:
        assert (bound < max_error) == (p_value < 0.05)


@pytest.mark.filterwarnings("ignore:ReadingContract. nothing is accepted")
@pytest.mark.parametrize(
    ("clustering", "together", "sure"),
    [
        ("estimated", 0.0, 0.0),
        ("estimated", 0.5, 0.0),
        ("estimated", 0.2, 0.008),
        ("worst", 1.0, 0.0),
        ("independent", 0.0, 0.0),
    ],
)
def test_holds_at_its_confidence(clustering, together, sure):
    scores, correct = pages_of(60_000, 0, together=together, sure=sure)
    order = np.argsort(-scores.ravel())
    wrong = np.cumsum(~correct.ravel()[order])
    broken = rate = 0.0
    for seed in range(1, 151):
        sample = pages_of(300, seed, together=together, sure=sure)
        contract = ReadingContract(0.015, 0.8, clustering=clustering)
        contract.fit(*sample)
        taken = int((scores >= contract.threshold_).sum())
        broken += taken > 0 and wrong[taken - 1] > 0.015 * taken
        rate += taken / scores.size
    assert broken / 150 <= 0.2 + 0.06  # two standard errors
    assert rate / 150 > (0.05 if sure else 0.3)


@pytest.mark.filterwarnings("ignore:ReadingContract. nothing is accepted")
@pytest.mark.parametrize(
    ("clustering", "together", "valid"),
    [
        ("worst", True, True),
        ("worst", False, True),
        ("independent", False, True),
        ("independent", True, False),
        ("estimated", True, True),
        ("estimated", False, True),
    ],
)
def test_scores_that_say_nothing_pass_no_oftener_than_stated(
    clustering, together, valid
):
    """One test, at an error rate that is just too high, by 300 pages of three."""
    rng = np.random.default_rng(0)
    passed = 0
    for _ in range(250):
        wrong = rng.random((300, 1 if together else 3)) < 0.0303
        wrong = np.broadcast_to(wrong, (300, 3))
        contract = ReadingContract(0.03, 0.8, clustering=clustering)
        passed += contract.fit(np.ones((300, 3)), ~wrong).threshold_ == 1
    assert (passed / 250 <= 0.2 + 0.05) == valid  # two standard errors


@pytest.mark.parametrize("most", [2, 3, 6, 10])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_estimated_clusters_pass_no_oftener_than_stated(most, confidence):
    """Exactly: all bad pages accepted, 3 more below; some of them wrong as a whole."""
    for whole in (0.1, 0.35, 0.85):
        c = 1 + (most - 1) * whole
        for n in np.linspace(3, 14, 12) * c**0.5 / (0.005 * most):
            k, low, all_wrong = np.ogrid[:15, :10, :25]
            chance = binom.pmf(k, int(n), 0.005 * most / c) * poisson.pmf(low, 3)
            chance = chance * binom.pmf(all_wrong, k + low, whole)
            wrong = k + low + all_wrong * (most - 1)
            together = estimated_cluster(wrong, k + low, most, confidence)
            p_value = error_p_value(k, int(n), int(n) * most, together, 0.005)
            assert chance[p_value <= 1 - confidence].sum() <= 1 - confidence + 1e-3


def test_curve_and_threshold():
    scores, correct = pages_of(400, 3)
    contract = ReadingContract(0.02).fit(scores, correct)
    curve = contract.curve_
    assert (np.diff(curve["threshold"]) < 0).all()
    assert (curve["error_bound"] >= curve["error"]).all()
    row = curve[curve["held"]].iloc[-1]
    assert contract.threshold_ == row["threshold"]
    assert contract.error_bound_ == row["error_bound"] <= 0.02
    taken = contract.accept(scores)
    assert taken.sum() == row["accepted"]
    assert (taken & ~correct).sum() == row["wrong"]
    assert (taken & ~correct).any(axis=1).sum() == row["bad_pages"]
    assert taken.any(axis=1).sum() == row["pages"]
    assert contract.read_rate_.estimate == pytest.approx(taken.mean())
    assert contract.read_rate_.low < taken.mean() < contract.read_rate_.high
    assert (contract.n_pages_, contract.n_counts_) == (400, 1200)
    wrong = ~correct
    unseen = np.log(20) * 3 / 11
    assert contract.clustering_ == pytest.approx(
        (wrong.sum() + 3 * unseen) / (wrong.any(axis=1).sum() + unseen)
    )


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_where_it_begins_does_not_heed_what_was_right(scale):
    scores, correct = pages_of(1500, 8, shape=(20, 1))
    begun = set()
    for right in (scores > np.quantile(scores, 0.02), np.ones_like(correct)):
        contract = ReadingContract(0.03, clustering="worst").fit(scale * scores, right)
        begun.add(int(np.argmax(contract.curve_["held"])))
    assert len(begun) == 1
    strictest = np.argmax(contract.curve_["p_value"] <= 0.05)  # none were wrong
    assert (begun.pop() == strictest) == (scale == 30.0)


def test_unread_counts_are_never_accepted_and_count_as_not_read():
    scores, correct = pages_of(1500, 4)
    scores[:100, 0] = np.nan
    contract = ReadingContract(0.02).fit(scores, correct)
    assert not contract.accept(scores)[:100, 0].any()
    assert contract.read_rate_.estimate == contract.accept(scores).mean()
    known = np.where(np.arange(3) == 0, np.nan, correct)  # the first field of no truth
    assert ReadingContract(0.02).fit(scores, known).n_counts_ == 3000


def test_flat_counts_with_groups_are_the_same_as_rows():
    scores, correct = pages_of(400, 5)
    rows = ReadingContract(0.02).fit(scores, correct)
    order = np.random.default_rng(0).permutation(scores.size)
    names = np.repeat([f"page {i}" for i in range(400)], 3)[order]
    flat = ReadingContract(0.02)
    flat.fit(scores.ravel()[order], correct.ravel()[order], groups=names)
    assert flat.threshold_ == rows.threshold_
    assert flat.read_rate_ == rows.read_rate_


def test_independent_counts_are_still_on_their_pages():
    scores, _ = pages_of(400, 5)
    scores[:] = scores[:, :1]  # accepted or not as whole pages
    correct = scores >= np.quantile(scores, 0.2)
    found = ReadingContract(0.02, clustering="independent").fit(scores, correct)
    assert (found.n_pages_, found.n_counts_) == (400, 1200)
    accepted, page = found.accept(scores).ravel(), np.repeat(np.arange(400), 3)
    assert 0 < accepted.mean() < 1
    assert found.read_rate_ == accuracy_interval(accepted, groups=page)


def test_groups_of_a_table_are_of_its_rows():
    scores, correct = pages_of(60, 5, n_fields=60)
    each = {"correct": correct, "values": {"scores": scores}}
    rows = paged_counts(**each, groups=None)
    named = paged_counts(**each, groups=[f"page {i:02d}" for i in range(60)])
    assert (named.page == rows.page).all()
    with pytest.raises(TallyError, match=r"groups: .* each row, got shape \(3,\)"):
        ReadingContract().fit(*pages_of(60, 5), groups=[0, 1, 2])
    for groups in ([None, "b"], [np.nan, 1]):
        with pytest.raises(TallyError, match="groups: .* some missing"):
            ReadingContract().fit([0.5, 1], [1, 1], groups=groups)


def test_tables_of_pandas_may_miss_some():
    scores, correct = pages_of(400, 5)
    correct = np.where(scores < 0.5, np.nan, correct)
    missing = pd.DataFrame(correct).astype("Int64")
    found = ReadingContract(0.02).fit(pd.DataFrame(scores).astype("Float64"), missing)
    assert found.n_counts_ == (scores >= 0.5).sum()
    assert found.threshold_ == ReadingContract(0.02).fit(scores, correct).threshold_
    with pytest.raises(TallyError, match="scores: expected an array of numbers"):
        ReadingContract().fit([["much"]], [[1]])


def test_refuses_what_no_reading_could_prove():
    scores = np.linspace(0.5, 1, 1500).reshape(500, 3)
    right = np.ones((500, 3))
    with pytest.raises(TallyError, match="takes 598 such pages, or 1794 counts"):
        ReadingContract(0.005, clustering="worst").fit(scores, right)
    with pytest.raises(TallyError, match="takes 2995 such pages, or 2995 counts"):
        ReadingContract(0.001, clustering="independent").fit(scores, right)
    with pytest.raises(TallyError, match="0.001 of the accepted .* on 500 pages"):
        ReadingContract(0.001).fit(scores, right)
    n = contract_size(0.001)
    held = ReadingContract(0.001, clustering="independent")
    held.fit(np.linspace(0, 1, n), np.ones(n))
    assert held.read_rate_.estimate == 1
    with pytest.raises(TallyError, match="cannot be proven"):
        held.fit(np.linspace(0, 1, n - 1), np.ones(n - 1))


def test_too_many_wrong_accept_nothing():
    scores, _ = pages_of(700, 6)
    wrong = np.random.default_rng(0).random(scores.shape) < 0.05
    with pytest.warns(TallyWarning, match="nothing is accepted: of .* are wrong"):
        contract = ReadingContract(0.005).fit(scores, ~wrong)
    assert contract.threshold_ == np.inf and np.isnan(contract.error_bound_)
    assert not contract.accept(scores).any()
    assert contract.read_rate_.estimate == 0 < contract.read_rate_.high


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_error": 1e-300}, "max_error: expected 1e-09 or more, got 1e-300"),
        ({"max_error": 0}, "max_error and confidence_level: expected above 0"),
        ({"confidence_level": 1}, "max_error and confidence_level: expected above 0"),
        ({"confidence_level": 95}, "confidence_level: expected a number in"),
        ({"clustering": "none"}, "clustering: expected one of 'estimated', 'worst'"),
        ({"clustering": 0.5}, "clustering: expected a number in"),
        ({"n_thresholds": 0}, "n_thresholds: expected an integer"),
    ],
)
def test_parameters_are_checked(params, message):
    with pytest.raises(TallyError, match=message):
        ReadingContract(**params).fit(*pages_of(50, 0))


@pytest.mark.parametrize(
    ("scores", "correct", "message"),
    [
        ([0.5, 0.6], [1, 1], "groups: expected the page of each count; or say"),
        ([[0.5]], [[2]], "correct: expected 1, 0 or NaN"),
        ([[np.nan]], [[1]], "scores: expected some that are not NaN"),
        ([[np.inf]], [[1]], "scores: expected one number"),
    ],
)
def test_data_are_checked(scores, correct, message):
    with pytest.raises(TallyError, match=message):
        ReadingContract().fit(scores, correct)


def test_is_cloned_by_its_parameters():
    contract = clone(ReadingContract(0.01, 0.9, clustering=1.5))
    assert contract.get_params() == {
        "max_error": 0.01,
        "confidence_level": 0.9,
        "clustering": 1.5,
        "n_thresholds": 500,
    }


def test_p_values_are_those_of_mapie():
    """Some of MAPIE's are larger, where it rounds a share to one more wrong count."""
    control = pytest.importorskip("mapie.risk_control")
    scores, correct = pages_of(3000, 7, n_fields=1)
    ours = ReadingContract(0.03, clustering="independent").fit(scores, correct).curve_
    theirs = control.BinaryClassificationController(
        lambda X: np.column_stack([1 - X.ravel(), X.ravel()]),
        risk="precision",
        target_level=0.97,
        confidence_level=0.95,
        list_predict_params=ours["threshold"].to_numpy(),
        fwer_method="bonferroni",
    )
    theirs.calibrate(scores, correct.ravel().astype(int))
    p_values = np.ravel(theirs.p_values)
    some = (p_values < 0.3) & (p_values > 1e-8)
    assert some.sum() > 20
    ratio = p_values[some] / ours["p_value"][some]
    assert np.median(ratio) == pytest.approx(1) and ratio.min() > 1 - 1e-6
