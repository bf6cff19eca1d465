"""Simulated elections: counts on paper, and as a machine with known faults reads them.

Digits are misread as the shipped network misreads those of made cells; how often is
set so that a given share of counts is right. What goes wrong on one sheet, and in one
batch of sheets scanned together, goes wrong more often on its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sktally import load_reader, make_digit_cells

FIELDS = ["ana", "ben", "eva", "all"]
PARTIES = FIELDS[:3]
_VALUES = np.array([*range(10), 0, 0])  # of the classes 0-9, x and _
_LEADING = [0, 10, 11], [0.2, 0.45, 0.35]  # written as 0, crossed, left empty


def confusion(n_cells: int, seed: int) -> np.ndarray:
    """Return how often the shipped network takes each class for each other one."""
    reader = load_reader("example")
    classifier = reader[-1].classifier
    classes = list("0123456789x_")
    made = make_digit_cells(n_cells, degrade=0.9, random_state=seed)
    proba = classifier.predict_proba(reader[1].transform(made["images"]))
    read = classifier.classes_[proba.argmax(axis=1)]
    found = np.zeros((12, 12))
    at = [[classes.index(str(c)) for c in labels] for labels in (made["target"], read)]
    np.add.at(found, tuple(at), 1)
    return found


@dataclass(frozen=True, eq=False)
class Election:
    """One election: `paper` and `read` have a row for each sheet.

    `read` has the voters registered, the region and the income of the place beside
    what the machine read. `registered` is the column of the most a count can be, if
    that is to be used.
    """

    paper: pd.DataFrame
    read: pd.DataFrame
    registered: str | None


@dataclass(frozen=True)
class Setting:
    """What is held fixed over many elections."""

    accuracy: float
    margin: float
    design: str
    n_sheets: int = 1000
    n_audited: int = 200
    batch: int = 25
    registered: str | None = "voters"

    def __str__(self) -> str:
        return (
            f"{self.accuracy:.1%} of counts right, margin {self.margin:.0%}, "
            f"{self.design} draw of {self.n_audited} out of {self.n_sheets} sheets"
            + ("" if self.registered else ", voters unknown")
        )


def elections(setting: Setting, n: int, faults: np.ndarray, rng: np.random.Generator):
    """Yield elections; some are made at once."""
    factor = None
    for start in range(0, n, 50):
        made = _paper(setting, min(50, n - start), rng)
        cells = _boxes(made["counts"], rng)
        doubt = _quality(made["counts"].shape[:2], setting, rng)
        rate = 1 - np.diag(faults) / faults.sum(axis=1)
        chance = rate[cells] * doubt[:, :, None, None]
        other, luck = _other(cells, faults, rng), rng.random(cells.shape)
        if factor is None:  # from the first ones, for all
            factor = _factor(cells, other, luck / np.maximum(chance, 1e-12), setting)
        read = _count(np.where(luck < factor * chance, other, cells))
        unread = rng.random(doubt.shape) < 0.01 * doubt
        for i in range(len(read)):
            yield Election(*_tables(made, read[i], unread[i], i), setting.registered)


def _paper(setting: Setting, n: int, rng: np.random.Generator) -> dict:
    """Return counts ``(n, n_sheets, 4)`` and what is known of the places."""
    n_batches = setting.n_sheets // setting.batch
    shape = (n, setting.n_sheets)
    region = np.repeat(rng.normal(0, 0.4, (n, n_batches, 3)), setting.batch, axis=1)
    income = rng.normal(0, 1, shape)
    base = np.array([0.4 + setting.margin / 2, 0.4 - setting.margin / 2, 0.2])
    line = np.log(base) + region + rng.normal(0, 0.25, (*shape, 3))
    line[..., 0] += 0.2 * income
    share = np.exp(line) / np.exp(line).sum(axis=-1, keepdims=True)
    voters = rng.integers(150, 301, shape)
    voted = rng.binomial(voters, rng.beta(16, 5, shape))
    first = rng.binomial(voted, share[..., 0])
    second = rng.binomial(voted - first, share[..., 1] / share[..., 1:].sum(axis=-1))
    counts = np.stack([first, second, voted - first - second, voted], axis=-1)
    slips = (rng.random(shape) < 0.05) * rng.choice([-10, -1, 1, 10], shape)
    counts[..., 3] = np.clip(voted + slips, 0, voters)  # sums as clerks wrote them
    return {"counts": counts, "voters": voters, "income": income}


def _boxes(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return classes of three boxes; a clerk fills leading ones in one way."""
    digits = counts[..., None] // [100, 10, 1] % 10
    leading = (np.cumsum(digits, axis=-1) == 0) & [True, True, False]
    habit = rng.choice(_LEADING[0], p=_LEADING[1], size=counts.shape[:2])
    return np.where(leading, habit[:, :, None, None], digits)


def _quality(shape: tuple, setting: Setting, rng: np.random.Generator) -> np.ndarray:
    """Return how many times more often than usual each sheet is misread."""
    n, n_sheets = shape
    batches = rng.gamma(2, 1 / 2, (n, n_sheets // setting.batch))
    return np.repeat(batches, setting.batch, axis=1) * rng.gamma(2, 1 / 2, shape)


def _other(cells: np.ndarray, faults: np.ndarray, rng) -> np.ndarray:
    """Return what each box is taken for, if it is misread."""
    wrong = faults * ~np.eye(12, dtype=bool)
    ends = np.cumsum(wrong / wrong.sum(axis=1, keepdims=True), axis=1)
    found = np.empty_like(cells)
    luck = rng.random(cells.shape)
    for label in range(12):
        here = cells == label
        found[here] = np.searchsorted(ends[label], luck[here]).clip(0, 11)
    return found


def _count(cells: np.ndarray) -> np.ndarray:
    return _VALUES[cells] @ [100, 10, 1]


def _factor(cells, other, needed, setting: Setting) -> float:
    """Return what error rates are multiplied by to get the accuracy asked for."""
    harmful = _VALUES[cells] != _VALUES[other]
    needed = np.where(harmful, needed, np.inf).min(axis=-1)
    return float(np.quantile(needed, 1 - setting.accuracy))


def _tables(made: dict, read: np.ndarray, unread: np.ndarray, i: int) -> tuple:
    names = np.arange(len(read)).astype(str).tolist()
    index = pd.Index(names, dtype=object, name="sheet")
    paper = pd.DataFrame(made["counts"][i].astype(float), index, FIELDS)
    table = pd.DataFrame(read.astype(float), index, FIELDS)
    table[unread] = np.nan
    table["voters"] = made["voters"][i].astype(float)
    table["income"] = made["income"][i]
    table["region"] = np.where(np.arange(len(read)) < 0.3 * len(read), "a", "b")
    return paper, table
