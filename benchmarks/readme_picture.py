"""Draw what sktally does in one picture, docs/_static/overview.png, of made sheets.

A page with the anchors and boxes that were found; the boxes cut out; the same cleaned,
with what was read; counts; and totals of all sheets with their intervals. Everything
in it is computed when the script runs, nothing is typed:

    python benchmarks/readme_picture.py
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from sktally import (
    TallyWarning,
    load_reader,
    make_tally_pages,
    read_to_store,
    register_page,
    vote_totals,
)

OUT = Path(__file__).resolve().parents[1] / "docs" / "_static" / "overview.png"
WIDTH, HEIGHT, DPI = 9.2, 4.8, 180
# Okabe & Ito's palette: told apart by colour-blind eyes too
BLUE, GREEN, ORANGE = "#0072B2", "#009E73", "#D55E00"
PAPER, INK, QUIET, LINE = "#fcfcfa", "#1b1f24", "#59616b", "#d5d9de"
PARTIES = ["01", "02", "03"]
ROWS = [*PARTIES, "valid"]
# where things stand, in inches from the left; rows, in inches from the top
PAGE, CROPS, READ, COUNT, TOTALS = 0.25, 2.96, 4.42, 6.08, 7.2
TOP, STEP, CELL = 1.1, 0.89, 0.42


def main() -> None:
    """Read made sheets and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seed", type=int, default=11)  # crossed boxes, a doubt
    parser.add_argument("--sheets", type=int, default=12)
    args = parser.parse_args()
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 9})
    reader = load_reader("example")
    made = make_tally_pages(1, degrade="photo", skew=1.5, random_state=args.seed)
    figure = plt.figure(
        figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor=PAPER, edgecolor=LINE, linewidth=3
    )
    canvas = _canvas(figure)
    _draw_page(figure, canvas, made.pages[0], made.form)
    _draw_rows(figure, canvas, reader, made.pages[0], made.form)
    _draw_totals(figure, canvas, reader, args.sheets, args.seed)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, facecolor=PAPER, edgecolor=LINE)
    with Image.open(args.out) as picture:  # as good, at a third of the size
        how = {"method": Image.Quantize.MAXCOVERAGE, "dither": Image.Dither.NONE}
        small = picture.convert("RGB").quantize(256, **how)
    small.save(args.out, optimize=True)
    size = args.out.stat().st_size
    print(f"{args.out.name}: {size / 1000:.0f} kB")
    if size > 200_000:
        raise SystemExit("expected at most 200 kB")


def _canvas(figure):
    """Return axes in inches, y downwards, with the headings."""
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_xlim(0, WIDTH)
    ax.set_ylim(HEIGHT, 0)
    ax.set_axis_off()
    heads = {
        PAGE: ("1  Find the form", "anchors, then boxes"),
        CROPS: ("2  Cut", "a cell each digit"),
        READ: ("3  Read", "clean; digit, probability"),
        COUNT: ("4  Count", "confidence"),
        TOTALS: ("5  Total", ""),
    }
    for x, (head, more) in heads.items():
        ax.text(x, 0.36, head, size=11, weight="bold", color=INK, va="center")
        ax.text(x, 0.6, more, size=9, color=QUIET, va="center")
    return ax


def _place(figure, x, y, width, height):
    """Return axes for an image, at a place in inches from the top left."""
    where = (x / WIDTH, 1 - (y + height) / HEIGHT, width / WIDTH, height / HEIGHT)
    ax = figure.add_axes(where)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_color(LINE)
    return ax


def _draw_page(figure, canvas, page, form):
    found = register_page(page, form)
    width = 2.5
    shrink = width * DPI / page.shape[1]
    small = cv2.resize(page, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    height = width * page.shape[0] / page.shape[1]
    ax = _place(figure, PAGE, 0.86, width, height)
    ax.imshow(small // 4 * 4, cmap="gray", vmin=0, vmax=255)
    for hit in found.anchors:
        x, y = np.asarray(hit.page_xy) * shrink
        ax.plot(x, y, "o", ms=14, mfc="none", mec=GREEN, mew=2)
    for quads in found.quads:
        for quad in quads[~np.isnan(quads).any(axis=(1, 2))] * shrink:
            ax.fill(*quad.T, fill=False, ec=BLUE, lw=1.3)
    ax.set_xlim(0, small.shape[1])
    ax.set_ylim(small.shape[0], 0)


def _draw_rows(figure, canvas, reader, page, form):
    cells = reader["crop"].transform([page])
    clean = reader["normalize"].transform(cells)
    read = reader["votes"].predict_tallies(clean)
    names = [field.name for field in form.fields]
    labels = {field.name: field.label or field.name for field in form.fields}
    for row, name in enumerate(ROWS):
        i, y = names.index(name), TOP + STEP * row
        title = labels[name] if name in PARTIES else "Valid votes"
        canvas.text(CROPS, y - 0.13, title, size=9, color=QUIET)
        for place in range(3):
            x = CROPS + place * (CELL + 0.03)
            ax = _place(figure, x, y, CELL, CELL)
            ax.imshow(cells[0, i, place], cmap="gray", vmin=0, vmax=255)
            x = READ + place * (CELL + 0.07)
            ax = _place(figure, x, y, CELL, CELL)
            ax.imshow(clean[0, i, place], cmap="gray_r", vmin=0, vmax=1)
            best = float(np.nanmax(read.digit_proba[0, i, place]))
            letter = read.boxes[0, i][place]
            colour = BLUE if best > 0.9 else ORANGE
            style = {"size": 8.5, "color": colour, "va": "center"}
            canvas.text(x, y + CELL + 0.13, letter, weight="bold", **style)
            canvas.text(x + CELL, y + CELL + 0.13, f"{best:.2f}", ha="right", **style)
        sure = float(read.confidence[0, i])
        canvas.text(
            COUNT,
            y + 0.2,
            str(read.counts[0, i]),
            size=19,
            weight="bold",
            color=INK,
            va="center",
        )
        canvas.text(
            COUNT,
            y + CELL + 0.13,
            f"{sure:.3f}",
            size=9,
            color=BLUE if sure > 0.9 else ORANGE,
            va="center",
        )
        for x in (READ, COUNT):
            arrow = {"arrowstyle": "-|>", "color": QUIET, "lw": 1, "shrinkA": 0}
            ends = (x - 0.03, y + 0.21), (x - 0.19, y + 0.21)
            canvas.annotate("", *ends, arrowprops=arrow)
    counts = [int(read.counts[0, names.index(name)]) for name in ROWS]
    holds = sum(counts[:3]) == counts[3]
    text = " + ".join(map(str, counts[:3])) + (" = " if holds else " is not ")
    canvas.text(
        CROPS,
        TOP + 4 * STEP - 0.14,
        f"sum:  {text}{counts[3]}",
        size=9,
        color=GREEN if holds else ORANGE,
        va="center",
    )


def _draw_totals(figure, canvas, reader, n, seed):
    made = make_tally_pages(n, degrade=0.6, scale=0.5, blur=1.3, random_state=seed)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "votes.sqlite")
        scans = [Path(folder, f"{i}.png") for i in range(n)]
        for scan, page in zip(scans, made.pages, strict=True):
            Image.fromarray(page).save(scan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TallyWarning)
            read_to_store(reader, scans, store)
            totals = vote_totals(store, fields=PARTIES, random_state=0).table
    n_read = int(totals["n_read"].iloc[0])
    print(totals.to_string())
    labels = {field.name: field.label or field.name for field in made.form.fields}
    names = [field.name for field in made.form.fields]
    width = WIDTH - TOTALS - 0.28
    most = float(totals["upper"].max())
    canvas.text(
        TOTALS, 0.6, f"of {n_read} sheets read of {n}", size=9, color=QUIET, va="center"
    )
    for row, name in enumerate(PARTIES):
        y = TOP + STEP * row
        one = totals[totals["field"] == name].iloc[0]
        scale = width / most
        canvas.text(TOTALS, y - 0.13, labels[name], size=9, color=QUIET)
        canvas.barh(
            y + 0.21, one["expected"] * scale, 0.26, left=TOTALS, color="#86b6d8"
        )
        low, high = (TOTALS + one[end] * scale for end in ("lower", "upper"))
        canvas.plot([low, high], [y + 0.21] * 2, color=INK, lw=1.6)
        for x in (low, high):
            canvas.plot([x, x], [y + 0.14, y + 0.28], color=INK, lw=1.6)
        text = f"{one['expected']:.0f}  ({one['lower']:.0f}-{one['upper']:.0f})"
        canvas.text(TOTALS, y + CELL + 0.13, text, size=9, color=INK, va="center")
        true = made.counts[:, names.index(name)].sum()
        print(f"{labels[name]}: true total of all {n} sheets {true}")
    y = TOP + STEP * 3
    text = "bar: expected votes,\ngiven the sums of sheets\nline: 95 % interval"
    canvas.text(TOTALS, y + 0.2, text, size=8.5, color=QUIET, va="center")


if __name__ == "__main__":
    main()
