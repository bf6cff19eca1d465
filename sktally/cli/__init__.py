"""Command line: ``sktally read``, ``demo``, ``forms``, ``form``, and verbs of stores.

Thin: every verb is one call into the library. Exit status: 0 everything read,
3 some pages not read, 2 wrong usage (a missing form, an empty folder).
"""

from __future__ import annotations

import sys

import click

from sktally import __version__
from sktally._words import number
from sktally.cli import _report, _store, _totals
from sktally.cli._common import (
    NOT_ALL_READ,
    SEED,
    check_jobs,
    check_stations,
    explain,
    joined,
    progress_bar,
    put,
)
from sktally.cli._read import into_store, summary
from sktally.exceptions import TallyError

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sktally")
def main() -> None:
    """Read handwritten vote counts off scanned tally sheets.

    `sktally demo` shows all of it on made sheets; `sktally form check` shows whether a
    form fits your scans, and `sktally read` reads them.
    """


@main.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("--form", required=True, help="Shipped form (see `forms`) or .toml file.")
@click.option(
    "--model", default="default", show_default=True, help="Bundled or saved model."
)
@click.option(
    "--out",
    help="Table (.csv, .parquet, .dta) or store (.sqlite). Default: CSV on screen.",
)
@click.option("--recursive", is_flag=True, help="Go into folders within folders.")
@click.option(
    "--jobs",
    type=click.IntRange(-512, 512),
    default=1,
    show_default=True,
    callback=check_jobs,
    help="Processes (store) or threads (table) that crop pages; -1 for all cores.",
)
@click.option("--cluster", help="Store: address of a Dask scheduler to read on.")
@click.option("--rehash", is_flag=True, help="Store: hash files that are known anew.")
@click.option(
    "--drop-gone",
    is_flag=True,
    help="Store: pages whose file is gone no longer count.",
)
@click.option("--stations", help="Table: CSV with a column `station`, see `export`.")
@click.option("--by", default="stem", show_default=True, help="See `export`.")
@click.option(
    "--quiet",
    is_flag=True,
    help="No progress bar and no summary, but what no longer counts is told.",
)
@explain
def read(
    paths: tuple[str, ...],
    form: str,
    model: str,
    out: str | None,
    recursive: bool,
    jobs: int,
    cluster: str | None,
    rehash: bool,
    drop_gone: bool,
    stations: str | None,
    by: str,
    quiet: bool,
) -> None:
    """Read scans into one row for each page and field.

    PATHS are files, folders and patterns.

    Columns: file, page, field, boxes, count, confidence, tally_quality, status
    (ok, ambiguous, misfit, rejected, failed), message. Exit status 0: all pages
    read; 3: some pages were not; 130: interrupted.

    With --out FILE.sqlite pages go to a store: the same command goes on where it
    ended, and no page is read or counted twice. See `status` and `export`.
    """
    from sktally.form import load_form
    from sktally.pages import list_pages
    from sktally.tables import check_table_path, read_tallies
    from sktally.tables._schema import is_store_path

    described = load_form(form)
    pages = list_pages(paths, recursive=recursive)
    if out is not None and is_store_path(out):
        if stations is not None:
            raise TallyError(
                "--stations: expected a table in --out; leave it out here, and give it "
                f"to `sktally export {out} --stations {stations}`"
            )
        how = {"n_jobs": jobs, "cluster": cluster}
        how |= {"rehash": rehash, "drop_gone": drop_gone}
        sys.exit(into_store(described, model, pages, out, how, quiet))
    if cluster is not None or rehash or drop_gone:
        raise TallyError(
            "--cluster, --rehash and --drop-gone need --out FILE.sqlite, a store"
        )
    if out is not None:
        check_table_path(out, pages, or_store=True)
    if stations is not None:  # a slip in the list must not cost the reading
        check_stations(stations, by)
    from sktally.persist import load_reader

    reader = load_reader(described, model=model)
    reader[0].set_params(n_jobs=jobs)
    with progress_bar(len(pages), quiet or len(pages) < 2) as bar:
        table = read_tallies(reader, pages, progress=bar.update)
    put(joined(lambda: [table], stations, by), out)
    unread = summary(table, out, quiet)
    sys.exit(NOT_ALL_READ if unread else 0)


@main.command()
@click.option("--out", default="sktally-demo", show_default=True, help="Folder made.")
@click.option(
    "--pages",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Pages to make.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Random seed.")
@explain
def demo(out: str, pages: int, seed: int) -> None:
    """Make tally sheets of known counts and read them."""
    from sktally.demo import run_demo

    result = run_demo(out, n_pages=pages, random_state=seed)
    click.echo(result.text)
    sys.exit(NOT_ALL_READ if result.n_unread else 0)


@main.command()
@explain
def forms() -> None:
    """List the forms that ship with sktally."""
    from sktally.form import list_forms, load_form

    for name in list_forms():
        form = load_form(name)
        found_by = (
            number(len(form.anchors), "anchor") if form.anchors else "a reference"
        )
        click.echo(
            f"{name:22s} {number(form.n_fields, 'field'):>9s} of up to "
            f"{number(form.n_places, 'place')}, "
            f"found by {found_by}. {form.title}"
        )


@main.group()
def form() -> None:
    """Check a form against pages, or learn from them."""


@form.command()
@click.argument("form")
@click.argument("paths", nargs=-1)
@click.option("--out", help="Folder for the pictures.")
@explain
def check(form: str, paths: tuple[str, ...], out: str | None) -> None:
    """Draw what of FORM was found on each page.

    That is anchors, boxes and how far off they are; one line a page sums it up.
    Without PATHS only the file FORM itself is checked.
    """
    from sktally.form import load_form
    from sktally.pages import check_form, list_pages

    described = load_form(form)
    if not paths:
        click.echo(
            f"{described.name}: no mistakes in the file; "
            f"{number(described.n_fields, 'field')}. Give scans and --out to see "
            "whether boxes are where they should be"
        )
        return
    if out is None:
        raise TallyError("--out: expected a folder for the pictures, got none")
    reports = check_form(described, list_pages(paths), out)
    for report in reports:
        click.echo(report.line)
    located = sum(report.located for report in reports)
    lost = [report.page for report in reports if not report.located]
    if lost and len(reports) > len(lost[:5]):
        more = f" and {len(lost) - 5:,} more" if len(lost) > 5 else ""
        click.echo(f"not located: {', '.join(lost[:5])}{more}")
    click.echo(
        f"{located:,} of {number(len(reports), 'page')} located; pictures in {out}"
    )
    sys.exit(0 if located == len(reports) else NOT_ALL_READ)


@form.command()
@click.argument("form")
@click.argument("paths", nargs=-1, required=True)
@click.option("--out", help="Form file to write. Default: FORM itself.")
@explain
def learn(form: str, paths: tuple[str, ...], out: str | None) -> None:
    """Make a reference for FORM from filled pages.

    Ten are good, three the least.

    The boxes in FORM must have been measured on one of them: the page on which the
    printed frames fit best, or the first where FORM describes no frames.
    """
    from sktally.form import list_forms, load_form
    from sktally.pages import learn_form, list_pages

    described = load_form(form)
    if out is None and form in list_forms():
        raise TallyError(
            f"{form!r} ships with sktally and is not written over; give --out FILE.toml"
        )
    learnt = learn_form(described, list_pages(paths), out=out or form)
    click.echo(f"{learnt!r}: reference in {learnt.reference_path}")
    if len(learnt.anchors) >= 3:
        click.echo(
            f"sktally: form {learnt.name!r} has {len(learnt.anchors)} anchors, and "
            "pages are located by them; remove [[anchors]] from the form file to "
            "have them located by the reference",
            err=True,
        )


for verbs in (_store, _totals, _report):
    for name in verbs.__all__:
        main.add_command(getattr(verbs, name))
