"""How often 95 % intervals from audits hold the truth, over simulated elections.

For each setting: coverage of intervals for totals, shares, a difference, turnout and
slopes of regressions, from machine and audit together, with and without marks on the
sheets that do not add up as read (slopes know no marks), from the audit alone and from
the machine alone; how wide they are beside the audit's alone. None of the first may be
significantly below 95 %, tested for all of them together (Holm); those above 98 % are
listed with what makes them wide. To add a way to make intervals, add a function to
WAYS: it gets an election and its audit and returns ends of intervals by way and name.
"""

import itertools
import os
import sys
import time
import warnings
from collections import defaultdict

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
from _elections import FIELDS, PARTIES, Election, Setting, confusion, elections
from common import arguments, print_versions
from scipy.special import expit
from scipy.stats import binomtest

from sktally import TallyWarning, draw_audit, estimate
from sktally.totals import (
    AuditDraw,
    Quantity,
    difference,
    ppi_regression,
    share,
    total,
    turnout,
)

OF = [
    total("ana"),
    total("eva"),
    share("ana", PARTIES),
    difference("ana", "ben", among=PARTIES),
    turnout("all", "voters"),
]
SLOPES = {"slope of ana's share": "linear", "slope of ana's winning": "logistic"}
SETTINGS = [
    Setting(0.90, 0.05, "simple"),
    Setting(0.97, 0.05, "simple", registered=None),
    Setting(0.97, 0.01, "simple"),
    Setting(0.97, 0.10, "stratified"),
    Setting(0.97, 0.05, "unequal", n_audited=150),
    Setting(0.995, 0.05, "simple", n_audited=100),
]
BOTH, MARKED, ALONE = "machine and audit", "doubtful marked", "audit alone"
Ends = tuple[float, float, float]  # lower, upper, allowance for rare errors


def outcome(counts: np.ndarray, name: str) -> np.ndarray:
    """Return the outcome of a regression; NaN where nothing was read."""
    first, second = counts[:, 0], counts[:, 1]
    if SLOPES[name] == "linear":
        return first / np.maximum(counts[:, : len(PARTIES)].sum(axis=1), 1)
    return np.where(np.isnan(first + second), np.nan, first > second)


def slopes(election: Election, audit: AuditDraw) -> pd.DataFrame:
    """Return slopes on income, a row for each."""
    found = []
    read, voters = (
        election.read[FIELDS].to_numpy(),
        election.read[["voters"]].to_numpy(),
    )
    read = np.where(read > voters, np.nan, read)  # not believed
    at = election.read.index.get_indexer(audit.names)
    paper = np.full_like(read, np.nan)
    paper[at] = audit.readings[FIELDS].to_numpy()
    for name, family in SLOPES.items():
        machine = outcome(read, name)
        guess = np.where(np.isnan(machine), np.nanmean(machine), machine)
        columns = {"paper": outcome(paper, name), "machine": guess}
        table = pd.DataFrame(columns, election.read.index)
        table["income"] = election.read["income"]
        options = {"family": family, "population": "frame", "audit_only": True}
        names = {"hand": "paper", "machine": "machine", "x": ["income"]}
        fitted = ppi_regression(audit, table, **names, **options)
        found.append(fitted.iloc[1:].assign(what=name))
    return pd.concat(found)


def from_audit(election: Election, audit: AuditDraw) -> dict[str, Ends]:
    """Put the machine right by the audit, marks or none; then leave it out."""
    options = {"of": OF, "registered": election.registered, "audit_only": True}
    adds_up = election.read[PARTIES].sum(axis=1) == election.read["all"]
    marked = election.read.assign(doubtful=~adds_up)
    plain = estimate(audit, election.read, **options)
    table = pd.concat([plain, slopes(election, audit)])
    return {
        BOTH: ends(table),
        MARKED: ends(estimate(audit, marked, doubtful="doubtful", **options)),
        ALONE: ends(table.assign(unseen=0.0), "audit_only_"),
    }


def ends(table: pd.DataFrame, of: str = "") -> dict[str, Ends]:
    """Return the ends of intervals, and the allowance, by name."""
    columns = (table[name] for name in (of + "lower", of + "upper", "unseen"))
    return dict(zip(table["what"], zip(*columns)))


def machine_alone(election: Election, audit: AuditDraw) -> dict[str, Ends]:
    """Trust that errors, whose true spread is given, cancel out."""
    found = {}
    known = election.read[["voters"]].to_numpy()
    paper = np.hstack([election.paper.to_numpy(), known])
    read = np.hstack([election.read[FIELDS].fillna(0).to_numpy(), known])
    for q in OF:
        above, below = multiples(q)
        base = read.sum(axis=0) @ below if q.denominator else 1.0
        value = read.sum(axis=0) @ above / base
        errors = (paper - read) @ (above - value * below) / base
        reach = 1.96 * np.sqrt(len(errors) * errors.var())
        found[q.name] = (value - reach, value + reach, 0.0)
    return {"machine alone": found}


def multiples(q: Quantity) -> tuple[np.ndarray, np.ndarray]:
    """Return by what each field, and the voters, are multiplied."""
    names = [*FIELDS, "voters"]
    above = np.array([q.numerator.get(name, 0) for name in names])
    return above, np.array([(q.denominator or {}).get(name, 0) for name in names])


WAYS = [from_audit, machine_alone]


def truth(election: Election) -> dict[str, float]:
    """Return what stands on paper."""
    sums = np.append(election.paper.sum(), election.read["voters"].sum())
    found = {}
    for q in OF:
        above, below = multiples(q)
        found[q.name] = sums @ above / (sums @ below if q.denominator else 1)
    x = np.column_stack([np.ones(len(election.paper)), election.read["income"]])
    for name, family in SLOPES.items():
        y = outcome(election.paper.to_numpy(), name)
        fitted = np.zeros(2)
        for _ in range(1 if family == "linear" else 10):
            mean = x @ fitted if family == "linear" else expit(x @ fitted)
            slope = np.ones(len(x)) if family == "linear" else mean * (1 - mean)
            fitted = fitted + np.linalg.solve((x.T * slope) @ x, x.T @ (y - mean))
        found[name] = fitted[1]
    return found


def audited(election: Election, setting: Setting, rng) -> AuditDraw:
    """Draw and read."""
    options = {"stratified": {"strata": "region"}, "unequal": {"size": "voters"}}
    draw = draw_audit(
        election.read,
        setting.n_audited,
        method=setting.design,
        random_state=rng,
        **options.get(setting.design, {}),
    )
    return draw.with_readings(election.paper.loc[draw.names])


def simulate(setting: Setting, n: int, faults: np.ndarray, seed: int) -> pd.DataFrame:
    """Return coverage and width of each way and quantity, a row for each."""
    rng = np.random.default_rng(seed)
    rows = defaultdict(list)
    right = []
    for election in elections(setting, n, faults, rng):
        audit, true = audited(election, setting, rng), truth(election)
        read = election.read[FIELDS].dropna()
        right.append((read == election.paper.loc[read.index]).to_numpy().mean())
        ways = [make(election, audit).items() for make in WAYS]
        for way, intervals in itertools.chain(*ways):
            for what, (lower, upper, rare) in intervals.items():
                hit = lower <= true[what] <= upper
                rows[way, what].append((hit, upper - lower, rare))
    print(f"\n{setting}; {n} elections, counts right: {np.mean(right):.4f}")
    found = [
        (way, what, *np.mean(values, axis=0), n) for (way, what), values in rows.items()
    ]
    names = ["way", "what", "coverage", "width", "rare", "n"]
    return pd.DataFrame(found, columns=names)


def show(table: pd.DataFrame) -> pd.DataFrame:
    """Print a setting's table; return it with widths over the audit's."""
    alone = table[table["way"] == ALONE].set_index("what")["width"]
    table = table.assign(ratio=table["width"] / table["what"].map(alone))
    for what, rows in table.groupby("what", sort=False):
        each = (f"{row.way} {row.coverage:.3f}" for row in rows.itertuples())
        wide = (
            f"{row.way} {row.ratio:.2f}"
            for row in rows.itertuples()
            if row.way in (BOTH, MARKED)
        )
        print(
            f"  {what}: coverage: {', '.join(each)}; width / audit's: {', '.join(wide)}"
        )
    return table


def judge_widths(table: pd.DataFrame) -> None:
    """Print whether intervals are at most half as wide as the audit's alone."""
    for way in (BOTH, MARKED):
        ratio = table[table["way"] == way].sort_values("ratio").iloc[-1]
        print(
            f"at 97 % of counts right, {way}: the widest interval is "
            f"{ratio.ratio:.3f} of the audit's alone ({ratio.what}; {ratio.setting}); "
            f"at most half: {'yes' if ratio.ratio <= 0.5 else 'no'}"
        )


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values corrected for their number."""
    order = np.argsort(p_values)
    stepped = p_values[order] * np.arange(len(order), 0, -1)
    found = np.empty_like(p_values)
    found[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return found


def judge(table: pd.DataFrame) -> bool:
    """Print which intervals are too short or too long; tell whether none is short."""
    main = table[table["way"] != "machine alone"].reset_index(drop=True)
    p_values = np.array(
        [
            binomtest(round(row.coverage * row.n), row.n, 0.95, "less").pvalue
            for row in main.itertuples()
        ]
    )
    short = main[holm(p_values) < 0.05]
    print(f"\n{len(main)} intervals; significantly below 95 % (Holm): {len(short)}")
    for row in short.itertuples():
        print(f"  {row.setting}: {row.way}, {row.what}: {row.coverage:.3f}")
    for row in main[main["coverage"] > 0.98].itertuples():
        print(
            f"above 98 %: {row.setting}: {row.way}, {row.what}: {row.coverage:.3f}; "
            f"{row.rare:.0%} of the variance allows for errors too rare to be seen"
        )
    naive = table[table["way"] == "machine alone"]
    print(
        f"machine alone: coverage from {naive['coverage'].min():.3f} to "
        f"{naive['coverage'].max():.3f}"
    )
    for way in (BOTH, MARKED, ALONE):
        found = main["coverage"][main["way"] == way]
        print(f"{way}: coverage from {found.min():.3f} to {found.max():.3f}")
    return short[short["way"] != ALONE].empty


def main() -> None:
    """Simulate all settings."""
    args = arguments(
        __doc__,
        elections={"type": int, "default": 2000, "help": "of each setting"},
        cells={"type": int, "default": 4000, "help": "of which confusions are taken"},
        quick={"action": "store_true"},
    )
    if args.quick:
        args.elections, args.cells = 40, 1000
    warnings.simplefilter("ignore", TallyWarning)
    print_versions(args.seed)
    faults = confusion(args.cells, args.seed)
    print(f"confusions of {args.cells} made digits, {np.trace(faults):.0f} read right")
    tables = []
    for i, setting in enumerate(SETTINGS):
        started = time.perf_counter()
        table = simulate(setting, args.elections, faults, args.seed + i)
        table = show(table).assign(setting=str(setting), accuracy=setting.accuracy)
        print(f"  {time.perf_counter() - started:.0f} s", flush=True)
        tables.append(table)
    every = pd.concat(tables, ignore_index=True)
    enough = judge(every)
    judge_widths(every[every["accuracy"] == 0.97])
    sys.exit(not enough)


if __name__ == "__main__":
    main()
