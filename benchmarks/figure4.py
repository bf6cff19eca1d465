"""Figure 4 of Torres and Cantú (2022) on real pages, with intervals.

The bundled model "handwriting", which saw no real tally, is fine-tuned on pages 1-200
of indonesia-2024, its probabilities are calibrated on 201-250, and pages 251-500 are
read. Official are the labelled counts. Printed: shares of the three candidates by all
sheets, by those of high quality, and official; how the latter differ from the others;
who leads and what is in doubt; counts sheet by sheet. And, for blocks of --block pages
as for districts, how often the interval of a total holds what stands on its sheets,
with calibrated probabilities and as the network gives them. Written to --out:
figure4.png, per_tally.png and coverage.png. --quick takes few made pages.
"""

import os
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from common import arguments, load_boxes, print_versions, share
from PIL import Image
from sklearn.pipeline import Pipeline

from sktally import (
    CellNormalizer,
    CNNClassifier,
    TallyCropper,
    VoteCountAggregator,
    make_tally_pages,
    read_to_store,
    vote_totals,
)
from sktally.inspection import PerTallyDisplay, VoteShareDisplay
from sktally.tables import Store, store_table
from sktally.totals import (
    compare_shares,
    compare_tallies,
    ranking,
    store_proba,
)
from sktally.votes import DigitCalibrator

FORM = "indonesia-2024"
FIELDS = ["paslon_1", "paslon_2", "paslon_3"]


def load_pages(args, folder: Path) -> tuple[list[str], np.ndarray, np.ndarray, list]:
    """Return pages, box strings and counts, and slices to fit, calibrate and read."""
    if args.quick:
        made = make_tally_pages(
            75, form=FORM, scale=0.6, degrade="scan", random_state=args.seed
        )
        pages = [str(folder / f"{i:03d}.png") for i in range(len(made.pages))]
        for name, page in zip(pages, made.pages):
            Image.fromarray(page).save(name)
        ends = [20, 45, 75]
        boxes, counts = made.boxes, made.counts
    else:
        pages, boxes, counts, _ = load_boxes(args.data / FORM)
        numbers = [int(Path(page).stem.removeprefix("TPS_")) for page in pages]
        ends = np.searchsorted(numbers, [200, 250, 500], side="right").tolist()
    parts = [slice(start, end) for start, end in zip([0, *ends], ends)]
    return pages, boxes, counts, parts


def make_reader(args) -> Pipeline:
    """Return the reader, to be fitted."""
    classifier = CNNClassifier(
        classes=[*"0123456789x_"],
        batch_norm=True,
        pretrained="handwriting",
        augment="tally",
        max_epochs=args.epochs,
        schedule="one-cycle",
        random_state=args.seed,
    )
    return Pipeline(
        [
            ("crop", TallyCropper(FORM)),
            ("normalize", CellNormalizer()),
            ("votes", VoteCountAggregator(classifier)),
        ]
    )


def read_all(
    reader: Pipeline, pages: list[str], path: Path
) -> tuple[pd.DataFrame, np.ndarray]:
    """Read pages into a store; return its table, and the probabilities of boxes."""
    read_to_store(reader, pages, path)
    with Store(path) as store:
        proba = np.stack([sheet.digit_proba for sheet in store_proba(store)])
        return store_table(store), proba


def long(counts: np.ndarray, table: pd.DataFrame) -> pd.DataFrame:
    """Return true counts as official ones, a row for each sheet and party."""
    official = table[["file", "page", "field"]].copy()
    official["official"] = counts.ravel()
    return official[official["official"] >= 0]


def coverage(table, proba, truth, calibrator, args) -> pd.DataFrame:
    """Return the totals of blocks of sheets, and what stands on those sheets."""
    n_fields = len(FIELDS)
    block = np.arange(len(proba)) // args.block
    table = table.assign(block=np.repeat(block, n_fields))
    # what cannot be compared is left out: counts not known, or not read
    known = (truth.ravel() >= 0) & table["count"].notna().to_numpy()
    table.loc[~known, "final"] = pd.NA
    found = vote_totals(
        table,
        by="block",
        form=FORM,
        digit_proba=proba,
        calibrator=calibrator,
        n_draws=args.draws,
        random_state=args.seed,
    )
    true = pd.DataFrame({"block": table["block"], "field": table["field"]})
    true["true"] = np.where(known, truth.ravel(), 0)
    sums = true.groupby(["block", "field"], as_index=False)["true"].sum()
    return found.table.merge(sums, on=["block", "field"])


def report_coverage(blocks: dict[str, pd.DataFrame], args) -> None:
    """Print how often intervals hold the truth, and draw them."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True)
    for ax, (name, table) in zip(axes, blocks.items()):
        held = table["true"].between(table["lower"], table["upper"])
        exact = table["lower"] == table["upper"]
        wrong = table["total"] != table["true"]
        print(
            f"{name}: 95 % intervals that hold the truth {share(held)}; among "
            f"{wrong.sum()} totals that were read wrong, {share(held[wrong])}; "
            f"{exact.sum()} intervals are a point"
        )
        x = np.arange(len(table))
        low, high, read = (
            (table[column] - table["true"]).to_numpy(float)
            for column in ("lower", "upper", "total")
        )
        ax.vlines(x, low, high, color=np.where(held, "tab:blue", "tab:red"))
        ax.plot(x, read, "k.", ms=3, label="as read")
        ax.axhline(0, color="grey", lw=0.6)
        ax.set_yscale("symlog", linthresh=10)
        ax.set_title(name)
        ax.set_xlabel(f"blocks of {args.block} pages, three candidates each")
        ax.legend()
    axes[0].set_ylabel("votes, less those on the sheets")
    figure.tight_layout()
    figure.savefig(args.out / "coverage.png", dpi=110)


def main() -> None:
    """Fit, read, compare and draw."""
    args = arguments(
        __doc__,
        out={"type": Path, "default": Path("figure4")},
        epochs={"type": int, "default": 15},
        block={"type": int, "default": 10},
        draws={"type": int, "default": 2000},
        quick={"action": "store_true"},
    )
    args.out.mkdir(parents=True, exist_ok=True)
    print_versions(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        pages, boxes, counts, (fit, kept, report) = load_pages(args, Path(folder))
        reader = make_reader(args).fit(pages[fit], boxes[fit])
        _, proba = read_all(reader, pages[kept], Path(folder, "kept.sqlite"))
        calibrator = DigitCalibrator().fit(proba, counts[kept])
        print(f"temperature {calibrator.temperature_}, of {calibrator.n_pages_} pages")
        table, proba = read_all(reader, pages[report], Path(folder, "votes.sqlite"))
    truth = counts[report]
    official = long(truth, table)
    options = {
        "form": FORM,
        "digit_proba": proba,
        "calibrator": calibrator,
        "n_draws": args.draws,
        "random_state": args.seed,
    }
    totals = vote_totals(table, **options)
    with pd.option_context("display.width", 120):
        print(totals.table.round(4).T.to_string())
    print(ranking(totals))
    whole = official.groupby("field", as_index=False)["official"].sum()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        shares = compare_shares(table, whole, **options)
    print(*(warning.message for warning in told), sep="\n")
    print(shares.round(4).to_string(index=False))
    display = VoteShareDisplay.from_table(shares)
    display.ax_.set_title(f"indonesia-2024, {len(truth)} pages")
    display.figure_.savefig(args.out / "figure4.png", dpi=110)
    tallies = compare_tallies(table, official, random_state=args.seed)
    print(tallies.summary.round(4).to_string(index=False))
    PerTallyDisplay.from_table(tallies).figure_.savefig(
        args.out / "per_tally.png", dpi=110
    )
    with warnings.catch_warnings(action="ignore"):
        blocks = {
            "calibrated": coverage(table, proba, truth, calibrator, args),
            "as the network says": coverage(table, proba, truth, None, args),
        }
    report_coverage(blocks, args)


if __name__ == "__main__":
    main()
