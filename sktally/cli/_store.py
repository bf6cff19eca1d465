"""Verbs of result stores: ``status``, ``export``, ``show``, ``verify``, ``edits``."""

from __future__ import annotations

import sys

import click

from sktally.cli._common import WRONG, explain, joined, number, put, say

__all__ = ["edits", "export", "show", "status", "verify"]

_STORE = click.argument("store", type=click.Path())
_RUN = click.option("--run", type=int, help="Which run; by default the last read in.")


@click.command()
@_STORE
@explain
def status(store: str) -> None:
    """Count what STORE holds, by state, and print the hash that ends its chain."""
    from sktally.tables import Store, store_status

    with Store(store) as opened:
        click.echo(store_status(opened))


@click.command()
@_STORE
@click.option("--out", help="Table: .csv, .parquet or .dta. Default: CSV on screen.")
@click.option(
    "--stations", help="CSV with a column `station`, joined to the pages; see --by."
)
@click.option(
    "--by",
    default="stem",
    show_default=True,
    help="Where a page names its station: stem (of its file name), code (QR or bar "
    "code on it), or a regular expression with one group for its path.",
)
@_RUN
@explain
def export(
    store: str, out: str | None, stations: str | None, by: str, run: int | None
) -> None:
    """Write what STORE holds: counts as read, reconciled and final side by side.

    With --stations the columns of each page's station beside them; pages without a
    station and stations with no page or several are told.
    """
    from sktally.tables import Store, check_table_path, store_parts

    if out is not None:
        check_table_path(out)
    with Store(store) as opened, opened.reading():
        chosen = opened.run(run)
        put(joined(lambda: store_parts(opened, chosen), stations, by), out)


@click.command()
@_STORE
@click.argument("file")
@click.argument("field", required=False)
@click.option("--out", help="Picture to write, such as page.png.")
@click.option("--again", is_flag=True, help="Read the page again and compare.")
@_RUN
@explain
def show(
    store: str, file: str, field: str | None, out: str | None, again: bool, run: int
) -> None:
    """Say where the numbers of FILE in STORE come from, and draw the page.

    With FIELD its boxes are drawn enlarged, with their probabilities.
    """
    from sktally.tables import Store, show_page

    with Store(store) as opened:
        chosen = opened.run(run)
        reader = None
        if again:
            from sktally.persist import reader_of_run

            reader = reader_of_run(chosen)
        shown = show_page(opened, file, field, run=chosen, reader=reader)
    click.echo(shown.text)
    if out is not None:
        from sktally.pages import write_picture

        write_picture(shown.picture, out)


@click.command()
@_STORE
@click.option(
    "--rows-only", is_flag=True, help="Leave scans, models and references of forms out."
)
@click.option(
    "--expect",
    metavar="HASH",
    help="Hash that ended the chain once: nothing before it was rewritten since.",
)
@explain
def verify(store: str, rows_only: bool, expect: str | None) -> None:
    """Prove that STORE is as it was written, and its scans, models and forms.

    Exit status 0: all is as it was written; 1: something is not.
    """
    from sktally.tables import Store
    from sktally.tables import verify as find_problems

    n = 0
    with Store(store) as opened:
        for problem in find_problems(opened, images=not rows_only, expect=expect):
            n += 1
            click.echo(problem)
        links, end = opened.end()
    if n:
        say(f"{number(n, 'problem')} in {store}")
        sys.exit(WRONG)
    click.echo(f"as it was written: {links} links, the last {end}")


@click.group()
def edits() -> None:
    """Add what people say of fields to a store, list it, find disagreements."""


@edits.command("import")
@_STORE
@click.argument("file")
@click.option(
    "--purpose",
    type=click.Choice(["correction", "entry", "audit"]),
    default="correction",
    show_default=True,
    help="Of rows without a purpose of their own.",
)
@_RUN
@explain
def import_(store: str, file: str, purpose: str, run: int | None) -> None:
    """Add the rows of the CSV FILE: file, page, field, boxes or count, who, why.

    All rows are added, or none and every mistake is told. Corrections replace the
    final count, entries must agree with what was read or with another entry, audit
    readings leave it as it is.
    """
    from sktally.tables import Store, import_edits

    with Store(store) as opened:
        added, known = import_edits(opened, file, purpose=purpose, run=opened.run(run))
    click.echo(f"{number(added, 'edit')} added, {known} known before")


@edits.command("export")
@_STORE
@click.option("--out", help="Table: .csv, .parquet or .dta. Default: CSV on screen.")
@click.option("--disagreements", is_flag=True, help="Fields for a third entry only.")
@_RUN
@explain
def export_edits(
    store: str, out: str | None, disagreements: bool, run: int | None
) -> None:
    """Write all edits of STORE, or the fields on which entries disagree."""
    from sktally.tables import Store, edits_table
    from sktally.tables import disagreements as find_disagreements

    with Store(store) as opened:
        if disagreements:
            table = find_disagreements(opened, opened.run(run))
        else:
            table = edits_table(opened)
    put([table], out)
