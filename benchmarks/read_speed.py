"""Time reading against decoding, on 1700 x 2200 grey JPEGs of 15 fields x 3 boxes.

One thread on both sides, warm cache, alternating decode and read in one run; medians
and ratios, of many rounds, for those of few wander on a shared machine. "Without the
network" is decoding, registration, cropping and normalising; the network is the bundled
model's.

Drawn pages are cleaner than any scan and decode in half the time of one, which would
make everything else look slow. So grain is added, as if from paper and scanner, until
a page takes 0.197 bytes a pixel: matched against the ten official scans of
indonesia-2019-c1, which encoded alike (grey, quality 85) take 0.196 to 0.226 bytes a
pixel and decode in 2.0 to 2.3 ms a megapixel. Both figures are printed for those
scans too, in the same run. ``--grain 0`` leaves the pages clean.
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
from sktally.pages import register_page


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


def encode(page: np.ndarray) -> np.ndarray:
    """Return a grey page as JPEG."""
    return cv2.imencode(".jpg", page, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]


def encode_grainy(page: np.ndarray, bytes_per_pixel: float, seed: int) -> np.ndarray:
    """Return a page as JPEG, with as much grain as makes it so large, never larger."""
    grain = np.random.default_rng(seed).normal(size=page.shape).astype(np.float32)
    # Finer grain decodes slower than scans of as many bytes.
    grain = cv2.GaussianBlur(grain, (0, 0), 1.5)
    low, high, best = 0.0, 24 / grain.std(), encode(page)
    for _ in range(7):
        level = (low + high) / 2
        raw = encode(np.clip(page + level * grain, 0, 255).astype(np.uint8))
        if raw.size > bytes_per_pixel * page.size:
            high = level
        else:
            low, best = level, raw
    return best


def print_weight(name: str, files: list[np.ndarray]) -> None:
    """Print bytes a pixel and milliseconds a megapixel of JPEGs, least to most."""
    pixels = np.array([decode(raw).size for raw in files])
    spent = np.empty((9, len(files)))
    for i, j in np.ndindex(spent.shape):
        started = time.perf_counter()
        decode(files[j])
        spent[i, j] = time.perf_counter() - started
    weight = np.array([raw.size for raw in files]) / pixels
    speed = 1e9 * np.median(spent, axis=0) / pixels
    print(
        f"{name}: {weight.min():.3f}-{weight.max():.3f} bytes a pixel, decoded in "
        f"{speed.min():.2f}-{speed.max():.2f} (median {np.median(speed):.2f}) ms a "
        "megapixel"
    )


def decode(raw: np.ndarray) -> np.ndarray:
    """Decode as a bare OpenCV user would."""
    return cv2.imdecode(raw, cv2.IMREAD_GRAYSCALE)


args = arguments(
    __doc__,
    pages={"type": int, "default": 12},
    rounds={"type": int, "default": 41},
    model={"default": "default"},
    grain={"type": float, "default": 0.197, "help": "bytes a pixel; 0 for clean pages"},
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
    encode_grainy(page, args.grain, args.seed + i).tofile(paths[-1])
scans = sorted((args.data / "indonesia-2019-c1" / "pages").iterdir())
scans = [encode(cv2.imread(str(scan), cv2.IMREAD_GRAYSCALE)) for scan in scans]
print_weight("official scans", scans)
print_weight("these pages", [np.fromfile(path, np.uint8) for path in paths])
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


def register_all(pages):
    """Register every page."""
    return [register_page(page, form) for page in pages]


for round_ in range(args.rounds + 1):
    timed("decode", lambda: [decode(np.fromfile(path, np.uint8)) for path in paths])
    pages = timed("read", lambda: [cropper._open(path, path)[0] for path in paths])
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
shown = {step: round(float(value), 2) for step, value in median.items()}
print("milliseconds a page (medians): ", shown)
print(
    "crop holds read, register and sampling: sampling =",
    round(median["crop"] - median["read"] - median["register"], 2),
)
print(f"pages are decoded to {pages[0].shape} for cells of {cropper.cell_shape_}")
print(f"counts exact: {(read.counts == truth).mean():.3f} of {truth.size}")
print(f"pages per second, one thread: {1 / np.median(rest + network):.1f}")
for name, ratio in [
    ("(all but the network) / decode", rest / decode_ms),
    ("network / decode", network / decode_ms),
]:
    low, mid, high = np.quantile(ratio, [0, 0.5, 1])
    print(f"{name}: median {mid:.2f} (min {low:.2f}, max {high:.2f})")
