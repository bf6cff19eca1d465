"""The verbs ``totals`` and ``review``: what a store adds up to, what to look at."""

from __future__ import annotations

import click

from sktally.cli._common import (
    COUNT,
    LEVEL,
    SEED,
    SIZE,
    calibrator_option,
    explain,
    listed,
    loaded_calibrator,
    number,
    put,
    say,
)

__all__ = ["review", "totals"]


@click.command()
@click.argument("store", type=click.Path())
@click.option("--by", help="Columns to group by, such as district or state,district.")
@click.option(
    "--fields",
    help="Parties, such as 01,02; by default all but sums and what is added to sums.",
)
@click.option("--stations", help="CSV with a column `station` and any others.")
@click.option(
    "--station-by", default="stem", show_default=True, help="As --by of `export`."
)
@click.option("--registered", help="Column of the voters of a station, a bound.")
@calibrator_option
@click.option(
    "--draws",
    type=click.IntRange(1, 10**6),
    default=1000,
    show_default=True,
    help="Draws of each sheet.",
)
@click.option(
    "--confidence-level",
    type=LEVEL,
    default=0.95,
    show_default=True,
    help="Of the intervals.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Random seed.")
@click.option("--out", help="Table: .csv, .parquet or .dta. Default: CSV on screen.")
@explain
def totals(
    store: str,
    by: str | None,
    fields: str | None,
    stations: str | None,
    station_by: str,
    registered: str | None,
    calibrator: str | None,
    draws: int,
    confidence_level: float,
    seed: int,
    out: str | None,
) -> None:
    """Sum the votes of parties, and say who leads.

    Columns: total as read; lower and upper, an interval for what stands on the sheets
    that were read; lowest and highest, with all that was not read or is missing; the
    same of shares.
    """
    from sktally.tables import check_table_path
    from sktally.totals import ranking, vote_totals

    if out is not None:
        check_table_path(out)
    found = vote_totals(
        store,
        by=listed(by),
        fields=listed(fields),
        stations=stations,
        station_by=station_by,
        registered=registered,
        calibrator=loaded_calibrator(calibrator),
        n_draws=draws,
        confidence_level=confidence_level,
        random_state=seed,
    )
    put([found.table], out)
    if len(found.fields) > 1:
        say(ranking(found))


@click.command()
@click.argument("store", type=click.Path())
@click.option("--fields", help="Whose votes count, such as 01,02; by default all do.")
@click.option("--stations", help="CSV with a column `station` and any others.")
@click.option(
    "--station-by", default="stem", show_default=True, help="As --by of `export`."
)
@click.option("--registered", help="Column of the voters of a station.")
@calibrator_option
@click.option(
    "--page-seconds",
    type=SIZE,
    default=10.0,
    show_default=True,
    help="Work for a page, and",
)
@click.option(
    "--field-seconds",
    type=SIZE,
    default=4.0,
    show_default=True,
    help="for each of its fields.",
)
@click.option("--pages", type=COUNT, help="The first so many pages only.")
@click.option(
    "--votes-left", type=SIZE, help="Only until so few votes are expected wrong."
)
@click.option("--out", help="Table: .csv, .parquet or .dta. Default: CSV on screen.")
@explain
def review(
    store: str,
    fields: str | None,
    stations: str | None,
    station_by: str,
    registered: str | None,
    calibrator: str | None,
    page_seconds: float,
    field_seconds: float,
    pages: int | None,
    votes_left: float | None,
    out: str | None,
) -> None:
    """List the pages that people should look at first.

    Of STORE, first those on which a second of work is expected to mend the most votes.
    Columns: file, page; fields that nobody has decided yet; votes and counts on the
    page that are expected to be wrong; seconds it takes; votes_per_hour; votes_left,
    expected to be wrong still once this page and all before it are right.
    """
    from sktally.tables import check_table_path
    from sktally.totals import review_order

    if out is not None:
        check_table_path(out)
    named = listed(fields)
    plan = review_order(
        store,
        stations=stations,
        station_by=station_by,
        registered=registered,
        weights=None if named is None else dict.fromkeys(named, 1.0),
        page_seconds=page_seconds,
        field_seconds=field_seconds,
        calibrator=loaded_calibrator(calibrator),
    )
    n = len(plan.pages) if pages is None else min(pages, len(plan.pages))
    if votes_left is not None:
        n = min(n, plan.stop_after(votes_left=votes_left))
    left = plan.curve["votes_left"].to_numpy()
    put([plan.pages.assign(votes_left=left[1:]).head(n)], out)
    hours = plan.curve["seconds"][n] / 3600
    say(
        f"{number(n, 'page')} of {len(plan.pages)}, {hours:.1f} hours: of "
        f"{left[0]:,.0f} votes expected to be wrong {left[n]:,.0f} are left"
    )
