"""Time reading against decoding, on 1700 x 2200 grey JPEGs of 15 fields x 3 boxes.

One thread on both sides, warm cache, alternating decode and read in one run; medians
and ratios. "Without the network" is decoding, registration, cropping and
normalising; the network is the bundled model's.
"""

import os
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
from common import arguments, print_versions

from sktally import TallyForm, load_reader, make_tally_pages
from sktally.pages import read_page, register_page


def big_form() -> TallyForm:
    """Return a form of 15 fields with three boxes each, in two columns."""
    square = {"kind": "square", "size": [40, 40]}
    corners = {"tl": [60, 60], "tr": [1640, 60], "bl": [60, 2140], "br": [1640, 2140]}
    fields = [
        {
            "name": f"{i + 1:02d}",
            "start": [450 + 800 * (i // 8), 300 + 220 * (i % 8)],
            "box": [90, 110],
            "places": 3,
            "frame": 3,
        }
        for i in range(15)
    ]
    anchors = [{"name": n, "center": c, **square} for n, c in corners.items()]
    return TallyForm.from_dict(
        {
            "name": "speed",
            "page": {"width": 1700, "height": 2200},
            "anchors": anchors,
            "fields": fields,
        }
    )


args = arguments(
    __doc__,
    pages={"type": int, "default": 12},
    rounds={"type": int, "default": 7},
    model={"default": "default"},
)
import torch

torch.set_num_threads(1)
cv2.setNumThreads(1)
print_versions(args.seed)
form = big_form()
made = make_tally_pages(args.pages, form=form, random_state=args.seed)
holder = tempfile.TemporaryDirectory()  # removed when the script ends
folder = Path(holder.name)
paths = []
for i, page in enumerate(made.pages):
    paths.append(str(folder / f"{i:03d}.jpg"))
    cv2.imwrite(paths[-1], page, [cv2.IMWRITE_JPEG_QUALITY, 85])
print(f"{args.pages} pages of {made.pages[0].shape}, {args.rounds} rounds")
reader = load_reader(form, model=args.model)
cropper, between, aggregator = reader[0], reader[1:-1], reader[-1]
truth = made.counts
steps = ["decode", "read", "register", "crop", "normalize", "network"]
times = {step: [] for step in steps}


def timed(step, call, *inputs):
    """Call and keep the seconds per page."""
    started = time.perf_counter()
    result = call(*inputs)
    times[step].append((time.perf_counter() - started) / args.pages)
    return result


def decode(path):
    """Decode as a bare OpenCV user would."""
    raw = np.frombuffer(Path(path).read_bytes(), np.uint8)
    return cv2.imdecode(raw, cv2.IMREAD_GRAYSCALE)


def register_all(pages):
    """Register every page."""
    return [register_page(page, form) for page in pages]


for round_ in range(args.rounds + 1):
    timed("decode", lambda: [decode(path) for path in paths])
    pages = timed("read", lambda: [read_page(path) for path in paths])
    timed("register", register_all, pages)
    cells = timed("crop", cropper.transform, paths)
    flat = timed("normalize", between.transform, cells)
    read = timed("network", aggregator.predict_tallies, flat)
    if round_ == 0:  # warm-up
        times = {step: [] for step in steps}

median = {step: 1000 * np.median(values) for step, values in times.items()}
decode_ms = np.array(times["decode"])
rest = np.array(times["crop"]) + np.array(times["normalize"])
network = np.array(times["network"])
print("milliseconds a page (medians): ", {k: round(v, 2) for k, v in median.items()})
print(
    "crop holds read, register and sampling: sampling =",
    round(median["crop"] - median["read"] - median["register"], 2),
)
print(f"counts exact: {(read.counts == truth).mean():.3f} of {truth.size}")
print(f"pages per second, one thread: {1 / np.median(rest + network):.1f}")
for name, ratio in [
    ("(all but the network) / decode", rest / decode_ms),
    ("network / decode", network / decode_ms),
]:
    low, mid, high = np.quantile(ratio, [0, 0.5, 1])
    print(f"{name}: median {mid:.2f} (min {low:.2f}, max {high:.2f})")
