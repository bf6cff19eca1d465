"""Contracts and alarms put to the test, for calibration.py.

Comes in: scores of counts and which are right, by page. Printed: how often contracts
held and what they read, what is refused, and how often ordinary pages raise an alarm.
"""

from __future__ import annotations

import warnings

import numpy as np

from sktally import ReadingContract, ShiftMonitor, TallyError, TallyWarning
from sktally.votes import contract_size


def contract_on(scores, correct, fit, max_error: float, **how):
    """Return a contract fitted on some pages, or None where it is refused."""
    contract = ReadingContract(max_error, **how)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TallyWarning)
            return contract.fit(scores[fit], correct[fit])
    except TallyError:
        return None


def with_hindsight(contract, scores):
    """Return what is accepted at the lowest threshold that would pass a test alone.

    No beginning, and no sharing of the error level among several, can accept more.
    """
    passed = contract.curve_["p_value"] <= 1 - contract.confidence_level
    lowest = contract.curve_.loc[passed, "threshold"].min()
    return scores >= (lowest if passed.any() else np.inf)


def contracts(scores, correct, args, max_error: float, clustering, size=None) -> None:
    """Fit contracts on pages drawn, and put them to others and to all.

    Three quarters are fitted on, and nine tenths, as the fewest pages that prove a
    contract may lie between. With a `size`, so many pages are drawn with replacement,
    and none are set apart.
    """
    n = len(scores)
    rng = np.random.default_rng(args.seed)
    ways = [(share, args.resamples) for share in (0.75, 0.9) if size is None]
    for share, many in [*ways, (None, args.bootstraps)]:
        wrong, taken, known, held, refused, none = [], [], [], [], 0, 0
        most = []
        for _ in range(many):
            if share is not None:
                order = rng.permutation(n)
                fit, test = np.split(order, [int(share * n)])
            else:
                fit, test = rng.integers(0, n, size or n), np.arange(n)
            contract = contract_on(
                scores, correct, fit, max_error, clustering=clustering
            )
            if contract is None:
                refused += 1
                continue
            none += not np.isfinite(contract.threshold_)
            is_known = ~np.isnan(correct[test])
            accepted = contract.accept(scores[test]) & is_known
            wrong.append((accepted & (correct[test] == 0)).sum())
            taken.append(accepted.sum())
            known.append(is_known.sum())
            held.append(wrong[-1] <= max_error * taken[-1])
            most.append((with_hindsight(contract, scores[test]) & is_known).sum())
        where = (
            f"fitted on {int(share * n)} pages, put to the other {n - int(share * n)}"
            if share is not None
            else f"fitted on {size or n} drawn with replacement, put to all {n}"
        )
        print(f"\n{max_error:.2%}, clustering={clustering!r}, {where}, {many} times:")
        print(f"  refused {refused}, nothing accepted {none}")
        if taken:
            pooled = sum(wrong) / max(sum(taken), 1)
            print(
                f"  wrong among accepted, pooled: {pooled:.4%} ({sum(wrong)} of "
                f"{sum(taken)}); held in {np.mean(held):.1%}; read rate "
                f"{sum(taken) / sum(known):.1%}, by no choice of thresholds above "
                f"{sum(most) / sum(known):.1%}"
            )


def refusal(scores, correct, max_error: float) -> None:
    """Print what is said where a contract is refused."""
    known = ~np.isnan(correct)
    print(
        f"\n{max_error:.2%} on all {len(scores)} pages, {known.sum()} counts; ", end=""
    )
    print(f"independent and error-free it takes {contract_size(max_error)}:")
    for clustering in ("estimated", "independent"):
        try:
            ReadingContract(max_error, clustering=clustering).fit(scores, correct)
        except TallyError as error:
            print(f"  {clustering}: {error}")
        else:
            print(f"  {clustering}: not refused")


def simulation(scores, args, max_error: float, n_pages: int, together: float) -> None:
    """Print whether a contract holds on pages drawn whose truth is drawn by score.

    On a share of pages all counts are right or wrong together, and as sure.
    """
    rng = np.random.default_rng(args.seed)
    sure = np.where(np.isnan(scores), 0, scores)

    def draw(n):
        said = sure[rng.integers(0, len(sure), n)]
        whole = rng.random((n, 1)) < together
        said = np.where(whole, said[:, :1], said)
        at = np.where(whole, rng.random((n, 1)), rng.random(said.shape))
        return said, (at < said).astype(float)

    said, right = draw(400_000)
    order = np.argsort(-said, axis=None)
    wrong = np.cumsum(right.ravel()[order] == 0)
    held, rate, refused = [], [], 0
    for _ in range(args.bootstraps):
        contract = contract_on(*draw(n_pages), np.arange(n_pages), max_error)
        if contract is None:
            refused += 1
            continue
        taken = int((said >= contract.threshold_).sum())
        held.append(taken == 0 or wrong[taken - 1] <= max_error * taken)
        rate.append(taken / said.size)
    print(
        f"  {max_error:.2%} on {n_pages} pages, {together:.0%} of pages as a whole, "
        f"{args.bootstraps} times: refused {refused}, held in {np.mean(held):.1%}, "
        f"read rate {np.mean(rate):.1%}"
        if held
        else f"  {max_error:.2%} on {n_pages} pages: refused {refused} times"
    )


def alarms(read, args) -> None:
    """Print how often ordinary batches raise an alarm, and one of poor pages does."""
    rng = np.random.default_rng(args.seed)
    proba, n = read.digit_proba, len(read.fold)
    warnings.simplefilter("ignore", TallyWarning)
    found = []
    for _ in range(args.bootstraps):
        order = rng.permutation(n)
        monitor = ShiftMonitor(tolerance=0, random_state=args.seed)
        shifts = monitor.fit(proba[order[: n // 2]]).check(proba[order[n // 2 :]])
        found.append([shift.found for shift in shifts] + [s.amount for s in shifts])
    scores, digits, ks, distance = np.mean(found, axis=0)
    print(
        f"halves of the pages, {args.bootstraps} times, level {monitor.level}, no "
        f"tolerance: alarms of scores {scores:.3f}, of digits {digits:.3f}; mean "
        f"difference {ks:.3f}, {distance:.3f}"
    )
    order = np.argsort(np.where(np.isfinite(read.fits), read.fits, 1).mean(axis=1))
    poor, others = order[: n // 5], order[n // 5 :]
    for shift in (
        ShiftMonitor(random_state=args.seed).fit(proba[others]).check(proba[poor])
    ):
        print(f"the fifth of pages whose frames fit worst, against the others: {shift}")
