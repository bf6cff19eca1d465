"""Read the ten indonesia-2019-c1 pages with the bundled model, which never saw one.

Prints every field read wrong, and shares by digit, count and page with intervals; and
what becomes of the counts in the light of the sums of their sheet.
"""

import numpy as np
from common import arguments, load_boxes, print_versions, share

from sktally import load_reader
from sktally.votes import reconcile_tallies

args = arguments(__doc__, model={"default": "default"})
print_versions(args.seed)
paths, boxes, counts, _ = load_boxes(args.data / "indonesia-2019-c1")
reader = load_reader("indonesia-2019-c1", model=args.model)
cells, reports = reader[0].crop(paths)
for report in reports:
    print(report.name, report.status, report.message)
read = reader[-1].predict_tallies(reader[1:-1].transform(cells))
exact = read.counts == counts
fields = reader[0].form_.field_names
for i, j in np.argwhere(~exact):
    print(
        f"wrong: {paths[i].rsplit('/')[-1]} {fields[j]}: read {read.boxes[i, j]!r}, "
        f"truth {boxes[i, j]!r}, confidence {read.confidence[i, j]:.2f}"
    )
print("accepted pages:", share([report.status == "ok" for report in reports]))
digits = [a == b for r, t in zip(read.boxes.flat, boxes.flat) for a, b in zip(r, t)]
print("boxes right:   ", share(digits))
print("counts exact:  ", share(exact))
print("pages exact:   ", share(exact.all(axis=1)))
joint = reconcile_tallies(read.digit_proba, reader[0].form_).counts
right = joint == counts
print("in the light of the sums:")
print("counts exact:  ", share(right))
print(f"mended: {(right & ~exact).sum()}, broken: {(exact & ~right).sum()}")
