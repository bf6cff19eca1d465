"""What to estimate: totals, differences, shares, turnout, all of one shape.

Every quantity is a sum of counts, each times a number, or the ratio of two such sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sktally.exceptions import TallyError

__all__ = ["Quantity", "difference", "share", "total", "turnout"]


@dataclass(frozen=True)
class Quantity:
    """A sum of totals, each times a number, or the ratio of two.

    Parameters
    ----------
    name : str
        Its name in the table.
    numerator : mapping of str to float
        Fields, or columns known for every sheet, with what each is multiplied by.
    denominator : mapping of str to float, optional
        The same below the line.

    Examples
    --------
    >>> from sktally.totals import Quantity
    >>> Quantity("spoilt a thousand", {"spoilt": 1000}, {"cast": 1}).fields
    ['spoilt', 'cast']
    """

    name: str
    numerator: Mapping[str, float]
    denominator: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        """Check that there is something to add up."""
        empty = self.denominator is not None and not self.denominator
        if not self.numerator or empty:
            raise TallyError(f"{self.name}: expected at least one field, got none")

    @property
    def fields(self) -> list[str]:
        """All fields and columns it needs."""
        return list(dict.fromkeys([*self.numerator, *(self.denominator or {})]))


def _sum_of(fields: str | Iterable[str]) -> dict[str, float]:
    return dict.fromkeys([fields] if isinstance(fields, str) else fields, 1.0)


def total(fields: str | Iterable[str], *, name: str | None = None) -> Quantity:
    """Return the total of a field, or of several together.

    Parameters
    ----------
    fields : str or iterable of str
        Names of fields.
    name : str, optional
        Its name in the table.

    Returns
    -------
    Quantity
        For `estimate`.

    Examples
    --------
    >>> from sktally.totals import total
    >>> total("ana").name
    'total ana'
    """
    found = _sum_of(fields)
    return Quantity(name or f"total {' + '.join(found)}", found)


def share(
    fields: str | Iterable[str], among: Iterable[str], *, name: str | None = None
) -> Quantity:
    """Return the share of a field in the sum of several.

    Parameters
    ----------
    fields : str or iterable of str
        Above the line.
    among : iterable of str
        Fields below it; with those above.
    name : str, optional
        Its name in the table.

    Returns
    -------
    Quantity
        For `estimate`.

    Examples
    --------
    >>> from sktally.totals import share
    >>> share("ana", ["ana", "ben"]).denominator
    {'ana': 1.0, 'ben': 1.0}
    """
    found, below = _sum_of(fields), _sum_of(among)
    if below and not found.keys() <= below.keys():
        raise TallyError(
            f"share: expected {', '.join(found)} among the fields below the line, got "
            f"{', '.join(below)}; a ratio of other sums is a Quantity"
        )
    return Quantity(name or f"share {' + '.join(found)}", found, below)


def difference(
    first: str,
    second: str,
    *,
    among: Iterable[str] | None = None,
    name: str | None = None,
) -> Quantity:
    """Return the first field's total less the second's, or the same of shares.

    Parameters
    ----------
    first, second : str
        Fields.
    among : iterable of str, optional
        Fields in whose sum shares are taken; without it, totals.
    name : str, optional
        Its name in the table.

    Returns
    -------
    Quantity
        For `estimate`.

    Examples
    --------
    >>> from sktally.totals import difference
    >>> difference("ana", "ben").numerator
    {'ana': 1.0, 'ben': -1.0}
    """
    if first == second:
        raise TallyError(f"difference: expected two fields, got {first!r} twice")
    below = None if among is None else _sum_of(among)
    return Quantity(name or f"{first} - {second}", {first: 1.0, second: -1.0}, below)


def turnout(
    voted: str | Iterable[str], registered: str, *, name: str | None = None
) -> Quantity:
    """Return votes by registered voters.

    Parameters
    ----------
    voted : str or iterable of str
        Fields that add up to the votes.
    registered : str
        A field, or a column that is known for every sheet and needs no audit.
    name : str, optional
        Its name in the table.

    Returns
    -------
    Quantity
        For `estimate`.

    Examples
    --------
    >>> from sktally.totals import turnout
    >>> turnout(["valid", "spoilt"], "registered").denominator
    {'registered': 1.0}
    """
    return Quantity(name or "turnout", _sum_of(voted), {registered: 1.0})
