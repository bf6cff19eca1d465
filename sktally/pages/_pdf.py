"""A page of a PDF file becomes pixels.

Comes in: a PDF file and the index of a page. Goes out: the scanned picture that the
page consists of, pixel by pixel as stored, or else the page rendered at a stated
resolution. PDFium does the work; it comes with the extra ``sktally[pdf]``.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sktally._validate import check_page
from sktally.exceptions import PageReadError
from sktally.pages._decode import check_size

__all__ = ["pdf_pages", "read_pdf"]

# PDFium must not be entered by two threads at once.
_LOCK = threading.Lock()
# Acrobat accepts as much behind the end (PDF 1.7 reference, implementation note 18).
_TAIL_BYTES = 1024
# The picture is the page if it covers this share of it. A 9:16 phone photo fitted to
# A4 covers 80 %; a letterhead or a logo stays far below.
_MIN_COVER = 0.75
# Pictures placed askew, squeezed or reaching beyond the visible page by more than
# this share of their size are rendered: their pixels alone would not show the page.
_TOLERANCE = 0.02
_MAX_SQUEEZE = 0.1
_MAX_NESTING = 8
_INVISIBLE_TEXT = 3
# Longer side, in pixels, of the thumbnail that a picture is compared with, and the
# mean difference in grey levels that two ways of shrinking it cannot make: masked,
# clipped and keyed pictures came out at 24 and more, faithful ones at 3 and less.
_THUMBNAIL = 256
_MAX_DIFFERENCE = 8
_CLOCKWISE = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


def pdf_pages(path: Path, name: str) -> int:
    """Count the pages of a PDF file."""
    with _document(path, name) as pdf:
        return len(pdf)


def read_pdf(
    path: Path, name: str, *, page: int, color: bool, dpi: float, max_pixels: int
) -> np.ndarray:
    """Return one page, counted from 0, of a PDF file as uint8 pixels."""
    with _document(path, name) as pdf:
        if pdf.get_formtype():
            pdf.init_forms()
        sheet = pdf.get_page(page)
        try:
            pixels = _take_scan(sheet, name, max_pixels)
            if pixels is None:
                scale = dpi / 72
                width, height = sheet.get_size()
                check_size((width * scale, height * scale), name, max_pixels)
                pixels = _to_rgb(sheet.render(scale=scale))
        finally:
            sheet.close()
    return check_page(pixels, name, color=color)


@contextmanager
def _document(path: Path, name: str) -> Iterator[Any]:
    """Open a PDF file, alone, and report what is wrong with it."""
    try:
        import pypdfium2
    except ImportError as error:
        raise PageReadError(
            f"{name}: expected the package pypdfium2, which reads PDF files, but it is "
            "not installed; pip install 'sktally[pdf]'"
        ) from error
    with _LOCK:
        try:
            _check_end(path)
            # Absolute, as pypdfium2 would expand a name that begins with "~".
            pdf = pypdfium2.PdfDocument(path.absolute())
            try:
                yield pdf
            finally:
                pdf.close()
        except MemoryError as error:
            raise PageReadError(
                f"{name}: not enough memory for this page; lower dpi or read fewer "
                "pages at a time"
            ) from error
        except PageReadError:
            raise
        # What damaged files lead to, in PDFium, in ctypes and with sizes of 0.
        except (pypdfium2.PdfiumError, OSError, ValueError, ArithmeticError) as error:
            raise _explain(error, path, name) from error


def _check_end(path: Path) -> None:
    """Raise if a file lacks the mark that ends every PDF file.

    PDFium repairs torn files as far as it can, and paints black or grey what is
    missing of their pictures.
    """
    with path.open("rb") as stream:
        stream.seek(max(0, stream.seek(0, 2) - _TAIL_BYTES))
        if b"%%EOF" not in stream.read():
            raise OSError("its end is missing")


def _explain(error: Exception, path: Path, name: str) -> PageReadError:
    """Turn an error of PDFium into ours."""
    reason = str(error) or type(error).__name__
    # PDFium refuses a file without pages but gives no reason, so that the reason of
    # an earlier file, or none, is reported.
    if "Success" in reason or ("password" in reason and not _is_encrypted(path)):
        reason = "no pages found"
    if "password" in reason:
        return PageReadError(
            f"{name}: expected a PDF file that opens, got one protected by a password; "
            "save it without, for example with 'qpdf --decrypt'"
        )
    return PageReadError(
        f"{name}: expected a whole PDF file, got a torn or damaged one ({reason}); "
        "copy or save it again"
    )


def _is_encrypted(path: Path) -> bool:
    """Tell whether a PDF file says that it is encrypted."""
    return b"/Encrypt" in path.read_bytes()


def _take_scan(sheet: Any, name: str, max_pixels: int) -> np.ndarray | None:
    """Return the pixels of the one picture that a page consists of, or None.

    Masks, clip paths, keyed colours and stencils change how a picture looks, and are
    many: rather than to know them all, the pixels are compared with a thumbnail of
    the page as a viewer shows it.
    """
    found = _find_picture(sheet)
    if found is None:
        return None
    picture, matrix = found
    check_size(picture.get_px_size(), name, max_pixels)
    pixels = _place(_to_rgb(picture.get_bitmap()), matrix)
    shown = _shown(sheet, matrix)
    if _differ(pixels, shown):
        # A stencil is stored as where there is ink.
        pixels = 255 - pixels
        if _differ(pixels, shown):
            return None
    turn = _CLOCKWISE.get(sheet.get_rotation())
    return pixels if turn is None else cv2.rotate(pixels, turn)


def _find_picture(sheet: Any) -> tuple[Any, np.ndarray] | None:
    """Return the only picture of a page, if it fills it, and its placement."""
    import pypdfium2.raw as pdfium

    found = None
    for item, matrix in _visible(sheet):
        if item.type == pdfium.FPDF_PAGEOBJ_IMAGE and found is None:
            found = item, matrix
        # Below the picture a rectangle of white paper is common, and hidden.
        elif item.type != pdfium.FPDF_PAGEOBJ_PATH or found is not None:
            return None
    if found is None or not _fills(found[1], sheet.get_cropbox()):
        return None
    width, height = found[0].get_px_size()
    x_side, y_side = np.hypot(*found[1][:2].T)
    along, across = x_side * height, y_side * width
    if not (0 < along < math.inf and 0 < across < math.inf):
        return None
    return found if abs(math.log(along / across)) < _MAX_SQUEEZE else None


def _visible(
    sheet: Any, form: Any = None, outer: np.ndarray | None = None, depth: int = 0
) -> Iterator[tuple[Any, np.ndarray]]:
    """Yield everything drawn on a page with its matrix, down into form XObjects.

    A matrix has three rows: what x, y and the origin of the object become in units
    of the page. The unit square is what an image fills.
    """
    import pypdfium2.raw as pdfium

    for item in sheet.get_objects(max_depth=1, form=form):
        if item.type == pdfium.FPDF_PAGEOBJ_TEXT and (
            pdfium.FPDFTextObj_GetTextRenderMode(item) == _INVISIBLE_TEXT
        ):
            # What a text recognition program lays under its scan.
            continue
        a, b, c, d, e, f = item.get_matrix().get()
        matrix = np.array([[a, b, 0], [c, d, 0], [e, f, 1]])
        matrix = matrix if outer is None else matrix @ outer
        if item.type == pdfium.FPDF_PAGEOBJ_FORM and depth < _MAX_NESTING:
            yield from _visible(sheet, item, matrix, depth + 1)
        else:
            yield item, matrix[:, :2]


def _corners(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower left and the upper right corner of a picture on its page."""
    corners = matrix[2] + np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) @ matrix[:2]
    return corners.min(axis=0), corners.max(axis=0)


def _fills(matrix: np.ndarray, box: tuple[float, float, float, float]) -> bool:
    """Tell whether a picture lies squarely on the visible page and covers it."""
    (a, b), (c, d), _ = np.abs(matrix)
    if min(max(a, d), max(b, c)) > _TOLERANCE * max(a, b, c, d):
        return False
    low, high = _corners(matrix)
    size = high - low
    page_low, page_high = np.array(box[:2]), np.array(box[2:])
    beyond = np.maximum(page_low - low, high - page_high)
    if (size <= 0).any() or (beyond > _TOLERANCE * size).any():
        return False
    return bool(size.prod() >= _MIN_COVER * (page_high - page_low).prod())


def _shown(sheet: Any, matrix: np.ndarray) -> np.ndarray:
    """Render the part of a page that a picture fills, small, not turned by the page."""
    left, bottom, right, top = sheet.get_cropbox()
    scale = _THUMBNAIL / max(right - left, top - bottom)
    rotation = -sheet.get_rotation() % 360
    small = _to_rgb(sheet.render(scale=scale, rotation=rotation, draw_annots=False))
    low, high = _corners(matrix)
    x_low, x_high = np.clip(
        np.rint((np.array([low[0], high[0]]) - left) * scale), 0, 1e9
    )
    y_low, y_high = np.clip(
        np.rint((top - np.array([high[1], low[1]])) * scale), 0, 1e9
    )
    return small[int(y_low) : int(y_high), int(x_low) : int(x_high)]


def _differ(pixels: np.ndarray, shown: np.ndarray) -> bool:
    """Tell whether a picture is not what a viewer shows in its place."""
    size = (_THUMBNAIL // 4, _THUMBNAIL // 4)
    small = [
        cv2.resize(check_page(each), size, interpolation=cv2.INTER_AREA)
        for each in (pixels, shown)
    ]
    return float(cv2.absdiff(*small).mean()) > _MAX_DIFFERENCE


def _to_rgb(bitmap: Any) -> np.ndarray:
    """Copy a bitmap of PDFium to an array, grey or red, green, blue."""
    pixels = bitmap.to_numpy()
    if bitmap.n_channels == 1:
        return pixels.reshape(bitmap.height, bitmap.width).copy()
    return cv2.cvtColor(np.ascontiguousarray(pixels[:, :, :3]), cv2.COLOR_BGR2RGB)


def _place(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turn and mirror the pixels of a picture as it is placed on the page.

    PDF counts y upwards, and the first row of a picture lies at its top.
    """
    (a, b), (c, d) = matrix[:2]
    if abs(a) + abs(d) >= abs(b) + abs(c):
        flip_columns, flip_rows = a < 0, d < 0
    else:
        pixels = cv2.transpose(pixels)
        flip_columns, flip_rows = c > 0, b > 0
    if flip_columns:
        pixels = cv2.flip(pixels, 1)
    return cv2.flip(pixels, 0) if flip_rows else pixels
