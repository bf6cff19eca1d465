"""Read pages for ``sktally read`` and say how it went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sktally._words import number
from sktally.cli._common import INTERRUPTED, NOT_ALL_READ, progress_bar, say

if TYPE_CHECKING:
    import pandas as pd

    from sktally.form import TallyForm
    from sktally.tables import Progress

__all__ = ["into_store", "summary"]

_SHOWN, _GONE = 10, 3  # pages not read, and files that are gone, that are named


def into_store(
    form: TallyForm,
    model: str,
    pages: list[str],
    out: str,
    how: dict[str, Any],
    quiet: bool,
) -> int:
    """Read into a store and return the exit status."""
    from joblib import cpu_count

    from sktally.tables import check_store_path, read_to_store

    check_store_path(out, pages)
    from sktally.persist import load_reader, model_origin

    reader = load_reader(form, model=model)
    with progress_bar(len(pages), quiet or len(pages) < 2) as bar:

        def show(told: Progress) -> None:
            bar.update(told.done - bar.n)
            bar.set_postfix(
                read=told.read, doubtful=told.doubtful, not_read=told.not_read
            )

        if how["n_jobs"] < 0:  # counted from all cores, as joblib does
            how = how | {"n_jobs": max(1, cpu_count() + 1 + how["n_jobs"])}
        origin = model_origin(model)
        try:
            told = read_to_store(
                reader, pages, out, origin=origin, **how, progress=show
            )
        except KeyboardInterrupt:  # the second one: pages under way are lost
            say("stopped at once; the same command goes on")
            return INTERRUPTED
    if not quiet:
        _tell_unread(told.problems, told.not_read, f"sktally export {out}")
        click.echo(
            f"{number(told.pages, 'page')}: {told.read:,} read now ({told.doubtful:,} "
            f"of them doubtful), {told.not_read:,} not read, "
            f"{told.done - told.read - told.not_read:,} read before"
            + (f" ({number(told.copies, 'copy', 'copies')})" if told.copies else "")
            + f"; in {out}",
            err=True,
        )
    _tell_gone(told, quiet)
    if told.stopped:
        say(f"stopped after {number(told.done, 'page')}; the same command goes on")
        return INTERRUPTED
    return NOT_ALL_READ if told.not_read else 0


def summary(table: pd.DataFrame, out: str | None, quiet: bool) -> int:
    """Sum up a table on screen and return how many pages were not read."""
    pages = table.drop_duplicates(["file", "page"])
    unread = pages[pages["status"].isin(["rejected", "failed"])]
    if not quiet:
        messages = unread["message"].tolist()
        _tell_unread(messages[:_SHOWN], len(messages), "the table")
        said = [
            number(int((table["status"] == status).sum()), f"{status} count")
            for status in ("ambiguous", "misfit")
        ]
        click.echo(
            f"{number(len(pages), 'page')}: {len(pages) - len(unread)} read, "
            f"{len(unread)} not read; {', '.join(said)}"
            + (f"; wrote {out}" if out else ""),
            err=True,
        )
    return len(unread)


def _tell_gone(told: Progress, quiet: bool) -> None:
    """Say which pages count, or no longer count, though their files are gone.

    What changes the counts of earlier readings is told even to who wants it quiet.
    """

    def said(files: list[str]) -> str:
        more = f", ... ({len(files):,} in all)" if len(files) > _GONE else ""
        return ", ".join(files[:_GONE]) + more

    if told.replaced:
        click.echo(
            "no longer counted, as other scans lie in their place or they were "
            f"dropped: {said(told.replaced)}",
            err=True,
        )
    if told.restored:
        click.echo(f"counted again: {said(told.restored)}", err=True)
    if told.gone and not quiet:
        click.echo(
            "still counted, or listed as not read, though the files are gone: "
            f"{said(told.gone)}; if they are not to count, or were scanned anew under "
            "other names, give --drop-gone",
            err=True,
        )


def _tell_unread(messages: list[str], n: int, where: str) -> None:
    for message in messages:
        click.echo(f"not read: {message}", err=True)
    if n > len(messages):
        click.echo(f"... and {n - len(messages):,} more, see {where}", err=True)
