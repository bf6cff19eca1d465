"""Tables and probabilities of boxes made from counts that are known."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest

from sktally import TallyForm

matplotlib.use("Agg")


def form_of(names, sums, places=2):
    square = {"kind": "square", "size": [40, 40]}
    corners = {"tl": [60, 60], "tr": [940, 60], "bl": [60, 1440], "br": [940, 1440]}
    fields = [
        {"name": name, "start": [300, 200 + 150 * i], "box": [80, 90], "places": places}
        for i, name in enumerate(names)
    ]
    return TallyForm.from_dict(
        {
            "name": "small",
            "page": {"width": 1000, "height": 1500},
            "anchors": [{"name": n, "center": c, **square} for n, c in corners.items()],
            "fields": fields,
            "sums": sums,
            "blank_right": "zero",
        }
    )


def boxes_of(count, places):
    """Return probabilities of a count that is read with certainty."""
    proba = np.zeros((places, 12))
    proba[np.arange(places), [int(d) for d in f"{count:0{places}d}"]] = 1
    return proba


def doubtful(counts, rng, places=3, share=0.5):
    """Return probabilities of sheets, in which some boxes may be another digit."""
    proba = np.array([[boxes_of(n, places) for n in row] for row in counts])
    for at in np.ndindex(proba.shape[:3]):
        if rng.random() < share:
            p = rng.uniform(0.05, 0.4)
            other = rng.integers(10)
            proba[at] *= 1 - p
            proba[(*at, other)] += p
    return proba


def table_of(counts, fields, **columns):
    """Return a long table of counts, -1 for those not read."""
    counts = np.asarray(counts)
    rows = [
        {"file": f"scans/{i}.png", "page": 1, "field": name, "count": n}
        for i, row in enumerate(counts)
        for name, n in zip(fields, row)
    ]
    table = pd.DataFrame(rows)
    table["count"] = table["count"].where(table["count"] >= 0).astype("Int64")
    for name, values in columns.items():
        table[name] = np.repeat(np.asarray(values), len(fields))
    return table


@pytest.fixture(scope="session")
def kit():
    """Return the functions above."""
    return SimpleNamespace(
        form_of=form_of, boxes_of=boxes_of, doubtful=doubtful, table_of=table_of
    )


@pytest.fixture(scope="session")
def small_form():
    """Three fields of two boxes, the last of which is the sum of the others."""
    return form_of(["a", "b", "both"], {"both": ["a", "b"]})


@pytest.fixture(scope="session")
def plain_form():
    """Three parties of three boxes, no sums."""
    return form_of(["x", "y", "z"], {}, places=3)
