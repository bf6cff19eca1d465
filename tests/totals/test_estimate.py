"""Estimates: against all samples of a small frame, formulas by hand, and bad input."""

import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest

from sktally import TallyError, TallyWarning, draw_audit, estimate
from sktally.totals import AuditDraw, difference, share, total, turnout
from sktally.totals._names import frame_hash
from sktally.totals._variance import Design

PAPER = pd.DataFrame(
    {"ana": [10, 52, 31, 40, 25, 77], "ben": [90, 48, 60, 55, 70, 20]},
    index=list("abcdef"),
)
READ = pd.DataFrame(
    {"ana": [10, 52, 37, 40, np.nan, 71], "ben": [90, 43, 60, 58, 10, 20]},
    index=list("abcdef"),
).assign(voters=110, region=list("xxxyyy"))


def audit_of(names, chance, strata="all", method="simple"):
    sheets = pd.DataFrame(
        {"sheet": list(names), "stratum": strata, "probability": chance}
    ).assign(order=range(1, len(names) + 1))
    draw = AuditDraw(sheets, method, len(PAPER), frame_hash(PAPER.index))
    return draw.with_readings(PAPER.loc[draw.names])


def all_simple(n=3):
    for names in itertools.combinations(PAPER.index, n):
        yield 1 / math.comb(len(PAPER), n), audit_of(names, n / len(PAPER))


def all_stratified():
    for first in itertools.combinations("abc", 2):
        for second in itertools.combinations("def", 2):
            strata = ["x", "x", "y", "y"]
            yield 1 / 9, audit_of([*first, *second], 2 / 3, strata, "stratified")


@pytest.mark.filterwarnings("ignore::sktally.TallyWarning")
@pytest.mark.parametrize("samples", [all_simple, all_stratified])
@pytest.mark.parametrize("field", ["ana", "ben"])
def test_the_difference_is_unbiased_over_all_samples_and_so_is_its_variance(
    samples, field
):
    found, variances, chances = [], [], []
    for chance, audit in samples():
        row = estimate(audit, READ, of=[field], method="difference").iloc[0]
        found.append(row["estimate"])
        variances.append(row["std_error"] ** 2 * (1 - row["unseen"]))
        chances.append(chance)
    mean = np.dot(chances, found)
    assert mean == pytest.approx(PAPER[field].sum())
    spread = np.dot(chances, (np.array(found) - mean) ** 2)
    assert np.dot(chances, variances) == pytest.approx(spread)


@pytest.mark.filterwarnings("ignore::sktally.TallyWarning")
def test_groups_are_unbiased_too():
    found = [
        estimate(audit, READ, of=["ana"], by="region", method="difference")["estimate"]
        for _, audit in all_simple(5)
    ]
    truth = PAPER.groupby(READ["region"])["ana"].sum()
    np.testing.assert_allclose(np.mean(found, axis=0), truth)


def test_unequal_draws_are_unbiased_by_their_probabilities():
    rng = np.random.default_rng(0)
    paper = rng.poisson(60, 30).astype(float)
    read = pd.DataFrame({"ana": paper * rng.uniform(0.7, 1.2, 30)})
    size = rng.uniform(1, 5, 30)
    found, variances = [], []
    for seed in range(250):
        draw = draw_audit(read, 8, method="unequal", size=size, random_state=seed)
        at = [int(name) for name in draw.names]
        audit = draw.with_readings(pd.DataFrame({"ana": paper[at]}, draw.names))
        design, errors = Design(audit), paper[at] - read["ana"].to_numpy()[at]
        found.append(design.total(errors))
        variances.append(design.products(errors, errors).sum())
    truth = (paper - read["ana"]).sum()
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - truth) < 4 * error
    assert np.mean(variances) == pytest.approx(np.var(found), rel=0.3)


def test_by_hand():
    audit = audit_of("cdf", 0.5)
    options = {"method": "difference", "of": ["ana"], "unread": 0.0}
    row = estimate(audit, READ, **options).iloc[0]
    errors = np.array([31 - 37, 0, 77 - 71])
    assert row["machine"] == 210
    assert row["estimate"] == pytest.approx(210 + 2 * errors.sum())
    seen = 36 * (1 - 0.5) * errors.var(ddof=1) / 3
    machine = np.array([10, 52, 37, 40, 0, 71])
    rare = 0.5 * 2 * np.sort((machine - 35.0) ** 2)[-2:].sum()
    assert row["std_error"] ** 2 == pytest.approx(seen + rare)
    assert row["unseen"] == pytest.approx(rare / (seen + rare))
    reach = 4.302653 * row["std_error"]  # t of 2 degrees of freedom
    assert row["upper"] - row["estimate"] == pytest.approx(reach, rel=1e-6)
    assert (row["n_audited"], row["n_wrong"], row["n_frame"]) == (3, 2, 6)


def test_ratio_by_hand():
    audit = audit_of("acf", 0.5)
    row = estimate(audit, READ, of=["ana"], method="ratio", unread=20.0).iloc[0]
    assert row["estimate"] == pytest.approx(230 * (10 + 31 + 77) / (10 + 37 + 71))


def test_share_by_hand():
    audit = audit_of("cdf", 0.5)
    of = [share("ana", ["ana", "ben"]), "ana", "ben", difference("ana", "ben")]
    table = estimate(audit, READ, of=of, method="difference").set_index("what")
    ana, ben = table["estimate"][["total ana", "total ben"]]
    ratio = ana / (ana + ben)
    assert table["estimate"]["share ana"] == pytest.approx(ratio)
    assert table["estimate"]["ana - ben"] == pytest.approx(ana - ben)
    a, b = np.array([-6, 0, 6.0]), np.array([0, -3, 0.0])
    line = (a - ratio * (a + b)) / (ana + ben)
    row = table.loc["share ana"]
    seen = 36 * 0.5 * line.var(ddof=1) / 3
    assert row["std_error"] ** 2 * (1 - row["unseen"]) == pytest.approx(seen)


def test_a_census_has_no_error_and_finds_the_truth():
    audit = audit_of("abcdef", 1.0)
    of = ["ana", share("ben", ["ana", "ben"]), turnout(["ana", "ben"], "voters")]
    table = estimate(audit, READ, of=of, audit_only=True)
    votes = PAPER.sum().sum()
    truth = [PAPER["ana"].sum(), PAPER["ben"].sum() / votes, votes / 660]
    for column in ("estimate", "lower", "upper", "audit_only_lower"):
        np.testing.assert_allclose(table[column], truth)


def election(n=400, accuracy=0.9, seed=0):
    rng = np.random.default_rng(seed)
    ana = rng.binomial(200, rng.beta(5, 5, n))
    paper = pd.DataFrame({"ana": ana, "ben": rng.binomial(200 - ana, 0.8)})
    paper.index = [f"s{i}" for i in range(n)]
    wrong = rng.random(paper.shape) > accuracy
    read = paper.mask(wrong, paper + 10.0).assign(voters=200)
    return paper, read


@pytest.mark.parametrize("method", ["simple", "stratified", "unequal"])
def test_every_design_puts_a_biased_machine_right(method):
    paper, read = election()
    read["half"] = ["a", "b"] * 200
    given = {"stratified": {"strata": "half"}, "unequal": {"size": "voters"}}
    draw = draw_audit(read, 120, method=method, random_state=1, **given.get(method, {}))
    audit = draw.with_readings(paper.loc[draw.names])
    table = estimate(
        audit, read, of=["ana", "ben"], registered="voters", audit_only=True
    )
    truth = paper.sum().to_numpy()
    assert np.all((table["lower"] < truth) & (truth < table["upper"]))
    assert np.all(abs(table["machine"] - truth) > 200)
    width = table["upper"] - table["lower"]
    alone = table["audit_only_upper"] - table["audit_only_lower"]
    assert np.all(width < alone / 2)
    assert np.all(table["trust"] > 0.8)


def test_groups_have_rows_of_their_own():
    paper, read = election()
    read["half"] = ["a", "b"] * 200
    draw = draw_audit(read, 120, method="stratified", strata="half", random_state=2)
    audit = draw.with_readings(paper.loc[draw.names])
    table = estimate(audit, read, of=["ana", "ben"], by="half", registered="voters")
    assert table["half"].tolist() == ["a", "a", "b", "b"]
    assert table["n_frame"].tolist() == [200] * 4
    assert table["n_audited"].tolist() == [60] * 4
    truth = paper.groupby(read["half"]).sum().to_numpy().ravel()
    assert np.all((table["lower"] < truth) & (truth < table["upper"]))
    whole = estimate(audit, read, of=["ana", "ben"], method="difference")
    parts = estimate(audit, read, of=["ana", "ben"], by="half", method="difference")
    sums = parts.groupby("what", sort=False)["estimate"].sum()
    np.testing.assert_allclose(sums, whole["estimate"])


@pytest.mark.parametrize("interval", ["normal", "bounded"])
def test_intervals_hold_over_many_audits_of_rare_errors(interval):
    paper, read = election(accuracy=0.97)
    truth, held = paper["ana"].sum(), 0
    for seed in range(80):
        draw = draw_audit(read, 80, random_state=seed)
        audit = draw.with_readings(paper.loc[draw.names])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TallyWarning)
            row = estimate(
                audit, read, of=["ana"], registered="voters", interval=interval
            ).iloc[0]
        held += row["lower"] <= truth <= row["upper"]
    assert held >= 71  # of 80 at 95 %, fewer once in a hundred times


def test_a_worthless_machine_is_not_trusted():
    paper, read = election()
    read["ana"] = np.random.default_rng(3).permutation(read["ana"].to_numpy())
    draw = draw_audit(read, 120, random_state=0)
    audit = draw.with_readings(paper.loc[draw.names])
    row = estimate(audit, read, of=["ana"], audit_only=True).iloc[0]
    assert row["trust"] < 0.2
    alone = row["audit_only_upper"] - row["audit_only_lower"]
    assert row["upper"] - row["lower"] < 1.03 * alone


@pytest.mark.parametrize("method", ["simple", "stratified"])
def test_trust_by_hand(method):
    paper, read = election(accuracy=0.8)
    read["half"] = ["a"] * 100 + ["b"] * 300
    options = {"strata": "half", "allocation": "equal"} if method != "simple" else {}
    draw = draw_audit(read, 80, method=method, random_state=4, **options)
    row = estimate(
        draw.with_readings(paper.loc[draw.names]), read.drop(columns="half"), of=["ana"]
    ).iloc[0]
    strata = read["half"] if method != "simple" else pd.Series("all", read.index)
    drawn = read.index.isin(draw.names)
    covariance, total = np.zeros((2, 2)), 0.0
    for name, size in strata.value_counts().items():
        here = drawn & (strata == name).to_numpy()
        both = np.array([paper["ana"][here], read["ana"][here]])
        n = here.sum()
        covariance += size**2 * (1 - n / size) / n * np.cov(both)
        total += size * both.mean(axis=1)
    # 5 sheets for each audited one: the most unusual of the machine, as if misread
    far = np.sort((read["ana"] - read["ana"].mean()) ** 2)[-5:].sum()
    rare = (1 - 80 / 400) * 5 * far
    trust = covariance[0, 1] / (covariance[1, 1] + rare)
    assert 0.5 < trust < 1
    assert row["trust"] == pytest.approx(trust)
    expected = total[0] + trust * (read["ana"].sum() - total[1])
    assert row["estimate"] == pytest.approx(expected)
    seen = np.array([1, -trust]) @ covariance @ np.array([1, -trust]) * 80 / 79
    assert row["std_error"] ** 2 == pytest.approx(seen + trust**2 * rare)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of scikit-learn, in ppi_py
def test_means_are_those_of_the_authors_package():
    ppi = pytest.importorskip("ppi_py", reason="the authors' package: ppi-python")
    paper, read = election(accuracy=0.8)
    draw = draw_audit(read, 80, random_state=4)
    row = estimate(draw.with_readings(paper.loc[draw.names]), read, of=["ana"]).iloc[0]
    rest = read["ana"].drop(draw.names).to_numpy()
    drawn = (paper["ana"][draw.names].to_numpy(), read["ana"][draw.names].to_numpy())
    # its machine's part is over the rest, ours over all sheets
    expected = ppi.ppi_mean_pointestimate(*drawn, rest, lam=row["trust"] * 0.8)
    assert row["estimate"] / 400 == pytest.approx(float(expected[0]))


def misread(**options):
    """Return an estimate in which a tenth of a small party's counts are far out."""
    rng = np.random.default_rng(7)
    paper = pd.DataFrame({"eva": rng.binomial(200, 0.1, 400).astype(float)})
    paper.index = [f"s{i}" for i in range(400)]
    read = paper.copy()
    wrong = np.arange(400) % 10 == 0
    read.loc[wrong, "eva"] += 100
    read["odd"] = wrong
    draw = draw_audit(read, 80, random_state=5)
    audit = draw.with_readings(paper.loc[draw.names])
    given = options.pop("read", lambda read, paper: read)(read, paper)
    row = estimate(audit, given, registered=200, audit_only=True, **options).iloc[0]
    assert row["lower"] < paper["eva"].sum() < row["upper"]
    return row


def width(row):
    return row["upper"] - row["lower"]


def test_far_out_counts_of_doubtful_sheets_count_as_not_read():
    row = misread(doubtful="odd", unread=20)
    assert width(row) < width(misread(unread=20)) / 1.5
    unread = misread(
        read=lambda read, paper: read.assign(eva=read["eva"].mask(read["odd"])),
        doubtful="odd",
        unread=20,
    )
    same = ["estimate", "lower", "upper", "trust", "unseen", "n_wrong"]
    pd.testing.assert_series_equal(row[same], unread[same], check_names=False)


def test_marks_do_no_harm_where_the_machine_was_right():
    def right(read, paper):
        return paper.assign(odd=read["odd"])

    with pytest.warns(TallyWarning, match="no audited sheet was misread"):
        row, plain = misread(read=right, doubtful="odd"), misread(read=right)
    pd.testing.assert_series_equal(row, plain)  # nothing is far out


def test_strongholds_on_sheets_that_add_up_are_believed():
    marked = misread(
        read=lambda read, paper: read.assign(odd=False), doubtful="odd", unread=20
    )
    plain = misread(unread=20)
    same = ["estimate", "lower", "upper", "trust", "unseen"]
    assert marked[same].to_list() == pytest.approx(plain[same].to_list())


def test_counts_above_what_can_be_are_not_believed():
    paper, read = election(accuracy=0.95)
    read.loc["s1", "ana"] = 999
    draw = draw_audit(read, 100, random_state=0)
    audit = draw.with_readings(paper.loc[draw.names])
    wide, tight = (
        estimate(
            audit, read, of=["ana"], registered=registered, method="difference"
        ).iloc[0]
        for registered in (None, "voters")
    )
    assert tight["std_error"] < wide["std_error"] / 1.5


def test_no_error_among_the_audited_is_warned_of_and_still_wide():
    paper, _ = election()
    draw = draw_audit(paper, 100, random_state=0)
    audit = draw.with_readings(paper.loc[draw.names])
    with pytest.warns(TallyWarning, match="no audited sheet was misread"):
        row = estimate(audit, paper, of=["ana"]).iloc[0]
    assert row["std_error"] > 0
    row = estimate(audit, paper, of=["ana"], registered=200, interval="bounded").iloc[0]
    assert row["lower"] < paper["ana"].sum() < row["upper"]


def test_missing_readings_are_an_error_or_bounded():
    paper, read = election()
    draw = draw_audit(read, 100, random_state=0)
    audit = draw.with_readings(paper.loc[draw.names[:-2]])
    with pytest.raises(TallyError, match="2 of 100 sheets drawn have missing readings"):
        estimate(audit, read, registered="voters")
    of = ["ana", share("ana", ["ana", "ben"])]
    options = {"of": of, "registered": "voters", "method": "difference"}
    table = estimate(audit, read, missing="bound", **options)
    for ana, ben in ((0, 0), (0, 200), (200, 0), (200, 200), (90, 50)):
        rest = pd.DataFrame({"ana": ana, "ben": ben}, index=draw.names[-2:])
        full = draw.with_readings(pd.concat([paper.loc[draw.names[:-2]], rest]))
        one = estimate(full, read, **options)
        assert np.all(table["lower"] <= one["lower"] + 1e-9)
        assert np.all(table["upper"] >= one["upper"] - 1e-9)


def test_sheets_may_come_in_any_order():
    paper, read = election()
    draw = draw_audit(read, 100, random_state=0)
    audit = draw.with_readings(paper.loc[draw.names].sample(frac=1, random_state=1))
    one = estimate(audit, read)
    other = estimate(
        audit, read.sample(frac=1, random_state=2).reset_index(names="sheet")
    )
    pd.testing.assert_frame_equal(one, other)


def good():
    return audit_of("abcd", 4 / 6), READ


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a, r: (["a", "b"], r),
            "an AuditDraw, got list: sheets picked",
        ),
        (lambda a, r: (r, r), "expected an AuditDraw, got DataFrame: sheets picked"),
        (lambda a, r: (draw_audit(r, 3), r), "drawn, but not read yet"),
        (lambda a, r: (a, r.drop("a")), "a .1 in all. not among the sheets of read"),
        (lambda a, r: (a, r.drop("f")), "expected the 6 sheets .* got 5 that differ"),
        (lambda a, r: (a, r.iloc[:0]), "read: expected at least one sheet"),
        (lambda a, r: (a, pd.concat([r, r])), "read: expected every sheet once"),
        (lambda a, r: (a, r.assign(ana=-1)), "'ana': expected counts of at least 0"),
        (lambda a, r: (a, r.drop(columns="ana")), "no column 'ana'"),
    ],
)
def test_audits_and_frames_that_do_not_fit(change, message):
    audit, read = change(*good())
    with pytest.raises(TallyError, match=message):
        estimate(audit, read)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": "ana"}, "of: expected a list"),
        ({"of": []}, "of: expected at least one"),
        ({"by": ["region"]}, r"by: no column \['region'\] in read"),
        ({"by": "machine"}, "by: the table has a column 'machine' too; rename it"),
        ({"of": [5]}, "of: expected names of fields, or quantities, got 5"),
        ({"of": [share("zero", ["zero"])]}, "zero: expected a denominator above 0"),
        ({"of": ["voided"]}, "voided: neither audited nor known for every sheet"),
        ({"by": "county"}, "by: no column 'county'"),
        ({"by": "region2"}, "by: 'region2' is missing for a"),
        (
            {"by": "single"},
            "2 audited sheets in each group, got fewer in f, t",
        ),
        ({"registered": 50}, "'ana': more than the sheet can hold .registered. on b"),
        ({"registered": "voided"}, "registered, column 'voided'"),
        ({"method": "magic"}, "method: expected one of"),
        ({"interval": "exact"}, "interval: expected one of"),
        ({"confidence_level": 1.0}, "confidence_level: expected a number"),
        ({"unread": "median"}, "unread: expected one of 'mean'"),
        ({"doubtful": "sums"}, "doubtful: no column 'sums' in read"),
        ({"doubtful": "voided"}, "'voided': expected True or False .* got nan"),
        ({"doubtful": "region"}, "'region': expected True or False .* got x"),
        (
            {"doubtful": "zero", "method": "difference"},
            "doubtful: only for method='regression' .* got 'difference'",
        ),
        (
            {"doubtful": "zero", "interval": "bounded"},
            "doubtful: only for method='regression' .* got 'regression' with 'bounded'",
        ),
        ({"interval": "bounded"}, "registered: expected the most"),
        (
            {
                "interval": "bounded",
                "registered": 110,
                "of": [share("ana", ["ana", "ben"])],
            },
            "for sums and known denominators",
        ),
        ({"interval": "bounded", "method": "ratio"}, "expected 'difference'"),
    ],
)
def test_bad_options(options, message):
    audit, read = good()
    read = read.assign(
        zero=0,
        machine="x",
        voided=[np.nan, *[1] * 5],
        region2=[None, *"xxxxx"],
        single=list("xxxxft"),
    )
    with pytest.raises(TallyError, match=message):
        estimate(audit, read, **options)


def test_bounded_is_for_simple_draws():
    audit = audit_of("abde", 2 / 3, ["x", "x", "y", "y"], "stratified")
    with pytest.raises(TallyError, match="'bounded' is for method='simple'"):
        estimate(audit, READ, interval="bounded", registered=110)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: difference("ana", "ana"), "expected two fields"),
        (lambda: share("ana", []), "share ana: expected at least one field"),
        (lambda: total([]), "expected at least one field"),
    ],
)
def test_bad_quantities(make, message):
    with pytest.raises(TallyError, match=message):
        make()


def test_ratios_with_missing_readings_hold_what_full_ones_say():
    draw = draw_audit(READ.index, 4, random_state=0)
    full = draw.with_readings(PAPER.loc[draw.names])
    gap = PAPER.loc[draw.names].astype(float)
    gap.iloc[0, 0] = np.nan
    options = {"of": ["ana"], "registered": "voters", "method": "ratio"}
    row = estimate(full, READ, **options).iloc[0]
    wide = estimate(draw.with_readings(gap), READ, missing="bound", **options).iloc[0]
    assert wide["lower"] <= row["lower"] < row["upper"] <= wide["upper"]
    assert np.isfinite(wide["estimate"])


def test_a_sheet_that_was_not_read_is_wrong_even_if_the_guess_is_right():
    audit = draw_audit(READ.index, 6, random_state=0).with_readings(PAPER)
    row = estimate(audit, READ, of=["ana"], unread=25).iloc[0]  # as is on paper
    assert row["n_wrong"] == 3  # c, f, and e, which was not read
    assert row["machine"] == READ["ana"].sum()


def test_columns_that_stand_there_twice():
    audit, read = good()
    twice = pd.concat([read, read[["ana"]]], axis=1)
    with pytest.raises(TallyError, match="expected one column 'ana', got several"):
        estimate(audit, twice)


def test_a_share_is_of_a_sum_that_holds_it():
    with pytest.raises(TallyError, match="share: expected ana among .* got ben"):
        share("ana", among=["ben"])
