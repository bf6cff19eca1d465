"""How often a wrong outcome passes a transcription-risk plan; what a right one costs.

Stations of made counts, three candidates. In the first part the sheets as written make
another winner than the counts reported, by one vote, or a tie, which is as wrong and
the hardest to find, in several ways of being wrong; each trial draws anew.
Printed: shares of trials that end with "outcome holds", with the exact upper bound at
99 % for limits of 5 % and 10 %. In the second part the outcome is right: mean number of
sheets read for several margins and shares of sheets with an error, by either sign; and
what `bet` changes.
"""

import numpy as np
import pandas as pd
from common import arguments, print_versions
from scipy.stats import binomtest

from sktally import TranscriptionRiskPlan
from sktally.totals._contest import make_contest
from sktally.totals._martingale import log_wealth, sequential_risk
from sktally.totals._order import draw_order

LIMITS = (0.05, 0.10)
NAMES = ["winner", "loser", "third"]


def make_written(n: int, lead: float, rng) -> tuple[np.ndarray, np.ndarray]:
    """Return counts as written, in which `lead` of the votes part the first two."""
    voters = rng.integers(150, 301, n)
    cast = rng.binomial(voters, 0.7)
    share = rng.beta(3, 3, n) * 0.9
    first = rng.binomial(cast, np.clip(share + lead / 2, 0, 1))
    second = rng.binomial(cast - first, np.clip((0.9 - share) / (1 - share), 0, 1))
    counts = np.column_stack([first, second, cast - first - second])
    while (gap := int(round(lead * cast.sum())) - margin(counts)) != 0:
        shift(counts, voters, gap, rng.permutation(n), most=1)
    return counts, voters


def margin(counts: np.ndarray) -> int:
    return int(counts[:, 0].sum() - counts[:, 1].sum())


def shift(counts, voters, votes: int, rows, most: int | None = None) -> None:
    """Change the margin by `votes`, on sheets in this order, by `most` on each."""
    up, down = (0, 1) if votes > 0 else (1, 0)
    left = abs(votes)
    for row in rows:
        room = voters[row] - counts[row].sum()
        for step in (2, 1):  # from one to the other, then a vote more
            space = counts[row, down] if step == 2 else room
            n = min(left // step, space, space if most is None else most)
            if step == 2:
                counts[row, down] -= n
            counts[row, up] += n
            left -= step * n
        if not left:
            return


def ways_of_being_wrong(written, voters, lead, rng) -> dict:
    """Return reported counts, the margin of which is `lead` of the votes, by name."""
    n, need = len(written), int(round(lead * written.sum())) - margin(written)
    found = {}
    small = written.copy()
    while margin(small) < margin(written) + need:
        gap = margin(written) + need - margin(small)
        shift(small, voters, gap, rng.permutation(n), most=3)
    found["many small errors"] = small
    large = written.copy()
    shift(large, voters, need, np.argsort(-voters))
    found["few large errors"] = large
    near = written.copy()
    shift(near, voters, need, np.arange(n))
    found["all in a row of stations"] = near
    # a twentieth of the sheets is not read, where the loser leads; then large errors
    hidden, others = np.split(np.argsort(written[:, 0] - written[:, 1]), [n // 20])
    rest = written.copy()
    rest[hidden] = 0
    shift(rest, voters, margin(written) + need - margin(rest), others)
    found["unread sheets"] = np.where(
        np.isin(np.arange(n), hidden)[:, None], np.nan, rest
    )
    noisy = small.copy()
    for row in rng.permutation(n)[: n // 4]:
        sign = -1 if rng.random() < 0.5 else 1
        shift(noisy, voters, sign * 4, [row])
    shift(noisy, voters, margin(written) + need - margin(noisy), rng.permutation(n))
    found["small errors both ways"] = noisy
    return found


def risks_of(reported, written, voters, args) -> np.ndarray:
    """Return for each trial the least risk while reading on to the last sheet.

    As `TranscriptionRiskPlan` does (the first trial is compared with it), but the
    contest is looked at once for all seeds.
    """
    table, hand = (pd.DataFrame(c, columns=NAMES) for c in (reported, written))
    contest = make_contest(table, voters, n_winners=1, votes_per_voter=1)
    over = contest.overstated(np.arange(len(hand)), written.astype(float))
    worst, found = contest.worst, np.empty(args.trials)
    for trial in range(args.trials):
        order = draw_order(table.index, worst, f"{args.seed} {trial}")
        wealth = log_wealth(over[order], contest.margins, worst[order], bet=args.bet)
        found[trial] = sequential_risk(wealth)[-1]
    plan = TranscriptionRiskPlan(f"{args.seed} 0", bet=args.bet).fit(table, voters)
    assert plan.winners_ == NAMES[:1]
    assert plan.update(hand.loc[plan.draw(len(hand))]).risk_ == found[0]
    return found


def miss_rates(args, rng) -> bool:
    """Print how often wrong outcomes pass; tell whether all bounds hold."""
    good = True
    for lead in (0.05, 0.20):
        for by in (0, -1):
            written, voters = make_written(args.stations, 0.0, rng)
            shift(written, voters, by, rng.permutation(args.stations))
            ways = ways_of_being_wrong(written, voters, lead, rng)
            for name, reported in ways.items():
                risks = risks_of(reported, written, voters, args)
                wrong = int((np.nan_to_num(reported) != written).any(axis=1).sum())
                text = (
                    f"reported lead {lead:.0%}, truly {by:+d}; {name} ({wrong} sheets)"
                )
                for limit in LIMITS:
                    test = binomtest(int((risks <= limit).sum()), len(risks))
                    high = test.proportion_ci(0.98).high  # one-sided 99 %
                    above = binomtest(test.k, test.n, limit, "greater").pvalue
                    text += f"; {limit:.0%}: {test.statistic:.4f} (<= {high:.4f})"
                    good &= above > 0.001
                print(text, flush=True)
    return good


def work(args, rng) -> None:
    """Print the mean number of sheets read when the outcome is right."""
    rates = (0, 0.01, 0.05, 0.2)
    print(f"\nsheets read of {args.stations}, mean, limit 5 %, errors of 10 votes")
    print("lead    " + "".join(f"{rate:>8.0%}" for rate in rates) + "   1 % unread")
    for lead in (0.01, 0.02, 0.05, 0.1, 0.2):
        written, voters = make_written(args.stations, lead, rng)
        plan = TranscriptionRiskPlan(seed=args.seed, bet=args.bet)
        plan.fit(pd.DataFrame(written, columns=NAMES), voters)
        trials = {"n_trials": args.work_trials, "random_state": args.seed}
        cells = [plan.expected_sheets(error_rate=r, **trials).mean for r in rates]
        unread = written.astype(float)
        unread[rng.permutation(args.stations)[: max(args.stations // 100, 1)]] = np.nan
        plan.fit(pd.DataFrame(unread, columns=NAMES), voters)
        cells.append(plan.expected_sheets(**trials).mean)
        print(f"{lead:<8.0%}" + "".join(f"{cell:8.1f}" for cell in cells))


def bets(args, rng) -> None:
    """Print what the bet changes, without errors and with small and the worst."""
    print("\nsheets read, mean, lead 10 %, limit 5 %, by bet")
    written, voters = make_written(args.stations, 0.1, rng)
    errors = {"no errors": (0, 0), "5 % by 10": (0.05, 10), "2 % at worst": (0.02, 600)}
    for name, (rate, votes) in errors.items():
        text = f"{name:14s}"
        for bet in (0.5, 0.75, 0.9, 1.0):
            plan = TranscriptionRiskPlan(seed=args.seed, bet=bet)
            found = plan.fit(pd.DataFrame(written, columns=NAMES), voters)
            mean = found.expected_sheets(
                error_rate=rate,
                error_votes=votes,
                n_trials=args.work_trials,
                random_state=args.seed,
            ).mean
            text += f"   {bet}: {mean:.1f}"
        print(text)


def main() -> None:
    """Print all parts."""
    args = arguments(
        __doc__,
        stations={"type": int, "default": 300},
        trials={"type": int, "default": 20_000},
        work_trials={"type": int, "default": 300},
        bet={"type": float, "default": 0.9},
        quick={"action": "store_true"},
    )
    if args.quick:
        args.stations, args.trials, args.work_trials = 60, 40, 20
    print_versions(args.seed)
    rng = np.random.default_rng(args.seed)
    print(f"{args.trials} trials each, {args.stations} stations, bet {args.bet}")
    good = miss_rates(args, rng)
    print("no share is above its limit beyond chance" if good else "TOO MANY PASS")
    work(args, rng)
    bets(args, rng)
    raise SystemExit(not good)


if __name__ == "__main__":
    main()
