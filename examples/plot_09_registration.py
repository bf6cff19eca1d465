"""
Where the form lies on a page, and how well it fits
===================================================

Before a digit can be read its box must be found. :class:`sktally.RegistrationDisplay`
draws what was found and what was not: look at a few pages of each batch, and at every
page that was refused.
"""

# %%
# One sheet as a scanner, a telephone and a careless hand would give it: flat, crumpled,
# and lying on its head.
import matplotlib.pyplot as plt

from sktally import RegistrationDisplay, load_reader, make_tally_pages

scan = make_tally_pages(1, degrade="scan", random_state=1)
photo = make_tally_pages(1, degrade="photo", fold=0.012, random_state=1)
turned = make_tally_pages(1, degrade="photo", turn=180, random_state=1)
reader = load_reader("example")

# %%
# Crosses are the printed marks with their match, from 0 to 1; the thin line is the edge
# of the form; boxes are blue, with the count read and how well their frames fit. Where
# the paper is bent the four marks alone do not place a field: it is moved onto its
# printed frame. Red arrows show those moves, five times as long.
display = RegistrationDisplay.from_estimator(reader, photo.pages[0])
print(display.residuals_[["name", "kind", "distance"]].round(2).to_string(index=False))

# %%
# Fields that move by a good part of a box are a warning: the paper is badly folded, or
# the form file is not exact. A page of another form is refused, and the picture says
# why.
other = make_tally_pages(1, form="indonesia-2024", scale=0.6, random_state=1)
RegistrationDisplay.from_page(other.pages[0], "example")

# %%
# The three side by side.
_, axes = plt.subplots(1, 3, figsize=(12, 6), layout="constrained")
for ax, made, name in zip(
    axes, (scan, photo, turned), ("scan", "photo, folded", "upside down"), strict=True
):
    shown = RegistrationDisplay.from_estimator(reader, made.pages[0], ax=ax)
    moved = shown.residuals_["distance"].max()
    ax.set_title(f"{name}: moved by {moved:.1f} units at most", fontsize="medium")
plt.show()
