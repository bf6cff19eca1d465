"""Scores at three levels, and the report of `paper.py`: Markdown and a picture.

Comes in: which boxes were read right. Goes out: rows of a table, a file per part that
a later run of other parts finds again, and all parts together.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from common import clustered_share, share

from sktally.votes import accuracy_interval

_LEVELS = ("digits", "counts", "pages")


def scores(name: str, right, at: np.ndarray, boxes, paper: float | None = None) -> dict:
    """Score boxes read one by one as digits, counts and pages.

    A count is a field all of whose boxes were read, exact if all are right; a page one
    all of whose labelled fields are counts.
    """
    table = pd.DataFrame(at, columns=["page", "field", "place"]).assign(right=right)
    fields = table.groupby(["page", "field"])["right"].agg(["all", "size"])
    counts = fields[fields["size"] == at[:, 2].max() + 1]["all"]
    labelled = pd.Series([sum(bool(b) for b in row) for row in boxes])
    pages = counts.groupby(level="page").agg(["all", "size"])
    pages = pages[pages["size"] == labelled.loc[pages.index]]["all"]
    on = counts.index.get_level_values("page").to_numpy()
    return row(
        name,
        (np.asarray(right, bool), at[:, 0]),
        (counts.to_numpy(bool), on),
        pages.to_numpy(bool),
        paper,
    )


def count_scores(name: str, truth, read_boxes, read_counts) -> dict:
    """Score counts as a reader gives them: exact values, not the boxes behind them."""
    known = truth.counts >= 0
    right, on = [], []
    for page, field in np.argwhere(known):
        text, read = truth.boxes[page, field], read_boxes[page, field]
        right += [a == b for a, b in zip(text, read or " " * len(text), strict=True)]
        on += [page] * len(text)
    exact = (read_counts == truth.counts) | ~known
    page = np.argwhere(known)[:, 0]
    pages = exact[known.any(axis=1)].all(axis=1)
    return row(name, (np.array(right), np.array(on)), (exact[known], page), pages, None)


def row(name: str, digits, counts, pages, paper) -> dict:
    """Return one row: texts with intervals, and the digits' share as numbers."""
    found = accuracy_interval(digits[0], groups=digits[1])
    return {
        "name": name,
        "digits": clustered_share(*digits),
        "counts": clustered_share(*counts) if len(counts[0]) else "none",
        "pages": share(pages),
        "paper": paper,
        "interval": list(found),
    }


def markdown(rows: list[dict]) -> str:
    """Return rows as a table."""
    lines = [
        "| | digits | counts | pages | the paper, digits |",
        "|---|---|---|---|---|",
    ]
    for one in rows:
        paper = "" if one["paper"] is None else f"{one['paper']}"
        levels = " | ".join(one[level] for level in _LEVELS)
        lines.append(f"| {one['name']} | {levels} | {paper} |")
    return "\n".join(lines)


class Report:
    """Keep what each part found in a folder, and write it all as one."""

    def __init__(self, folder: Path, header: str):
        self.folder, self.header = folder, header
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, part: str, title: str, text: str, rows: list[dict]) -> None:
        """Print a part and keep it."""
        if rows:
            text = f"{text}\n\n{markdown(rows)}"
        print(f"\n## {title}\n\n{text}", flush=True)
        found = {"title": title, "text": text, "rows": rows, "header": self.header}
        self._file(part).write_text(json.dumps(found, indent=1))

    def write(self, parts: tuple[str, ...]) -> None:
        """Write paper.md, and paper.png where there is something to draw."""
        found = {
            part: json.loads(self._file(part).read_text())
            for part in parts
            if self._file(part).exists()
        }
        texts = ["# The paper's steps on other tallies"]
        for one in found.values():
            texts += [f"## {one['title']}", one["text"], f"({one['header']})"]
        (self.folder / "paper.md").write_text("\n\n".join(texts) + "\n")
        draw(found, self.folder / "paper.png")
        print(f"\nwritten: {self.folder / 'paper.md'} and paper.png")

    def _file(self, part: str) -> Path:
        return self.folder / f"part_{part}.json"


def draw(found: dict, path: Path) -> None:
    """Draw digit accuracy of each step beside the paper's."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    steps = [
        (part, one)
        for part in ("untouched", "grid", "transfer", "twelve")
        for one in found.get(part, {}).get("rows", [])
    ]
    figure, ax = plt.subplots(figsize=(10, 1.5 + 0.28 * len(steps)))
    figure.set_layout_engine("constrained")
    colors = dict(zip(("untouched", "grid", "transfer", "twelve"), plt.cm.tab10.colors))
    for y, (part, one) in enumerate(steps):
        middle, low, high = one["interval"]
        error = [[middle - low], [high - middle]]
        ax.errorbar(middle, y, xerr=error, fmt="o", color=colors[part], capsize=3)
        ax.text(1.03, y, f"{middle:.4f}", va="center", fontsize="small")
        if one["paper"] is not None:
            ax.plot(one["paper"], y, "D", color="black", markerfacecolor="none")
    ax.plot([], [], "D", color="black", markerfacecolor="none", label="the paper")
    for part, color in colors.items():
        ax.plot([], [], "o", color=color, label=part)
    ax.set_yticks(range(len(steps)), [one["name"] for _, one in steps])
    ax.set_xlim(0, 1.15)
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.invert_yaxis()
    ax.grid(axis="x", alpha=0.3)
    ax.set_xlabel("digits right, 95 % interval with pages as clusters")
    figure.suptitle("Digits of tallies read right, beside the paper's of other tallies")
    figure.legend(loc="outside lower center", ncols=5, fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)
