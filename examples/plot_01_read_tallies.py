"""
Read tally sheets and look at what was seen
===========================================

Scans go in, a table of counts comes out. Here the sheets are made by
:func:`sktally.make_tally_pages`, so the truth is known; with scans of your own the
steps are the same.
"""

# %%
# Make ten sheets of the form ``example``, as a phone would photograph them.
import matplotlib.pyplot as plt

from sktally import load_reader, make_tally_pages, read_tallies
from sktally.pages import draw_registration, register_page

made = make_tally_pages(10, form="example", degrade="photo", random_state=0)

# %%
# A reader is a stock scikit-learn Pipeline with a bundled model: nothing to fit.
reader = load_reader("example")
reader

# %%
# One row for each page and field. A count that was not read would be missing.
table = read_tallies(reader, made.pages)
table["true_count"] = made.counts.ravel()
print(table[["file", "field", "boxes", "count", "true_count", "status"]].head(12))
exact = (table["count"] == table["true_count"]).fillna(False)
print(f"exactly right: {exact.sum()} of {len(table)} counts")

# %%
# The same as an array, as any Pipeline gives it.
print((reader.predict(made.pages) == made.counts).mean())

# %%
# Look at a page: the boxes that were cropped, and what was read in them.
page = made.pages[0]
texts = [str(c) for c in table["count"][:6]]
picture = draw_registration(
    page, made.form, register_page(page, made.form), texts=texts
)
_, ax = plt.subplots(figsize=(6, 8))
ax.imshow(picture)
ax.set_axis_off()

# %%
# And at the cells themselves, as cropped and as the network sees them.
cells = reader["crop"].transform(made.pages[:1])[0]
clean = reader["normalize"].transform(cells[None])[0]
_, axes = plt.subplots(2, cells.shape[0] * cells.shape[1], figsize=(12, 1.6))
shown = (cells, clean)
for row, images in zip(axes, shown, strict=True):
    for ax, image in zip(row, images.reshape(-1, *images.shape[2:]), strict=True):
        ax.imshow(image, cmap="gray")
        ax.set_axis_off()
plt.show()
