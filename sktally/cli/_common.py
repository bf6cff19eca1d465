"""What all verbs share: exit statuses, errors as single lines, words for numbers."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from sktally.exceptions import ModelFormatError, TallyError

if TYPE_CHECKING:
    import pandas as pd

    from sktally.votes import DigitCalibrator

__all__ = [
    "COUNT",
    "INTERRUPTED",
    "LEVEL",
    "NOT_ALL_READ",
    "RUN",
    "SEED",
    "SIZE",
    "USAGE",
    "WRONG",
    "calibrator_option",
    "check_jobs",
    "check_stations",
    "explain",
    "joined",
    "listed",
    "loaded_calibrator",
    "progress_bar",
    "put",
    "say",
]

NOT_ALL_READ = 3
USAGE = 2
WRONG = 1
INTERRUPTED = 130

#: Ranges of numbers: click refuses all others in one manner, before anything is read.
COUNT = click.IntRange(min=0)
SIZE = click.FloatRange(min=0)
LEVEL = click.FloatRange(min=0, max=1, min_open=True, max_open=True)
RUN = click.IntRange(min=1)
SEED = click.IntRange(min=0, max=2**32 - 1)


calibrator_option = click.option(
    "--calibrator",
    metavar="MODEL",
    help="Saved reader that was calibrated, or saved DigitCalibrator: makes the "
    "probabilities of the store what they are worth. Default: as they were read.",
)


def loaded_calibrator(path: str | None) -> DigitCalibrator | None:
    """Return what makes probabilities true, from a file, if one is named."""
    if path is None:
        return None
    from sktally.persist import load_model
    from sktally.votes import DigitCalibrator

    model: Any = load_model(path)
    votes = model[-1] if hasattr(model, "steps") else model
    found = getattr(votes, "calibrator_", votes)
    if not isinstance(found, DigitCalibrator) or not hasattr(found, "temperature_"):
        raise ModelFormatError(
            f"{path}: expected a reader that was calibrated, or a DigitCalibrator, got "
            f"{type(found).__name__}; call calibrate before save_model"
        )
    return found


def check_jobs(_: click.Context, __: click.Parameter, jobs: int) -> int:
    """Return a number of processes, or refuse none at all."""
    if jobs == 0:
        raise click.BadParameter(
            "expected 1 or more, or -1 for all cores, -2 for all but one; got 0"
        )
    return jobs


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
            except BrokenPipeError:  # whoever listened has heard enough
                raise
            except OSError as error:
                reason = error.strerror or str(error)
                advice = "is the disk full, or the output closed?"
                if error.filename is not None:
                    reason = f"{error.filename}: {reason}"
                    advice = "is the name right, and may you read and write there?"
                say(f"cannot go on: {reason}; {advice}")
                sys.exit(USAGE)

    return run


def say(message: object, *_: Any, **__: Any) -> None:
    click.echo(f"sktally: {message}", err=True)


def progress_bar(total: int, quiet: bool) -> Any:
    """Return a bar on the screen, none where it is not wanted."""
    from tqdm import tqdm

    # an error at once leaves no bar
    return tqdm(total=total, unit="page", file=sys.stderr, disable=quiet, delay=0.5)


def joined(
    parts: Callable[[], Iterable[pd.DataFrame]],
    stations: str | None,
    by: str,
    copies: Mapping[str, Sequence[str]] | None = None,
) -> Iterable[pd.DataFrame]:
    """Return the parts of a table with their stations, and say what did not fit.

    With stations they are asked for twice: first for the names of the pages only.
    """
    import pandas as pd

    from sktally.tables._stations import match_stations

    if stations is None:
        return parts()
    names, columns, pages = ["file", "page"], [], []
    for part in parts():
        columns = list(part)
        pages.append(part[names].drop_duplicates())
    matched, report = match_stations(
        pd.concat(pages), stations, columns, by=by, copies=copies
    )
    for line in report.text.splitlines():
        say(line)
    return (part.merge(matched, on=names, how="left") for part in parts())


def listed(text: str | None) -> list[str] | None:
    """Return the names in a text such as ``01,02``."""
    return None if text is None else [name.strip() for name in text.split(",")]


def check_stations(stations: str, by: str) -> None:
    """Raise unless a table of any pages can be joined to a list of stations."""
    import pandas as pd

    from sktally.tables import COLUMNS, join_stations

    join_stations(pd.DataFrame(columns=list(COLUMNS)), stations, by=by)


def put(parts: Iterable[pd.DataFrame], out: str | None) -> None:
    """Write the parts of a table to a file, or as CSV on the screen."""
    from sktally.tables import write_table

    if out is not None:
        write_table(parts, out)
        return
    for i, part in enumerate(parts):
        click.echo(part.to_csv(index=False, header=i == 0), nl=False)
