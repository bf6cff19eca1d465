"""
Totals put right by an audit
============================

The machine misreads some counts, and nobody knows how far off that makes the totals.
People read some sheets drawn at random, and `estimate` says, with an interval.
"""

# %%
# Bad photographs of a hundred sheets, read by the model that ships. A few cannot be
# read: that is told in a warning, and their counts are missing.
import matplotlib.pyplot as plt
import pandas as pd

from sktally import draw_audit, estimate, load_reader, make_tally_pages
from sktally.totals import difference, share

made = make_tally_pages(100, form="example", degrade=1.0, scale=0.4, random_state=4)
reader = load_reader("example")
fields = list(reader[0].form_.field_names)
sheets = [f"station {i}" for i in range(100)]
paper = pd.DataFrame(made.counts, sheets, fields)
counts = pd.DataFrame(reader.predict(made.pages), sheets, fields)
read = counts.where(counts >= 0)
print(f"counts right: {(read == paper).to_numpy().mean():.3f}")

# %%
# A draw from all sheets, those that were not read included. Whoever audits reads the
# sheets of `draw.sheets`; `draw.to_csv` keeps the draw.
draw = draw_audit(sheets, 40, random_state=0)
print(draw.sheets.head(3))
audit = draw.with_readings(paper.loc[draw.names])  # here people make no mistakes

# %%
# Totals of the three parties, a share, and a difference of shares. No count can be
# above 999; where the voters registered at each station are known, give those.
parties = ["01", "02", "03"]
of = [*parties, share("02", parties), difference("02", "03", among=parties)]
table = estimate(audit, read, of=of, registered=999, audit_only=True)
print(table.round(3).T)

# %%
# The totals, as the machine has them, as they are put right, and as they are.
totals = table.head(3)
fig, ax = plt.subplots()
for shift, name, (low, high) in (
    (-0.1, "estimate", ("lower", "upper")),
    (0.1, "audit_only", ("audit_only_lower", "audit_only_upper")),
):
    ends = [totals[name] - totals[low], totals[high] - totals[name]]
    at = [i + shift for i in range(3)]
    ax.errorbar(at, totals[name], ends, fmt="o", capsize=4, label=name)
ax.plot(range(3), totals["machine"], "x", label="machine alone")
ax.plot(range(3), paper[parties].sum(), "_k", markersize=30, label="on paper")
ax.set_xticks(range(3), parties)
ax.set_ylabel("votes")
ax.legend()
plt.show()
