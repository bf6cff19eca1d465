"""The verb ``totals``: totals of parties, with intervals, from a store."""

from __future__ import annotations

import click

from sktally.cli._common import explain, put, say

__all__ = ["totals"]


@click.command()
@click.argument("store", type=click.Path())
@click.option("--by", help="Columns to group by, such as district or state,district.")
@click.option("--fields", help="Parties, such as 01,02; by default all but sums.")
@click.option("--stations", help="CSV with a column `station` and any others.")
@click.option(
    "--station-by", default="stem", show_default=True, help="As --by of `export`."
)
@click.option("--registered", help="Column of the voters of a station, a bound.")
@click.option("--draws", default=1000, show_default=True, help="Draws of each sheet.")
@click.option("--level", default=0.95, show_default=True, help="Of the intervals.")
@click.option("--seed", default=0, show_default=True, help="Random seed.")
@click.option("--out", help="Table: .csv, .parquet or .dta. Default: CSV on screen.")
@explain
def totals(
    store: str,
    by: str | None,
    fields: str | None,
    stations: str | None,
    station_by: str,
    registered: str | None,
    draws: int,
    level: float,
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
        by=_listed(by),
        fields=_listed(fields),
        stations=stations,
        station_by=station_by,
        registered=registered,
        n_draws=draws,
        level=level,
        random_state=seed,
    )
    put([found.table], out)
    if len(found.fields) > 1:
        say(ranking(found))


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",")]
