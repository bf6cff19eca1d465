"""What may be wrong with the sums of a form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

__all__ = ["sum_problems"]


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
        for name in (total, *parts):
            if name not in known:
                yield (
                    f"sums.{total}: no field {name!r}; fields are "
                    f"{', '.join(map(str, field_names))}"
                )
        if total in parts or not parts or len({*parts}) < len(parts):
            yield (
                f"sums.{total}: needs parts other than itself, each once, got "
                f"{', '.join(map(str, parts)) or 'none'}"
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
