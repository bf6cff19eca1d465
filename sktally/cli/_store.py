"""Verbs of stores: ``status``, ``reconcile``, ``export``, ``show``, ``verify``, ..."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from sktally._words import number
from sktally.cli._common import (
    INTERRUPTED,
    RUN,
    USAGE,
    WRONG,
    calibrator_option,
    explain,
    joined,
    loaded_calibrator,
    progress_bar,
    put,
    say,
)
from sktally.exceptions import TallyError

__all__ = ["calibrate", "edits", "export", "reconcile", "show", "status", "verify"]

if TYPE_CHECKING:
    from sktally.votes import SumSlips

_STORE = click.argument("store", type=click.Path())
_RUN = click.option("--run", type=RUN, help="Which run; by default the last read in.")


@click.command()
@_STORE
@explain
def status(store: str) -> None:
    """Count what STORE holds, by state.

    The hash that ends its chain is printed too: `verify --expect` takes it.
    """
    from sktally.tables import Store, store_status

    with Store(store) as opened:
        click.echo(store_status(opened))


@click.command()
@_STORE
@click.option("--out", required=True, metavar="MODEL", help="File to save it to.")
@click.option(
    "--method",
    type=click.Choice(["temperature", "matrix"]),
    default="matrix",
    show_default=True,
    help="Only how sure to be, or also what digits are taken for.",
)
@_RUN
@explain
def calibrate(store: str, out: str, method: str, run: int | None) -> None:
    """Learn from audits in STORE what its probabilities are worth.

    Audits must have read counts on 20 pages or more; a hundred say more. `reconcile`,
    `totals`, `review` and `report` take what is saved as --calibrator.
    """
    from sktally.persist import save_model
    from sktally.tables import Store, audited_calibrator

    with Store(store) as opened:
        found = audited_calibrator(opened, opened.run(run), method=method)
    path = save_model(found, out)
    before, after = found.log_loss_
    click.echo(
        f"learnt from {number(found.n_pages_, 'audited page')}: log loss of a box "
        f"{before:.4f} before, {after:.4f} after; wrote {path}",
        err=True,
    )


@click.command()
@_STORE
@click.option(
    "--slips",
    metavar="carry=SHARE,...",
    help="How often written sums are off, by type: carry, digit, swap, other. "
    "Default: a guess, see docs/sums.md.",
)
@click.option(
    "--from-audits", is_flag=True, help="Learn that from sheets that audits have read."
)
@calibrator_option
@_RUN
@click.option("--quiet", is_flag=True, help="No progress bar and no summary.")
@explain
def reconcile(
    store: str,
    slips: str | None,
    from_audits: bool,
    calibrator: str | None,
    run: int | None,
    quiet: bool,
) -> None:
    """Read counts once more, given the sums of the form.

    What was read stays; `export` shows both, and the final count. The same command
    goes on where it ended, and adds pages that were read since; other slips or another
    calibrator make a reconciliation of their own. STORE keeps probabilities as the
    network gave them: only --calibrator makes them true.
    """
    from sktally.tables import Reconciliation, reconcile_store

    if slips is not None and from_audits:
        raise TallyError("--slips or --from-audits: expected one of them, got both")
    given = "audits" if from_audits else slips and _shares(slips)
    with progress_bar(0, quiet) as bar:

        def show(told: Reconciliation) -> None:
            bar.total = told.pages
            bar.update(told.done - bar.n)

        try:
            told = reconcile_store(
                store,
                slips=given,
                run=run,
                calibrator=loaded_calibrator(calibrator),
                progress=show,
            )
        except KeyboardInterrupt:  # sheets under way are lost
            say("stopped; the same command goes on")
            sys.exit(INTERRUPTED)
    if not quiet:
        learnt = f", of {number(told.audited, 'audited sheet')}" if told.audited else ""
        click.echo(
            f"reconciliation {told.number} of run {told.run}: {told.done} of "
            f"{number(told.pages, 'page')}, {told.before} of them before; slips: "
            f"{told.slips}{learnt}",
            err=True,
        )


def _shares(text: str) -> SumSlips:
    """Return the shares that a text such as ``carry=0.01,swap=0`` tells."""
    from sktally.votes import SLIP_TYPES, SumSlips

    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        try:
            shares[name] = float(value)
        except ValueError:
            name = ""
        if name not in SLIP_TYPES:
            raise TallyError(
                f"--slips: expected {'=SHARE, '.join(SLIP_TYPES)}=SHARE, of which "
                f"those left out are guessed, got {part!r:.60}"
            )
    given = [shares.get(name, getattr(SumSlips(), name)) for name in SLIP_TYPES]
    return SumSlips(*given)


@click.command()
@_STORE
@click.option("--out", help="Table: .csv, .parquet or .dta. Default: CSV on screen.")
@click.option(
    "--sums",
    is_flag=True,
    help="Sums instead of counts: by how much they are off, and who likelier erred.",
)
@click.option(
    "--stations", help="CSV with a column `station`, joined to the pages; see --by."
)
@click.option(
    "--by",
    default="stem",
    show_default=True,
    help="Where a page names its station: stem (of its file name), code (QR or bar "
    "code on it; its scan must still be there), or a regular expression with one group "
    "for its path.",
)
@_RUN
@explain
def export(
    store: str,
    out: str | None,
    sums: bool,
    stations: str | None,
    by: str,
    run: int | None,
) -> None:
    """Write the table of counts that STORE holds.

    Counts as read, reconciled and final stand side by side.

    With --stations the columns of each page's station beside them; pages without a
    station and stations with no page or several are told.
    """
    from sktally.tables import (
        Store,
        check_table_path,
        file_copies,
        store_parts,
        sums_parts,
    )

    find = sums_parts if sums else store_parts
    if out is not None:
        check_table_path(out)
    with Store(store) as opened, opened.reading():
        chosen = opened.run(run)
        copies = file_copies(opened, chosen) if stations is not None else None
        put(joined(lambda: find(opened, chosen), stations, by, copies), out)


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
    """Say where numbers come from, and draw their page.

    FILE is a scan whose pages STORE holds.

    With FIELD its boxes are drawn enlarged, with their probabilities. Exit status 2 if
    the scan is gone, and --out or --again needs it; all that STORE holds is told.
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
    if shown.picture is None:
        say(shown.problem)
        sys.exit(USAGE if again or out is not None else 0)
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
    """Prove that STORE is as it was written.

    So are its scans, models and forms.

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
    click.echo(f"as it was written: {number(links, 'link')}, the last {end}")


@click.group()
def edits() -> None:
    """Add or list what people say of fields."""


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
    """Add corrections, second entries or audit readings.

    FILE is CSV with columns file, page, field, boxes or count, who, why.

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
    """Write all edits, or what entries disagree on."""
    from sktally.tables import Store, edits_table
    from sktally.tables import disagreements as find_disagreements

    with Store(store) as opened:
        if disagreements:
            table = find_disagreements(opened, opened.run(run))
        else:
            if run is not None:
                opened.run(run)  # edits hold in every run, but in none that is not
            table = edits_table(opened)
    put([table], out)
