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

The same pages are then read from PNG, from TIFF in black and white (group 4 fax, cut at
Otsu's level; clean, as grain is no matter for fax) and from a PDF of the JPEGs, each
against a bare decoder of its kind: OpenCV, and PDFium drawing the page at the scan's
resolution. ``--profile`` shows where the time of JPEGs goes, by function and layer.
"""

import cProfile
import os
import pstats
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
import torch
from common import arguments, print_versions
from PIL import Image

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


def decode_file(path: str) -> np.ndarray:
    """Decode a picture as a bare OpenCV user would."""
    return decode(np.fromfile(path, np.uint8))


def draw_pdf(name: str) -> np.ndarray:
    """Draw a page of a PDF as a bare PDFium user would, at 200 dots an inch."""
    import pypdfium2

    path, page = name.split("#page=")
    with pypdfium2.PdfDocument(path) as pdf:
        bitmap = pdf[int(page) - 1].render(scale=200 / 72, grayscale=True)
        return bitmap.to_numpy()


def written(pages: list[np.ndarray], jpegs: list[str], folder: Path, kind: str):
    """Write pages as files of another kind; return their names and a bare decoder."""
    names = [str(folder / f"{i:03d}.{kind}") for i in range(len(pages))]
    if kind == "png":
        for name, jpeg in zip(names, jpegs):
            cv2.imwrite(name, decode_file(jpeg))
    elif kind == "tiff":
        for name, page in zip(names, pages):
            black = cv2.threshold(page, 0, 255, cv2.THRESH_OTSU)[1]
            bits = Image.fromarray(black).convert("1", dither=Image.Dither.NONE)
            bits.save(name, compression="group4")
    else:
        first, *others = [Image.open(jpeg) for jpeg in jpegs]
        path = str(folder / "all.pdf")
        first.save(path, save_all=True, append_images=others, resolution=200)
        return [f"{path}#page={i + 1}" for i in range(len(pages))], draw_pdf
    return names, decode_file


class Timed:
    """Time the steps of reading some pages, alternating with a bare decoder."""

    def __init__(self, reader, names: list[str], bare: Callable) -> None:
        self.reader = reader
        self.names = names
        self.bare = bare
        self.times: dict[str, list[float]] = {}

    def step(self, name: str, call: Callable, *inputs):
        """Call and keep the milliseconds a page."""
        started = time.perf_counter()
        result = call(*inputs)
        spent = 1000 * (time.perf_counter() - started) / len(self.names)
        self.times.setdefault(name, []).append(spent)
        return result

    def round(self):
        """Decode and read all pages once."""
        cropper, form = self.reader[0], self.reader[0].form_
        self.step("decode", lambda: [self.bare(name) for name in self.names])
        opened = self.step(
            "read", lambda: [cropper._open(name, name)[0] for name in self.names]
        )
        self.step("register", lambda: [register_page(page, form) for page in opened])
        self.sizes = {page.shape for page in opened}
        cells = self.step("crop", cropper.transform, self.names)
        flat = self.step("normalize", self.reader[1:-1].transform, cells)
        return self.step("network", self.reader[-1].predict_tallies, flat)

    def run(self, rounds: int):
        """Warm up, then time so many rounds; return what was read."""
        read = self.round()
        self.times.clear()
        for _ in range(rounds):
            self.round()
        return read

    def tell(self) -> None:
        """Print medians and ratios."""
        times = {step: np.array(spent) for step, spent in self.times.items()}
        median = {step: float(np.median(spent)) for step, spent in times.items()}
        shown = {step: round(value, 2) for step, value in median.items()}
        print("milliseconds a page (medians): ", shown)
        sampling = median["crop"] - median["read"] - median["register"]
        print(f"crop holds read, register and sampling: sampling = {sampling:.2f}")
        print(f"pages are decoded to {self.sizes} for cells of", end=" ")
        print(self.reader[0].cell_shape_)
        rest = times["crop"] + times["normalize"]
        whole = np.median(rest + times["network"])
        print(f"pages per second, one thread: {1000 / whole:.1f}")
        for name, ratio in [
            ("(all but the network) / decode", rest / times["decode"]),
            ("network / decode", times["network"] / times["decode"]),
        ]:
            low, mid, high = np.quantile(ratio, [0, 0.5, 1])
            print(f"{name}: median {mid:.2f} (min {low:.2f}, max {high:.2f})")


def show_profile(reader, names: list[str], rounds: int) -> None:
    """Print the functions and layers that take most time."""
    profile = cProfile.Profile()
    for _ in range(rounds):
        cells = profile.runcall(reader[:-1].transform, names)
    print("\nall but the network, own time by function (profiled, so slower):")
    pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(16)
    with torch.profiler.profile() as layers:
        for _ in range(rounds):
            reader[-1].predict_tallies(cells)
    print("the network, own time by operation:")
    found = layers.key_averages()
    print(found.table(sort_by="self_cpu_time_total", row_limit=8))


def main() -> None:
    """Time all kinds of files."""
    args = arguments(
        __doc__,
        pages={"type": int, "default": 12},
        rounds={"type": int, "default": 41},
        model={"default": "default"},
        grain={"type": float, "default": 0.197, "help": "bytes a pixel; 0 for clean"},
        kinds={"nargs": "*", "default": ["png", "tiff", "pdf"], "help": "after JPEG"},
        profile={"action": "store_true"},
    )
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print_versions(args.seed)
    try:
        print("grey JPEG is read by simplejpeg", version("simplejpeg"))
    except PackageNotFoundError:
        print("grey JPEG is read by OpenCV: the extra `fast` is not installed")
    form = big_form()
    made = make_tally_pages(args.pages, form=form, random_state=args.seed)
    reader = load_reader(form, model=args.model)
    scans = sorted((args.data / "indonesia-2019-c1" / "pages").iterdir())
    scans = [encode(cv2.imread(str(scan), cv2.IMREAD_GRAYSCALE)) for scan in scans]
    print_weight("official scans", scans)
    with tempfile.TemporaryDirectory() as holder:
        folder = Path(holder)
        jpegs = [str(folder / f"{i:03d}.jpg") for i in range(args.pages)]
        for i, (page, name) in enumerate(zip(made.pages, jpegs)):
            encode_grainy(page, args.grain, args.seed + i).tofile(name)
        print_weight("these pages", [np.fromfile(name, np.uint8) for name in jpegs])
        print(f"{args.pages} pages of {made.pages[0].shape}, {args.rounds} rounds")
        for kind in ["jpeg", *args.kinds]:
            names, bare = jpegs, decode_file
            if kind != "jpeg":
                names, bare = written(made.pages, jpegs, folder, kind)
            print(f"\n{kind}, decoded bare by {bare.__name__}:")
            timed = Timed(reader, names, bare)
            read = timed.run(args.rounds)
            right = (read.counts == made.counts).mean()
            print(f"counts exact: {right:.3f} of {made.counts.size}")
            timed.tell()
        if args.profile:
            show_profile(reader, jpegs, 5)


if __name__ == "__main__":
    main()
