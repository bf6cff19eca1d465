"""The verb ``report``: one HTML file that shows what a store holds."""

from __future__ import annotations

import click

from sktally.cli._common import (
    COUNT,
    RUN,
    calibrator_option,
    explain,
    listed,
    loaded_calibrator,
    say,
)

__all__ = ["report"]


@click.command()
@click.argument("store", type=click.Path())
@click.option("--out", required=True, help="File to write, such as report.html.")
@click.option("--title", help="Of the report. Default: the name of the form.")
@click.option("--stations", help="CSV with a column `station` and any others.")
@click.option(
    "--by",
    help="Batches: columns of the stations, such as district, or folder, or day. "
    "Default: folders, or order of reading.",
)
@click.option(
    "--station-by", default="stem", show_default=True, help="As --by of `export`."
)
@click.option("--fields", help="Parties, such as 01,02; by default all but sums.")
@click.option("--registered", help="Column of the voters of a station, a bound.")
@calibrator_option
@click.option(
    "--worst", type=COUNT, default=12, show_default=True, help="Sheets to show."
)
@click.option("--no-images", is_flag=True, help="No pictures of sheets and boxes.")
@click.option(
    "--no-intervals", is_flag=True, help="None of totals: quick, with many sheets."
)
@click.option("--scans", is_flag=True, help="Hash scans and models anew, as `verify`.")
@click.option("--dated", is_flag=True, help="Write down when the report was made.")
@click.option("--run", type=RUN, help="Which run; by default the last read in.")
@explain
def report(
    store: str,
    out: str,
    title: str | None,
    stations: str | None,
    by: str | None,
    station_by: str,
    fields: str | None,
    registered: str | None,
    calibrator: str | None,
    worst: int,
    no_images: bool,
    no_intervals: bool,
    scans: bool,
    dated: bool,
    run: int | None,
) -> None:
    """Show what STORE holds as one HTML file.

    To be read, printed and handed on: sheets and counts by status, totals with
    intervals, sums that do not hold, quality by batch, reliability where audits tell,
    the worst sheets with their boxes, and where it all comes from. It opens offline.
    """
    from sktally.report import write_report

    written = write_report(
        store,
        out,
        run=run,
        by=listed(by),
        stations=stations,
        station_by=station_by,
        fields=listed(fields),
        registered=registered,
        calibrator=loaded_calibrator(calibrator),
        worst=worst,
        images=not no_images,
        title=title,
        intervals=not no_intervals,
        scans=scans,
        dated=dated,
    )
    say(f"wrote {written}, {written.stat().st_size / 1e6:.1f} MB")
