"""
Totals of parties with intervals: Figure 4 of the paper
=======================================================

From counts of sheets to totals and shares, with three things kept apart: what was
read, what misreading leaves in doubt of it, and what sheets not read could add.
"""

# %%
# Some made sheets of two districts, copied badly, of which three are lost. Their sums
# bind the fields: 01 + 02 + 03 = valid votes, and these + invalid = ballots.
import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image

from sktally import load_reader, make_tally_pages, read_to_store, vote_totals
from sktally.inspection import PerTallyDisplay, VoteShareDisplay
from sktally.tables import Store, store_table
from sktally.totals import (
    compare_shares,
    compare_tallies,
    ranking,
)

PARTIES = ["01", "02", "03"]
N_SHEETS, N_LOST = 32, 3
folder = tempfile.TemporaryDirectory()
store = Path(folder.name, "votes.sqlite")
made = make_tally_pages(
    N_SHEETS, form="example", degrade=0.5, scale=0.5, blur=1.2, random_state=3
)
scans = [Path(folder.name, f"{i}.png") for i in range(N_SHEETS - N_LOST)]
for scan, page in zip(scans, made.pages, strict=False):
    Image.fromarray(page).save(scan)
read_to_store(load_reader("example"), scans, store)

# %%
# The stations: to which district each belongs, and how many voters it has. Those of the
# lost sheets are among them.
stations = pd.DataFrame(
    {
        "station": [str(i) for i in range(N_SHEETS)],
        "district": np.where(np.arange(N_SHEETS) % 3, "North", "South"),
        "voters": 40 + made.counts.max(axis=1),
    }
)
options = {
    "fields": PARTIES,
    "stations": stations,
    "registered": "voters",
    "random_state": 0,
}


def without_warnings(function, *arguments, **options):
    """Return what a function returns, and print what it warns of in a line each."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = function(*arguments, **options)
    for text in dict.fromkeys(str(warning.message) for warning in told):
        print(f"warning: {text}")
    return found


# %%
# Totals by district. ``lower`` and ``upper`` are drawn from all that a sheet may say,
# given its sums: its fields are in doubt together. ``lowest`` and ``highest`` are
# bounds: they give what was not read to one party, or to the others. Where the interval
# leaves out the total as read, sums say that something was misread.
districts = without_warnings(vote_totals, store, by="district", **options)
shown = ["district", "field", "total", "lower", "upper", "lowest", "highest"]
print(districts.table[[*shown, "n_read", "n_unread", "n_missing"]].to_string())

# %%
# What stands on the sheets that were read lies within? Here we know it.
with Store(store) as opened:
    table = store_table(opened)
of_sheets = pd.DataFrame(
    {
        "file": np.repeat([str(scan) for scan in scans], 6),
        "field": list(table["field"].unique()) * len(scans),
        "official": made.counts[:-N_LOST].ravel(),
    }
)
joined = table.merge(of_sheets, on=["file", "field"]).dropna(subset="count")
joined["station"] = [Path(file).stem for file in joined["file"]]
joined = joined.merge(stations, on="station")
on_sheets = joined.groupby(["district", "field"])["official"].sum()
keys = pd.MultiIndex.from_frame(districts.table[["district", "field"]])
found = districts.table.assign(on_sheets=on_sheets.loc[keys].to_numpy())
found["within"] = found["on_sheets"].between(found["lower"], found["upper"])
print(found[["district", "field", "total", "lower", "upper", "on_sheets", "within"]])

# %%
# Who leads, and what is in doubt against the margin.
print(ranking(districts))
print(ranking(districts, "South"))
print(ranking(districts).proba.round(3))

# %%
# Figure 4: shares by all sheets, by those of high quality alone, and official ones.
# The warning says how the second differ from the others.
official = pd.DataFrame({"field": PARTIES, "official": made.counts[:, :3].sum(axis=0)})
shares = without_warnings(compare_shares, store, official, **options)
print(shares.round(4).to_string())

# %%
# The same sheet by sheet, as in the paper's appendix.
tallies = compare_tallies(store, of_sheets, fields=PARTIES, random_state=0)
print(tallies.summary.query("field == 'all'").round(3).to_string(index=False))

# %%
_, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
VoteShareDisplay.from_table(shares, ax=left)
PerTallyDisplay.from_table(tallies, ax=right)
left.set_title("shares of parties", fontsize="medium")
plt.show()
folder.cleanup()
