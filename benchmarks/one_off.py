"""How well frames fit in place, and one row, column or box off: what the gate rests on.

Every second page of 121-250 of indonesia-2024 is registered; then its fields are
snapped from there, and from each place one step on where the form looks alike. The
gate `_reference._GATE` has to lie between the two.
"""

import cv2
import numpy as np
from common import arguments, print_versions

from sktally import RegistrationError, load_form, read_page
from sktally.pages._reference import _GATE, like_shifts, register_by_reference
from sktally.pages._snap import snap_fields

args = arguments(__doc__)
print_versions(args.seed)
cv2.setNumThreads(1)
form = load_form("indonesia-2024")
in_place, one_off = [], []
for number in range(121, 251, 2):
    path = args.data / "indonesia-2024" / "pages" / f"TPS_{number:03d}.jpg"
    page = read_page(path)
    try:
        found = register_by_reference(page, form)
    except RegistrationError as error:
        print(f"{path.name}: {error}")
        continue
    in_place.append(snap_fields(page, form, found.homography)[1].min())
    for shift in like_shifts(form):
        one_off.append(snap_fields(page, form, found.homography @ shift)[1].min())
print(f"worst field of a page; gate {_GATE}")
for name, scores in (("in place", in_place), ("one off", one_off)):
    print(
        f"{name:8s} n {len(scores)}, minimum, median, 95 %, 99 %, maximum:",
        np.percentile(scores, [0, 50, 95, 99, 100]).round(3).tolist(),
    )
