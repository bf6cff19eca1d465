"""Bytes of an image file become pixels: JPEG, PNG, TIFF, BMP and WebP.

Comes in: an image file whose kind was told from its first bytes. Goes out: one page
as uint8, the way up the file says, grey or RGB, each pixel as it was scanned.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from sktally.exceptions import PageReadError

try:
    import simplejpeg
except ImportError:  # it comes with the extra `fast`
    simplejpeg = None

__all__ = [
    "HEAD_BYTES",
    "check_size",
    "orient",
    "read_jpeg",
    "read_raster",
    "sniff",
    "tiff_pages",
]

# PDF readers accept the mark of a PDF anywhere in the first 1024 bytes.
HEAD_BYTES = 1024
# Registration needs strokes of printed marks: a page below this shows nothing.
MIN_SIDE = 32

_MAGIC = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"BM", "bmp"),
)
# The classes are called directly: `Image.open` would warn of large pages by a
# limit of its own, which is global.
_PLUGINS: dict[str, Callable[..., Image.Image]] = {
    "png": PngImagePlugin.PngImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}
_ORIENTATION, _PHOTOMETRIC, _SUBFILE = 0x0112, 262, 254
_WHITE_IS_ZERO = 0
_REDUCED_OR_MASK = 0b101
_GREY = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
# What EXIF orientation 2 to 8 asks for, TIFF 6.0 tag 274.
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: cv2.flip(a, 1),
    3: lambda a: cv2.rotate(a, cv2.ROTATE_180),
    4: lambda a: cv2.flip(a, 0),
    5: lambda a: cv2.transpose(a),
    6: lambda a: cv2.rotate(a, cv2.ROTATE_90_CLOCKWISE),
    7: lambda a: cv2.flip(cv2.transpose(a), -1),
    8: lambda a: cv2.rotate(a, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def sniff(head: bytes) -> str | None:
    """Tell the kind of a file by its first bytes; None if it is not known."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    return "pdf" if b"%PDF-" in head else None


def check_size(size: tuple[float, float], name: str, max_pixels: int) -> None:
    """Raise unless a page of this size is worth and safe to decode."""
    width, height = size
    got = f"{width:.0f} x {height:.0f} px"
    if width * height > max_pixels:
        raise PageReadError(
            f"{name}: expected at most {max_pixels / 1e6:g} megapixels, got "
            f"{width * height / 1e6:.0f} ({got}); scan at a lower resolution, or pass "
            "a larger max_pixels if the page really is that large"
        )
    if min(width, height) < MIN_SIDE:
        raise PageReadError(
            f"{name}: expected a page of at least {MIN_SIDE} x {MIN_SIDE} px, got "
            f"{got}; is it an icon or a thumbnail? Pass the scan itself"
        )


def orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn pixels the way up that EXIF `orientation` 1 to 8 asks for."""
    turn = _TURNS.get(orientation)
    return pixels if turn is None else turn(pixels)


def read_jpeg(
    data: bytes,
    name: str,
    *,
    color: bool,
    max_pixels: int,
    long_side: float = math.inf,
) -> tuple[np.ndarray, int]:
    """Decode a JPEG file, all of it or nothing.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        What to call it in errors.
    color : bool
        Whether to keep colour.
    max_pixels : int
        Refuse more.
    long_side : float
        Pixels that the longer side of a grey page should keep: it comes out smaller
        by 2, 4 or 8 where that leaves as many and divides both sides.

    Returns
    -------
    pixels : ndarray
        uint8.
    factor : int
        By what they are fewer along each side.

    Notes
    -----
    OpenCV decodes, after Pillow has read the header (0.02 ms), or, where it is
    installed and the file is grey, simplejpeg: both give what libjpeg-turbo does, the
    latter sooner. Decoders fill what a torn file lacks with grey or noise, so it is
    told by its missing end marker. What OpenCV refuses goes to Pillow, and CMYK too:
    only Pillow minds which way round its inks are stored. A smaller page comes of fewer
    terms of the cosine transform of each block, which is quicker than all, and than to
    shrink it after.
    """
    stream = io.BytesIO(data)
    with _damage(name, "jpeg"):
        image = JpegImagePlugin.JpegImageFile(stream)
        check_size(image.size, name, max_pixels)
        # Pillow stops at the scan; an end marker before it is the thumbnail's.
        if data.rfind(b"\xff\xd9", stream.tell()) < 0:
            raise OSError("its end is missing")
        if image.mode in ("L", "RGB"):
            factor = 1 if color else _factor(image.size, long_side)
            size = image.width // factor, image.height // factor
            pixels = None
            if image.mode == "L" and not color:
                pixels = _decode_grey(data, size)
            if pixels is None:
                pixels = _decode_any(data, _GREY[factor], color=color)
            if pixels is not None and pixels.shape[1::-1] == size:
                return orient(pixels, _exif_orientation(image)), factor
        return _to_array(image, name, color=color), 1


def _decode_grey(data: bytes, size: tuple[int, int]) -> np.ndarray | None:
    """Decode a grey JPEG file to a size that it can have, if simplejpeg does."""
    if simplejpeg is None:
        return None
    least = {"min_width": size[0], "min_height": size[1], "min_factor": 1}
    try:
        # not strict, as OpenCV is not: some cameras write harmless bytes of no use
        pixels = simplejpeg.decode_jpeg(data, "GRAY", strict=False, **least)[:, :, 0]
    except ValueError:
        return None
    return pixels if pixels.shape[::-1] == size else None


def _decode_any(data: bytes, grey: int, *, color: bool) -> np.ndarray | None:
    """Decode a JPEG file to RGB or, with OpenCV's flag of a size, to grey."""
    flags = cv2.IMREAD_COLOR if color else grey
    # The turn is made by the caller: OpenCV's own has changed between versions.
    flags |= cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is not None and color:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return pixels


def _factor(size: tuple[int, int], long_side: float) -> int:
    """Return the largest factor that `read_jpeg` may reduce a grey picture by."""
    fitting = [f for f in _GREY if not (size[0] % f or size[1] % f)]
    return max((f for f in fitting if max(size) >= f * long_side), default=1)


def read_raster(
    path: Path,
    kind: str,
    name: str,
    *,
    page: int | None,
    color: bool,
    max_pixels: int,
) -> np.ndarray:
    """Decode a PNG, TIFF, BMP or WebP file with Pillow.

    `page` counts the pages of a TIFF file from 0; None takes the first.
    """
    with path.open("rb") as stream, _damage(name, kind):
        image = _PLUGINS[kind](stream)
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            image.seek(_full_frames(image)[page or 0])
            _check_strips(image, path.stat().st_size)
        check_size(image.size, name, max_pixels)
        return _to_array(image, name, color=color)


def tiff_pages(path: Path, name: str) -> int:
    """Count the pages of a TIFF file."""
    with path.open("rb") as stream, _damage(name, "tiff"):
        return len(_full_frames(TiffImagePlugin.TiffImageFile(stream)))


@contextmanager
def _damage(name: str, kind: str) -> Iterator[None]:
    """Report whatever a decoder stumbles over as damage of the file."""
    try:
        yield
    except PageReadError:
        raise
    except MemoryError as error:
        raise PageReadError(
            f"{name}: not enough memory to decode this {kind.upper()} file; scan at a "
            "lower resolution or read fewer pages at a time"
        ) from error
    # Damaged files raise OSError, SyntaxError, struct.error, KeyError, EOFError and
    # more, by the place of the damage.
    except Exception as error:
        raise PageReadError(
            f"{name}: expected a whole {kind.upper()} file, got a torn or damaged one "
            f"({str(error) or type(error).__name__}); copy or scan it again"
        ) from error


def _full_frames(image: TiffImagePlugin.TiffImageFile) -> list[int]:
    """Return the frames of a TIFF file that are pages, no previews and no masks."""
    frames = list(range(image.n_frames))
    pages = []
    for frame in frames:
        image.seek(frame)
        subfile = image.tag_v2.get(_SUBFILE, 0)
        if not (isinstance(subfile, int) and subfile & _REDUCED_OR_MASK):
            pages.append(frame)
    return pages or frames


def _check_strips(image: TiffImagePlugin.TiffImageFile, n_bytes: int) -> None:
    """Raise if pixels of the current TIFF frame lie beyond the end of the file.

    Fax decoders paint what is missing white rather than fail.
    """
    for offsets, counts in ((273, 279), (324, 325)):
        starts = np.atleast_1d(np.asarray(image.tag_v2.get(offsets, ()), np.int64))
        lengths = np.atleast_1d(np.asarray(image.tag_v2.get(counts, ()), np.int64))
        if len(starts) == len(lengths) and (starts + lengths > n_bytes).any():
            raise OSError("pixels lie beyond the end of the file")


def _exif_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (as it lies) where there is none to be read."""
    if isinstance(image, JpegImagePlugin.JpegImageFile) and not (
        {"exif", "xmp"} & image.info.keys()
    ):
        return 1  # to look takes longer than to open the file
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    # The pixels are whole: damaged camera data is no reason to refuse the page.
    except Exception:
        return 1


def _load(image: Image.Image) -> None:
    """Decode an opened image, without Pillow's own warning of large ones."""
    if image.width * image.height <= (Image.MAX_IMAGE_PIXELS or math.inf):
        image.load()
        return
    # `check_size` has judged the size already. Warning filters are global, so they
    # are touched only for the few pages that need it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image.load()


def _to_array(image: Image.Image, name: str, *, color: bool) -> np.ndarray:
    """Decode an opened image to uint8, the way up that it says."""
    tags = getattr(image, "tag_v2", {})
    white_is_zero = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    _load(image)
    # A TIFF is turned while it is loaded and says so by having lost the tag.
    orientation = _exif_orientation(image)
    if image.mode == "F":
        raise PageReadError(
            f"{name}: expected whole-number pixels of 1 to 16 bits, got floating point "
            "ones; save the page as an 8-bit image"
        )
    if image.mode.startswith("I"):
        pixels = _to_8_bits(np.array(image), name)
        # Pillow inverts such files at 1 to 8 bits a pixel, but not at 16.
        pixels = 255 - pixels if white_is_zero else pixels
        return orient(np.dstack([pixels] * 3) if color else pixels, orientation)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, "white")
        image.alpha_composite(layer)
    return orient(np.array(image.convert("RGB" if color else "L")), orientation)


def _to_8_bits(pixels: np.ndarray, name: str) -> np.ndarray:
    """Scale deep grey pixels to 8 bits by the depth that they use.

    Scanners store 10 and 12 bits in words of 16 without scaling them up: taking the
    high byte would leave such a page black. The depth is the smallest even number
    of bits, 8 or more, that holds the largest pixel.
    """
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0:
        raise PageReadError(
            f"{name}: expected pixels of 0 or more, got {low}; save the page as an "
            "8-bit image"
        )
    depth = max(8, high.bit_length() + high.bit_length() % 2)
    return (pixels >> (depth - 8)).astype(np.uint8)
