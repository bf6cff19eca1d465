"""What may be wrong with the sums of a form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

__all__ = ["sum_problems"]

_NAMES = 10  # that are listed
_SHOWN = 100  # characters of a name


def sum_problems(
    sums: Mapping[str, Sequence[str]], field_names: Sequence[str]
) -> Iterator[str]:
    """Say what is wrong with sums and their parts.

    Parameters
    ----------
    sums : mapping of str to sequence of str
        Names of sum fields and of their parts.
    field_names : sequence of str
        Fields that there are.

    Yields
    ------
    problem : str
        What was expected and what came, for each fault.
    """
    known = set(field_names)
    for total, parts in sums.items():
        where = f"sums.{total!s:.{_SHOWN}}"
        for name in (total, *parts):
            if name not in known:
                shown = f"{name!r:.{_SHOWN}}"
                yield f"{where}: no field {shown}; fields are {_listed(field_names)}"
        if total in parts or not parts or len({*parts}) < len(parts):
            yield (
                f"{where}: needs parts other than itself, each once, got "
                f"{_listed(parts) or 'none'}"
            )
            return
    try:
        TopologicalSorter(sums).prepare()
    except CycleError as error:
        yield (
            "sums: a sum cannot be a part of its own parts, as in "
            f"{' of '.join(map(str, reversed(error.args[1])))}; leave one of these "
            "sums out"
        )


def _listed(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = len(names) - _NAMES
    listed = ", ".join(f"{name!s:.{_SHOWN}}" for name in names[:_NAMES])
    return f"{listed} and {more} more" if more > 0 else listed
