"""What a reading contract can prove, and how often it proves what is not so.

No real pages are needed. Printed:

- how many accepted counts it takes with so many wrong among them, and how many pages of
  three counts by `clustering`;
- how often a single test passes, at most, where clusters are estimated and the error
  rate is just too high: enumerated over all that can be seen, as the largest of a grid
  of numbers of pages, of shares of bad pages that are wrong as a whole, and of bad
  pages seen below the threshold; beside it for one page wrong as a whole added,
  whatever the number of counts a page, as sktally once did;
- contracts on made pages whose truth is known, 95 %, with scores that are true, with
  sure errors, and with error rates just too high everywhere or among the surest only:
  how often broken, and what is read, with one beginning of the tests, as
  `ReadingContract` has it, with several that share the error level (a multi-start
  sequence that carries its level on), and with hindsight.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from common import arguments, print_versions
from scipy.stats import binom, poisson

from sktally import ReadingContract, TallyError, TallyWarning
from sktally.votes import contract_size
from sktally.votes._error_bound import (
    allowed_bad,
    error_p_value,
    estimated_cluster,
    needed_pages,
)

MAX_ERROR, CONFIDENCE = 0.005, 0.95
STARTS = (1, 2, 4)


def sizes() -> None:
    """Print what it takes."""
    rows = {
        f"{error:.1%}": [contract_size(error, n_wrong=k) for k in range(6)]
        for error in (MAX_ERROR, 0.001)
    }
    print(f"independent counts it takes, {CONFIDENCE:.0%}, by wrong ones among them:")
    print(pd.DataFrame(rows, index=range(6)).T.to_string())
    print(f"\npages of three counts it takes for {MAX_ERROR:.1%}, none wrong:")
    for name, together in (("worst", 3), ("1.3", 1.3), ("independent", 1)):
        pages = needed_pages(3, together, MAX_ERROR, CONFIDENCE)
        if name == "independent":
            pages = int(np.ceil(contract_size(MAX_ERROR, CONFIDENCE) / 3))
        print(f"  clustering {name}: {pages} pages, {3 * pages} counts")


def one_page(wrong, bad, most: int, confidence: float):
    """Return the estimate with one page wrong as a whole added to those seen."""
    return (wrong + most) / (bad + 1)


def passes(n: int, most: int, whole: float, below: int, level: float, rule) -> float:
    """Return how often a test passes on n pages, all accepted, rate just too high."""
    together = 1 + (most - 1) * whole
    k, low = np.ogrid[:25, : int(below + 5 * below**0.5 + 1)]
    chance = binom.pmf(k, n, min(MAX_ERROR * most / together, 1))
    chance = chance * (poisson.pmf(low, below) if below else 1.0)
    bad = (k + low)[..., None]
    all_wrong = np.arange(bad.max() + 1)
    chance = chance[..., None] * binom.pmf(all_wrong, bad, whole)
    some = np.nonzero(chance > 1e-9)
    bad = bad[some[:2]][:, 0]
    found = rule(bad + some[2] * (most - 1), bad, most, 1 - level)
    p_value = error_p_value(some[0], n, n * most, found, MAX_ERROR)
    return float(chance[some][p_value <= level].sum())


def enumerated() -> None:
    """Print the largest share of passes for each number of counts a page."""
    for level in (0.05, 0.01):
        rows = {}
        for most in (2, 3, 5, 10, 30):
            rows[most] = []
            for rule in (estimated_cluster, one_page):
                found = [
                    passes(int(n), most, whole, below, level, rule)
                    for whole in (0.05, 0.15, 0.35, 0.6, 0.85)
                    for below in (0, 3, 12)
                    for n in np.linspace(3, 14, 15)
                    * (1 + (most - 1) * whole) ** 0.7
                    / (MAX_ERROR * most)
                ]
                rows[most].append(max(found))
        table = pd.DataFrame(rows, index=["as built", "one page"]).round(4)
        print(
            f"\nlevel {level}: passes at most, by counts a page:\n{table.to_string()}"
        )


def true_scores(rng, shape):
    doubt = 0.0005 + 0.9995 * rng.random(shape) ** 60
    return 1 - doubt, doubt


def sure_errors(rng, shape):
    scores, wrong = true_scores(rng, shape)
    return scores, wrong + 0.002 * (1 - wrong)


def too_high(rng, shape):
    return true_scores(rng, shape)[0], np.full(shape, 1.01 * MAX_ERROR)


def too_high_among_the_surest(rng, shape):
    scores = true_scores(rng, shape)[0]
    return scores, np.where(scores > 0.9994, 1.5, 0.1) * MAX_ERROR


def draw(rng, n_pages: int, score, together: float):
    """Return scores, the chance to be wrong, and what is.

    A share of pages is right or wrong as a whole.
    """
    scores, chance = score(rng, (n_pages, 3))
    whole = rng.random((n_pages, 1)) < together
    chance = np.where(whole, chance[:, :1], chance)
    scores = np.where(whole, scores[:, :1], scores)
    at = np.where(whole, rng.random((n_pages, 1)), rng.random((n_pages, 3)))
    return scores, chance, at < chance


def beginnings(curve: pd.DataFrame, together: float, n: int) -> float:
    """Return the threshold by n beginnings that share the level, or infinity.

    They lie where one bad page more may be accepted, spread evenly over these places.
    Which counts were right has no say. A level that has passed is carried on.
    """
    level = 1 - CONFIDENCE
    how = (curve["pages"], curve["accepted"], together, MAX_ERROR, level / n)
    allowed = allowed_bad(*how)
    places = np.unique(allowed, return_index=True)[1][int(allowed.min() < 0) :]
    if not len(places):
        return np.inf
    pick = np.unique(np.linspace(0, len(places) - 1, n).round().astype(int))
    share = np.zeros(len(curve))
    share[places[pick]] = level / len(pick)
    carried, last = 0.0, np.inf
    for p_value, threshold, more in zip(curve["p_value"], curve["threshold"], share):
        carried += more
        if carried and p_value <= carried + 1e-12:
            last = threshold
        else:
            carried = 0.0
    return float(last)


def contract(scores, wrong) -> dict[str, float]:
    """Return thresholds by name; infinity where nothing is accepted."""
    fitted = ReadingContract(MAX_ERROR, CONFIDENCE)
    try:
        fitted.fit(scores, ~wrong)
    except TallyError:
        return {}
    found = {"as built": fitted.threshold_}
    for n in STARTS:
        found[f"{n} shared"] = beginnings(fitted.curve_, fitted.clustering_, n)
    passed = fitted.curve_.loc[fitted.curve_["p_value"] <= 1 - CONFIDENCE, "threshold"]
    found["hindsight"] = passed.min() if len(passed) else np.inf
    return found


def simulated(score, n_pages: int, together: float, args) -> None:
    """Print how often contracts are broken, and what they read."""
    rng = np.random.default_rng(args.seed)
    said, chance = (x.ravel() for x in draw(rng, 200_000, score, together)[:2])
    order = np.argsort(-said)
    said, wrong = -said[order], chance[order].cumsum()
    found: dict[str, list] = {}
    refused = 0
    for _ in range(args.repeats):
        scores, _, seen = draw(rng, n_pages, score, together)
        thresholds = contract(scores, seen)
        refused += not thresholds
        for name, threshold in thresholds.items():
            taken = int(np.searchsorted(said, -threshold, side="right"))
            broken = taken > 0 and wrong[taken - 1] > MAX_ERROR * taken
            found.setdefault(name, []).append((broken, taken / len(said), taken == 0))
    print(
        f"\n{score.__name__.replace('_', ' ')}; {n_pages} pages of three, "
        f"{together:.0%} of them as a whole; {args.repeats} times, refused {refused}"
    )
    for name, rows in found.items():
        broken, rate, none = np.mean(rows, axis=0)
        print(
            f"  {name:10} broken {broken:.1%} (+- {args.error:.1%}), read {rate:.1%}, "
            f"nothing accepted in {none:.1%}"
        )


def main() -> None:
    """Print one part after the other."""
    args = arguments(
        __doc__.splitlines()[0],
        repeats={"type": int, "default": 400, "help": "contracts of each kind"},
        quick={"action": "store_true", "help": "few of each"},
    )
    args.repeats = 20 if args.quick else args.repeats
    args.error = 1.96 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / args.repeats)
    warnings.simplefilter("ignore", TallyWarning)
    print_versions(args.seed)
    sizes()
    enumerated()
    for score in (true_scores, sure_errors, too_high, too_high_among_the_surest):
        for n_pages in (370, 1500):
            for together in (0.0, 0.2):
                simulated(score, n_pages, together, args)


if __name__ == "__main__":
    main()
