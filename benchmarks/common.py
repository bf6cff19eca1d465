"""What the benchmark scripts share: arguments, versions, labels, intervals."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from sktally.votes import accuracy_interval

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def arguments(description: str, **extra: dict) -> argparse.Namespace:
    """Parse --data, --seed and the script's own options.

    With a --quick that is given, a script does without real data.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of real data")
    parser.add_argument("--seed", type=int, default=0)
    for name, options in extra.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **options)
    found = parser.parse_args()
    if not found.data.is_dir() and not getattr(found, "quick", False):
        parser.error(f"no folder {found.data}; give the real data's with --data")
    return found


def versions(seed: int) -> str:
    """Return seed, versions and kind of machine in one line."""
    names = ["sktally", "scikit-learn", "torch", "skorch", "opencv-python-headless"]
    listed = ", ".join(f"{name} {version(name)}" for name in names)
    return f"seed {seed}; Python {platform.python_version()}, {listed}"


def print_versions(seed: int) -> None:
    """Print seed, versions and kind of machine."""
    print(versions(seed))


def load_boxes(folder: Path) -> tuple[list[str], np.ndarray, np.ndarray, pd.DataFrame]:
    """Return paths, box strings and counts (-1 = unknown) by page, and fields.csv."""
    fields = pd.read_csv(folder / "fields.csv", dtype={"boxes": str})
    names = list(dict.fromkeys(fields["field"]))
    files = list(dict.fromkeys(fields["file"]))
    wide = fields.pivot(index="file", columns="field").loc[files]
    boxes = wide["boxes"][names].to_numpy(object)
    boxes[pd.isna(boxes)] = None
    counts = wide["value"][names].fillna(-1).to_numpy().astype(np.int64)
    return [str(folder / "pages" / f) for f in files], boxes, counts, fields


def share(correct: np.ndarray) -> str:
    """Format a share with its sample size and exact 95 % interval."""
    correct = np.asarray(correct, bool).ravel()
    if not correct.size:
        return "none"
    low, high = binomtest(int(correct.sum()), correct.size).proportion_ci()
    return (
        f"{correct.mean():.4f} ({correct.sum()} of {correct.size}; "
        f"95 % {low:.4f}-{high:.4f})"
    )


def clustered_share(correct: np.ndarray, pages: np.ndarray) -> str:
    """Format a share with its 95 % interval, pages as clusters (one hand each)."""
    correct, pages = np.asarray(correct, bool), np.asarray(pages)
    found = accuracy_interval(correct, groups=pages)
    return (
        f"{found.estimate:.4f} ({correct.sum()} of {correct.size} on "
        f"{len(np.unique(pages))} pages; 95 % {found.low:.4f}-{found.high:.4f})"
    )
