"""What all verbs share: exit statuses, errors as single lines, words for numbers."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from sktally.exceptions import TallyError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "INTERRUPTED",
    "NOT_ALL_READ",
    "USAGE",
    "WRONG",
    "check_stations",
    "explain",
    "joined",
    "number",
    "put",
    "say",
]

NOT_ALL_READ = 3
USAGE = 2
WRONG = 1
INTERRUPTED = 130


def explain(command: Callable) -> Callable:
    """Turn errors and warnings of ours into one line each; errors exit with 2."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            # Pillow warns of damaged tags; the message of the page says what is wrong.
            warnings.filterwarnings("ignore", module="PIL")
            warnings.showwarning = say
            try:
                return command(*args, **kwargs)
            except TallyError as error:
                say(error)
                sys.exit(USAGE)

    return run


def say(message: object, *_: Any, **__: Any) -> None:
    click.echo(f"sktally: {message}", err=True)


def number(n: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def joined(table: pd.DataFrame, stations: str | None, by: str) -> pd.DataFrame:
    """Return a table with its stations, if any, and say what did not fit."""
    from sktally.tables import join_stations

    if stations is None:
        return table
    table, report = join_stations(table, stations, by=by)
    for line in report.text.splitlines():
        say(line)
    return table


def check_stations(stations: str, by: str) -> None:
    """Raise unless a table of any pages can be joined to a list of stations."""
    import pandas as pd

    from sktally.tables import COLUMNS, join_stations

    join_stations(pd.DataFrame(columns=list(COLUMNS)), stations, by=by)


def put(table: pd.DataFrame, out: str | None) -> None:
    """Write a table to a file, or as CSV on the screen."""
    from sktally.tables import write_table

    if out is None:
        click.echo(table.to_csv(index=False), nl=False)
    else:
        write_table(table, out)
