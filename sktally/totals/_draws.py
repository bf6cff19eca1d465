"""Draw counts of sheets at random, as probable as they are given what was read.

Comes in: the probabilities of all boxes, sheet by sheet. Goes out: counts that may
stand on the sheets, drawn many times over, or only their sums by group, which need
little memory. The fields of a sheet are drawn together where its form has sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sktally._validate import check_range
from sktally.datasets._random import RandomState, as_generator
from sktally.exceptions import TallyError
from sktally.form import TallyForm, load_form
from sktally.votes import CLASSES, CountPosterior, SumSlips
from sktally.votes._alone import alone_of_sheet, within_largest
from sktally.votes._readings import draw_readings, pick_counts

__all__ = ["Drawer", "draw_counts", "sum_draws"]

Counts = npt.NDArray[np.int64]
MOST_DRAWS = 10**6
_MOST_NUMBERS = 2**28  # of sums by group: 2 GiB


@dataclass
class Drawer:
    """Draws the counts of one sheet after the other.

    Parameters
    ----------
    form : TallyForm
        Says which fields are sums of which, and what an empty box means.
    n_draws : int
        How often each sheet is drawn.
    rng : numpy.random.Generator
        Source of chance.
    slips : SumSlips, optional
        How often sums are off as written.

    Attributes
    ----------
    n_unbound : int
        Sheets whose sums could not be used, and which were drawn field by field.
    """

    form: TallyForm
    n_draws: int
    rng: np.random.Generator
    slips: SumSlips | None = None
    n_unbound: int = 0

    def __post_init__(self) -> None:
        """Count the boxes of each field."""
        boxes = np.isfinite(self.form.box_array()[..., 0])
        self.n_places = boxes.sum(axis=1).tolist()

    def draw(self, proba: npt.NDArray | None, known: Counts) -> Counts:
        """Draw one sheet.

        Parameters
        ----------
        proba : ndarray of shape (n_fields, n_places, 12) or None
            NaN for fields that were not read, None if none was.
        known : ndarray of int64, shape (n_fields,)
            Counts that are certain; -1 for all others.

        Returns
        -------
        counts : ndarray of int64, shape (n_draws, n_fields)
            -1 where nothing is known of a field and no sum says more.
        """
        alone: list[CountPosterior | None] = [None] * len(known)
        if proba is not None:
            alone = alone_of_sheet(proba, self.form.blank_right)
        allowed = within_largest(alone, self.form)
        for j in np.flatnonzero(known >= 0).tolist():
            alone[j] = allowed[j] = CountPosterior(known[j : j + 1], np.ones(1))
        counts = np.full((self.n_draws, len(known)), -1, np.int64)
        if self.form.sums and any(p is not None for p in allowed):
            try:
                drawn = self._together(allowed)
            except TallyError:  # too many circles, or counts too large
                self.n_unbound += 1
            else:
                bound = [j for j, p in enumerate(allowed) if p or self._is_bound(j)]
                counts[:, bound] = drawn[:, bound]
        for j in np.flatnonzero((counts < 0).any(axis=0)).tolist():
            # what is surely above the largest count is as it was read
            own = alone[j] if allowed[j] is None else allowed[j]
            if own is not None:
                counts[:, j] = pick_counts(own, self.n_draws, self.rng)
        return counts

    def _together(self, alone: Sequence[CountPosterior | None]) -> Counts:
        return draw_readings(
            alone,
            self.form.field_names,
            self.form.sums,
            n_draws=self.n_draws,
            rng=self.rng,
            slips=self.slips,
            n_places=self.n_places,
        )

    def _is_bound(self, j: int) -> bool:
        name = self.form.field_names[j]
        return any(name in (t, *parts) for t, parts in self.form.sums.items())


def draw_counts(
    digit_proba: npt.ArrayLike,
    form: str | TallyForm,
    *,
    n_draws: int = 1000,
    slips: SumSlips | None = None,
    random_state: RandomState = None,
) -> Counts:
    """Draw the counts of tallies, as probable as they are given their boxes.

    Parameters
    ----------
    digit_proba : array-like of shape (n_tallies, n_fields, n_places, 12)
        Probabilities of the classes, as `TallyPrediction.digit_proba`, calibrated if
        they are to be believed; NaN for boxes that were not read.
    form : str, path or TallyForm
        Says which fields are sums of which, and what an empty box means.
    n_draws : int, default=1000
        How often each tally is drawn.
    slips : SumSlips, optional
        How often sums are off as written; `SumSlips()` by default.
    random_state : int, RandomState, Generator or None, default=None
        Decides the draws.

    Returns
    -------
    counts : ndarray of int64, shape (n_draws, n_tallies, n_fields)
        -1 for fields that were not read.

    Raises
    ------
    TallyError
        If `digit_proba` is not of the form's shape.

    See Also
    --------
    vote_totals : Sums such draws by group, without keeping them.
    sktally.votes.reconcile_tallies : The most probable counts.

    Notes
    -----
    Tallies are independent of each other. Within one, fields that sums bind are drawn
    together, exactly: a field is drawn from its probabilities given all others, and
    from there, sum by sum, those bound to it (backward sampling on the graph of fields
    and sums, whose messages are those of `sktally.votes.read_jointly`). Fields that no
    sum binds are drawn by themselves.

    Examples
    --------
    A 3 that may be an 8, in 30 of 100 sheets like it:

    >>> import numpy as np
    >>> from sktally import load_form
    >>> from sktally.totals import draw_counts
    >>> proba = np.zeros((1, 3, 3, 12))
    >>> proba[:, :, :2, 11] = 1
    >>> proba[:, :, 2, 3], proba[:, :, 2, 8] = 0.7, 0.3
    >>> draws = draw_counts(proba, "indonesia-2024", random_state=0)
    >>> draws.shape, np.unique(draws).tolist()
    ((1000, 1, 3), [3, 8])
    """
    described = load_form(form)
    proba = np.asarray(digit_proba, dtype=np.float64)
    expected = (described.n_fields, described.n_places, len(CLASSES))
    if proba.ndim != 4 or proba.shape[1:] != expected:
        raise TallyError(
            f"digit_proba: expected shape (n_tallies, {', '.join(map(str, expected))}),"
            f" the fields of form {described.name!r}, got {proba.shape}"
        )
    check_range("n_draws", n_draws, 1, MOST_DRAWS, integer=True)
    drawer = Drawer(described, n_draws, as_generator(random_state), slips)
    counts = np.full((n_draws, len(proba), described.n_fields), -1)
    nothing = np.full(described.n_fields, -1)
    for i, sheet in enumerate(proba):
        read = ~np.isnan(sheet[:, -1]).any(axis=1)
        counts[:, i, read] = drawer.draw(sheet, nothing)[:, read]
    return counts


def sum_draws(
    proba: Iterable[npt.NDArray | None],
    drawer: Drawer,
    counts: Counts,
    certain: npt.NDArray[np.bool_],
    columns: list[int],
    *,
    group: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
    n_groups: int,
) -> npt.NDArray[np.float64]:
    """Draw sheet by sheet and keep nothing but the sums by group.

    Parameters
    ----------
    proba : iterable of ndarray or None
        Of each sheet, see `Drawer.draw`.
    drawer : Drawer
        Draws them.
    counts, certain : ndarray of shape (n_sheets, n_fields)
        Counts as read, -1 where there is none, and which of them people decided.
    columns : list of int
        Fields to sum; a draw of a field without a count is left out.
    group : ndarray of int, shape (n_sheets,)
        Which sums a sheet adds to.
    weights : ndarray of shape (n_sheets,)
        How often it is added.
    n_groups : int
        Number of groups.

    Returns
    -------
    draws : ndarray of float64, shape (n_draws, n_groups, n_columns)
    """
    n_fields = len(columns)
    size = drawer.n_draws * n_groups * n_fields
    if size > _MOST_NUMBERS:
        raise TallyError(
            f"n_draws: expected at most {_MOST_NUMBERS} sums in all, got "
            f"{drawer.n_draws} draws of {n_groups} groups of {n_fields} fields; take "
            "fewer draws, or a column with fewer groups"
        )
    sums = np.zeros((n_groups, drawer.n_draws, n_fields))
    for i, sheet in enumerate(proba):
        own = counts[i][columns]
        read = own >= 0
        if not read.any():
            continue
        drawn = own[None]
        if not certain[i][columns][read].all():
            known = np.where(certain[i], counts[i], -1)
            drawn = drawer.draw(sheet, known)[:, columns]
        if (drawn[:, read] < 0).any():
            raise TallyError(
                f"digit_proba: sheet {i}: expected probabilities of all fields of "
                "which a count was read, got NaN; pass those that the table was read "
                "from"
            )
        sums[group[i]] += weights[i] * np.where(read, drawn, 0)
    return sums.swapaxes(0, 1)
