import hashlib
import re
import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sktally.exceptions import PageReadError
from sktally.pages import list_pages, read_page

pdfium = pytest.importorskip("pypdfium2", reason="the extra sktally[pdf] is missing")

# An A4 sheet, in points.
WIDTH, HEIGHT = 595, 842
FULL = f"q {WIDTH} 0 0 {HEIGHT} 0 0 cm /Im Do Q"
PAD = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


@pytest.fixture(scope="module")
def scan():
    """Return an upright page of noisy blocks that has no symmetry."""
    coarse = np.full((12, 8), 240, np.uint8)
    coarse[0:3, 0:3] = 10
    coarse[9:, 0:2] = 120
    coarse[0:2, 6:] = 60
    page = np.kron(coarse, np.ones((30, 30), np.uint8))
    return page + np.random.default_rng(0).integers(0, 9, page.shape, dtype=np.uint8)


# Writing PDF files by hand: no library at hand places pictures as scanners do


def write_pdf(path, objects, trailer=b""):
    out, places = bytearray(b"%PDF-1.6\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for place in places:
        out += b"%010d 00000 n \n" % place
    out += b"trailer\n<< /Size %d /Root 1 0 R %b >>\n" % (len(objects) + 1, trailer)
    out += b"startxref\n%d\n%%%%EOF\n" % start
    path.write_bytes(out)
    return path


def stream(entries, data):
    head = f"<< {entries} /Length {len(data)} >>\nstream\n"
    return head.encode() + data + b"\nendstream"


def picture(pixels, entries="/ColorSpace /DeviceGray", bits=8, data=None):
    height, width = pixels.shape[:2]
    data = pixels.tobytes() if data is None else data
    return stream(
        f"/Type /XObject /Subtype /Image /Width {width} /Height {height} "
        f"/BitsPerComponent {bits} {entries} /Filter /FlateDecode",
        zlib.compress(data),
    )


def sheet(
    folder,
    image,
    content=FULL,
    *,
    page="",
    box=(0, 0, WIDTH, HEIGHT),
    names="/Im 4 0 R",
    more=(),
    trailer=b"",
):
    """Write a file of one page that draws `image`, object 4, by `content`."""
    resources = (
        f"<< /XObject << {names} >> /ExtGState << /Half << /ca 0.5 >> >> /Font << /F "
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    )
    box = " ".join(map(str, box))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] {page} /Contents 5 0 R "
        f"/Resources {resources} >>".encode(),
        image,
        stream("", content.encode()),
        *more,
    ]
    return write_pdf(folder / "scan.pdf", objects, trailer)


def rendered_at_200_dpi(page):
    return page.shape == (2339, 1653)


# The embedded scan


PLACED = {
    "as it lies": ((WIDTH, 0, 0, HEIGHT, 0, 0), lambda a: a),
    "mirrored": ((-WIDTH, 0, 0, HEIGHT, WIDTH, 0), lambda a: a[:, ::-1]),
    "bottom up": ((WIDTH, 0, 0, -HEIGHT, 0, HEIGHT), lambda a: a[::-1]),
    "half turn": ((-WIDTH, 0, 0, -HEIGHT, WIDTH, HEIGHT), lambda a: a[::-1, ::-1]),
    "left turn": ((0, HEIGHT, -WIDTH, 0, WIDTH, 0), lambda a: np.rot90(a)),
    "right turn": ((0, -HEIGHT, WIDTH, 0, 0, HEIGHT), lambda a: np.rot90(a, -1)),
    "transposed": ((0, -HEIGHT, -WIDTH, 0, WIDTH, HEIGHT), lambda a: a.T),
    "transversed": ((0, HEIGHT, WIDTH, 0, 0, 0), lambda a: a[::-1, ::-1].T),
}


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("placed", PLACED)
def test_the_scan_comes_out_untouched_the_way_up_it_is_shown(
    tmp_path, scan, placed, rotation
):
    matrix, apply = PLACED[placed]
    stored = scan if matrix[0] else np.ascontiguousarray(scan.T)
    content = "q {} {} {} {} {} {} cm /Im Do Q".format(*matrix)
    path = sheet(tmp_path, picture(stored), content, page=f"/Rotate {rotation}")
    page = read_page(path)
    expected = np.rot90(apply(stored), -rotation // 90)
    np.testing.assert_array_equal(page, expected)
    assert (page.dtype, page.flags.c_contiguous) == (np.uint8, True)
    # And this is what a viewer shows.
    with pdfium.PdfDocument(path) as pdf:
        shown = pdf[0].render(scale=0.5).to_numpy()[..., 0].astype(int)
    small = cv2.resize(page, shown.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small - shown).mean() < 3


ENCODED = {
    "inverted": ("/ColorSpace /DeviceGray /Decode [1 0]", lambda a: 255 - a),
    "calibrated": ("/ColorSpace [/CalGray << /WhitePoint [1 1 1] >>]", lambda a: a),
    "palette": (
        f"/ColorSpace [/Indexed /DeviceGray 255 <{bytes(range(255, -1, -1)).hex()}>]",
        lambda a: 255 - a,
    ),
    "rgb": ("/ColorSpace /DeviceRGB", lambda a: np.dstack([a] * 3)),
    "cmyk": (
        "/ColorSpace /DeviceCMYK",
        lambda a: np.dstack([np.zeros_like(a)] * 3 + [255 - a]),
    ),
}


@pytest.mark.parametrize("encoded", ENCODED)
def test_colour_spaces_of_the_scan(tmp_path, scan, encoded):
    entries, store = ENCODED[encoded]
    page = read_page(sheet(tmp_path, picture(store(scan), entries)))
    assert page.shape == scan.shape
    # PDFium turns black ink to grey by the curve of a printing press.
    tolerance = 40 if encoded == "cmyk" else 1
    assert np.abs(page.astype(int) - scan).max() <= tolerance


@pytest.mark.parametrize(
    ("entries", "inverted"),
    [
        ("/ColorSpace /DeviceGray", False),
        ("/ColorSpace /DeviceGray /Decode [1 0]", True),
        ("/ColorSpace [/Indexed /DeviceRGB 1 <000000FFFFFF>]", False),
        ("/ImageMask true", False),
        ("/ImageMask true /Decode [1 0]", True),
    ],
)
def test_one_bit_scans_and_stencils(tmp_path, scan, entries, inverted):
    white = scan > 100
    data = np.packbits(white != inverted, axis=1).tobytes()
    page = read_page(sheet(tmp_path, picture(scan, entries, bits=1, data=data)))
    np.testing.assert_array_equal(page, np.where(white, 255, 0))


def test_colour_is_kept_on_demand(tmp_path, scan):
    red = np.dstack([np.full_like(scan, 250), scan, scan])
    path = sheet(tmp_path, picture(red, "/ColorSpace /DeviceRGB"))
    np.testing.assert_array_equal(read_page(path, color=True), red)
    assert read_page(path).shape == scan.shape


FORM = stream(
    "/Type /XObject /Subtype /Form /BBox [0 0 1 1] /Matrix [2 0 0 2 0 0] "
    "/Resources << /XObject << /Im 4 0 R >> >>",
    b"q 0.5 0 0 0.5 0 0 cm /Im Do Q",
)


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (f"{FULL} BT /F 12 Tf 3 Tr 100 100 Td (recognised) Tj ET", {}),
        (f"1 1 1 rg 0 0 {WIDTH} {HEIGHT} re f {FULL}", {}),
        (f"q {WIDTH} 0 0 {HEIGHT} 50 70 cm /Im Do Q", {"box": (50, 70, 645, 912)}),
        (f"q {WIDTH} 0 0 {HEIGHT} 0 0 cm /Fm Do Q", {"names": "/Fm 6 0 R"}),
        ("q 535 0 0 757 30 42 cm /Im Do Q", {}),
    ],
    ids=["invisible text", "paper below", "origin", "form", "margins"],
)
def test_what_leaves_the_scan_alone(tmp_path, scan, content, options):
    path = sheet(tmp_path, picture(scan), content, more=[FORM], **options)
    np.testing.assert_array_equal(read_page(path), scan)


SMALL_MASK = picture(np.eye(9, dtype=np.uint8) * 255)


@pytest.mark.parametrize(
    ("content", "entries"),
    [
        (f"{FULL} BT /F 12 Tf 100 100 Td (stamped) Tj ET", ""),
        (f"{FULL} {FULL}", ""),
        (f"{FULL} 0 0 0 rg 0 0 300 300 re f", ""),
        (f"100 100 200 200 re W n {FULL}", ""),
        (f"/Half gs {FULL}", ""),
        ("q 200 0 0 283 200 300 cm /Im Do Q", ""),
        (f"q {WIDTH} 0 0 {HEIGHT} 60 0 cm /Im Do Q", ""),
        ("q 560 60 -60 800 60 0 cm /Im Do Q", ""),
        (f"q {WIDTH} 0 0 660 0 90 cm /Im Do Q", ""),
        (FULL, "/SMask 6 0 R"),
        (FULL, "/Mask [0 100]"),
    ],
    ids=[
        "text", "two pictures", "path above", "clipped", "pale", "small", "cut off",
        "askew", "squeezed", "soft mask", "keyed",
    ],
)  # fmt: skip
def test_what_makes_a_page_more_than_its_scan(tmp_path, scan, content, entries):
    image = picture(scan, f"/ColorSpace /DeviceGray {entries}")
    page = read_page(sheet(tmp_path, image, content, more=[SMALL_MASK]))
    assert rendered_at_200_dpi(page)


# Rendered pages


def test_a_page_without_picture_is_rendered_at_the_stated_dpi(tmp_path):
    path = sheet(tmp_path, b"null", "0 0 0 rg 0 0 297.5 842 re f", names="")
    page = read_page(path)
    assert rendered_at_200_dpi(page)
    assert (page[:, :800] == 0).all()
    assert (page[:, 850:] == 255).all()
    assert read_page(path, dpi=100, color=True).shape == (1170, 827, 3)
    turned = sheet(tmp_path, b"null", "0 rg 0 0 9 9 re f", names="", page="/Rotate 90")
    assert read_page(turned, dpi=100).shape == (827, 1170)


# Several pages


def test_pages_are_read_by_name(tmp_path, scan):
    path = tmp_path / "three.pdf"
    pages = [Image.fromarray(np.rot90(scan, k)) for k in range(3)]
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=50)
    assert list_pages(path) == [f"{path}#page={n}" for n in (1, 2, 3)]
    shapes = [read_page(name).shape for name in list_pages(path)]
    assert shapes == [(360, 240), (240, 360), (360, 240)]
    with pytest.raises(PageReadError, match="expected a single page, got a file of 3"):
        read_page(path)
    with pytest.raises(PageReadError, match="#page=4: .* the file has 3 pages"):
        read_page(f"{path}#page=4")


def test_threads_take_turns(tmp_path, scan):
    path = sheet(tmp_path, picture(scan))
    with ThreadPoolExecutor(4) as pool:
        pages = list(pool.map(read_page, [path] * 24))
    assert all(np.array_equal(page, scan) for page in pages)


def test_kind_is_told_from_content(tmp_path, scan, monkeypatch):
    path = sheet(tmp_path, picture(scan)).rename(tmp_path / "~scan.jpg")
    np.testing.assert_array_equal(read_page(path), scan)
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(read_page("~scan.jpg"), scan)
    path.write_bytes(b"\r\n junk of a mail program\r\n" + path.read_bytes())
    np.testing.assert_array_equal(read_page(path), scan)


# Bad files


def rc4(key, data):
    box, j = list(range(256)), 0
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) % 256
        box[i], box[j] = box[j], box[i]
    i, j, out = 0, 0, bytearray()
    for byte in data:
        i = (i + 1) % 256
        j = (j + box[i]) % 256
        box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) % 256])
    return bytes(out)


def locked(folder, scan, password):
    """Write a file with the standard 40-bit handler (PDF 1.7, section 7.6.3)."""
    user, name, rights = (password + PAD)[:32], b"0123456789abcdef", -4
    owner = rc4(hashlib.md5(user).digest()[:5], user)
    key = user + owner + struct.pack("<i", rights) + name
    key = hashlib.md5(key).digest()[:5]
    trailer = (
        f"/ID [<{name.hex()}> <{name.hex()}>] /Encrypt << /Filter /Standard /V 1 /R 2 "
        f"/O <{owner.hex()}> /U <{rc4(key, PAD).hex()}> /P {rights} >>"
    )
    path = sheet(folder, picture(scan), trailer=trailer.encode())

    def encrypt(number, body):
        own = hashlib.md5(key + struct.pack("<I", number)[:3] + b"\0\0").digest()[:10]
        head, _, rest = body.partition(b"stream\n")
        data = rest.removesuffix(b"\nendstream")
        return head + b"stream\n" + rc4(own, data) + b"\nendstream"

    content = path.read_bytes()
    for number in (4, 5):
        start = content.index(b"%d 0 obj\n" % number) + 8
        stop = content.index(b"\nendobj", start)
        body = encrypt(number, content[start:stop])
        content = content[:start] + body + content[stop:]
    path.write_bytes(content)
    return path


def test_a_password_is_told(tmp_path, scan):
    path = locked(tmp_path, scan, b"secret")
    expected = r"scan.pdf: .* protected by a password; save it without, .*qpdf"
    with pytest.raises(PageReadError, match=expected):
        read_page(path)
    assert list_pages(tmp_path) == [str(path)]


def test_encryption_without_a_password_to_open_is_no_hindrance(tmp_path, scan):
    np.testing.assert_array_equal(read_page(locked(tmp_path, scan, b"")), scan)


def test_the_missing_extra_is_told(tmp_path, scan, monkeypatch):
    path = sheet(tmp_path, picture(scan))
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    expected = r"scan.pdf: expected the package pypdfium2.*pip install 'sktally\[pdf\]'"
    with pytest.raises(PageReadError, match=expected):
        read_page(path)
    assert list_pages(tmp_path) == [str(path)]


def test_torn_and_pageless_files(tmp_path, scan):
    path = sheet(tmp_path, picture(scan))
    whole = path.read_bytes()
    path.write_bytes(b"%PDF-1.7\n" + bytes(200))
    with pytest.raises(PageReadError, match="expected a whole PDF file, got a torn or"):
        read_page(path)
    # The password of a file before is no reason to ask for one here.
    with pytest.raises(PageReadError, match="password"):
        read_page(locked(tmp_path, scan, b"secret"))
    path.write_bytes(
        whole.replace(b"/Kids [3 0 R] /Count 1", b"/Kids [] /Count 0     ")
    )
    with pytest.raises(PageReadError, match="expected a whole PDF.*no pages found"):
        read_page(path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_torn_scan_is_not_filled_up(tmp_path, scan, share):
    for path in (sheet(tmp_path, picture(scan)), tmp_path / "jpeg.pdf"):
        if not path.exists():
            Image.fromarray(scan).save(path, resolution=50)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(PageReadError, match=r"torn or .*its end is missing"):
            read_page(path)


@pytest.mark.parametrize("side", ["Width", "Height"])
def test_a_picture_without_pixels_is_no_scan(tmp_path, scan, side):
    path = sheet(tmp_path, picture(scan))
    size = re.search(rb"/%b (\d+)" % side.encode(), path.read_bytes())
    nothing = size[0].translate(bytes.maketrans(b"123456789", b"0" * 9))
    path.write_bytes(path.read_bytes().replace(size[0], nothing))
    try:  # drawn by PDFium, as empty as it is, or refused
        assert read_page(path).ndim == 2
    except PageReadError as error:
        assert str(path) in str(error)


def test_huge_and_tiny_pages(tmp_path, scan):
    dot = sheet(tmp_path, picture(np.zeros((1, 1), np.uint8)), box=(0, 0, 9, 9))
    with pytest.raises(PageReadError, match="at least 32 x 32 px, got 25 x 25 px"):
        read_page(dot)
    wall = sheet(tmp_path, b"null", "", box=(0, 0, 14_400, 14_400))
    with pytest.raises(PageReadError, match="at most 150 megapixels, got 1600"):
        read_page(wall)
    bomb = picture(np.zeros((20_000, 20_000), np.uint8)[:1], data=b"")
    bomb = bomb.replace(b"/Height 1 ", b"/Height 20000 ")
    path = sheet(tmp_path, bomb, "q 842 0 0 842 0 0 cm /Im Do Q", box=(0, 0, 842, 842))
    with pytest.raises(PageReadError, match=r"got 400 \(20000 x 20000 px\)"):
        read_page(path)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_damaged_files_read_or_raise_our_error(tmp_path, scan, data):
    content = bytearray(sheet(tmp_path, picture(scan[:64, :45])).read_bytes())
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.integers(5, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(content)))
    path = tmp_path / "damaged"
    path.write_bytes(content[:cut] if data.draw(st.booleans()) else content)
    try:
        page = read_page(path, dpi=50, max_pixels=4_000_000)
    except PageReadError as error:
        assert str(error).startswith(str(path))
    else:
        assert (page.dtype, page.ndim) == (np.uint8, 2)


@pytest.mark.real
def test_real_pages_come_out_of_a_pdf_as_they_went_in(real_data, tmp_path):
    for name in list_pages(real_data / "indonesia-2019-c1" / "pages")[:4]:
        with Image.open(name) as image:
            image.save(tmp_path / "page.pdf", resolution=100, quality=90)
        page = read_page(tmp_path / "page.pdf").astype(int)
        expected = read_page(name)
        assert page.shape == expected.shape
        assert np.abs(page - expected).mean() < 3
