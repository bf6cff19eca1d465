"""Make the reference that ships with the form indonesia-2024.

Its boxes were not measured on one page but on the median of many, so the start is
where four corners of the table lie on one photo, read off by eye. All else is what
`learn_form` does. The reference holds feature points and descriptors, no pixels.
Pages 1-120 are learnt from; `benchmarks/registration.py` leaves them out.
"""

import time
from pathlib import Path

import cv2
import numpy as np
from common import arguments, print_versions

import sktally
from sktally import load_form, read_page
from sktally.pages._features import write_reference
from sktally.pages._learn import align_pages

PAGES = range(1, 121)
SEED = 2
TABLE_ON_FORM = [[6.6, 11.1], [790.4, 11.1], [790.4, 1070.9], [6.6, 1070.9]]
TABLE_ON_SEED = [[6.1, 8.3], [796.7, 8.5], [800.4, 813.8], [7.6, 813.8]]

if __name__ == "__main__":
    forms = Path(sktally.__file__).parent / "data" / "forms"
    args = arguments(
        __doc__,
        out={"type": Path, "default": forms / "indonesia-2024.reference.safetensors"},
    )
    print_versions(args.seed)
    cv2.setNumThreads(1)
    form = load_form("indonesia-2024")
    folder = args.data / "indonesia-2024" / "pages"
    pages = [read_page(folder / f"TPS_{i:03d}.jpg") for i in PAGES]
    began = time.perf_counter()
    start, _ = cv2.findHomography(np.array(TABLE_ON_FORM), np.array(TABLE_ON_SEED))
    aligned, reference = align_pages(pages, form, seed=PAGES.index(SEED), start=start)
    write_reference(reference, args.out)
    left = [PAGES[i] for i in range(len(pages)) if i not in aligned]
    print(
        f"{len(aligned)} of {len(pages)} pages aligned (not: {left}), "
        f"{len(reference.points)} features, {args.out.stat().st_size / 1024:.0f} KiB, "
        f"{time.perf_counter() - began:.0f} s: {args.out}"
    )
