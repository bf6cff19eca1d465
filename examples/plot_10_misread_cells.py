"""
What the machine misreads, and what that looks like
===================================================

An accuracy says how often a reader is wrong; its mistakes say why. Cells that are taken
for each other, cells in doubt, and above all those misread with confidence.
"""

# %%
# A simple reader, fitted on few sheets, so that there are mistakes to look at. Other
# sheets are read once; all pictures are drawn from what was read.
import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from sktally import (
    CellNormalizer,
    CellsDisplay,
    ConfusionCropsDisplay,
    MisreadDisplay,
    TallyCropper,
    VoteCountAggregator,
    make_tally_pages,
)
from sktally.inspection import ReadCells

made = make_tally_pages(160, degrade="scan", scale=0.4, random_state=0)
steps = [
    ("crop", TallyCropper("example")),
    ("normalize", CellNormalizer(size=20)),
    ("votes", VoteCountAggregator(LogisticRegression(max_iter=500))),
]
reader = Pipeline(steps).fit(made.pages[:100], made.boxes[:100])
read = ReadCells.from_estimator(reader, made.pages[100:], made.boxes[100:])
print(f"{read.misread.sum()} of {len(read.images)} cells misread")

# %%
# A contact sheet by label. What does not belong into a row stands at its beginning,
# where the reader is least sure.
CellsDisplay(read).plot(n_columns=16)

# %%
# The cells in doubt are those that a person should see, or label for training.
CellsDisplay(read).plot(order="doubt", n_columns=14, n_rows=4)

# %%
# Which labels are taken for which. Off the diagonal stand examples, the surest first.
ConfusionCropsDisplay(read).plot()

# %%
# Mistakes one by one, with page, field and place. No threshold finds those of which the
# reader is sure; on real pages many of them turn out to be labels that are wrong.
gallery = MisreadDisplay(read).plot(n_cells=18)
print(gallery.table_.head(6).round(3).to_string(index=False))
plt.show()
