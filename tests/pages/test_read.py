import io
import os
import struct
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sktally._validate import check_page
from sktally.exceptions import PageReadError
from sktally.pages import _decode, list_pages, read_page, read_reduced

ORIENTATION = 0x0112
# What must be done to a stored picture so that it is shown upright (TIFF 6.0).
SHOWN = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: lambda a: np.rot90(a),
}


@pytest.fixture(scope="module")
def grey():
    """Return a page of smooth shades that has no symmetry."""
    y, x = np.mgrid[:96, :64]
    page = 250 - y - x / 4
    page[8:24, 8:20] = 20
    page[70:78, 30:60] = 90
    return page.astype(np.uint8)


@pytest.fixture
def as_nobody():
    """Return a context in which the file system grants no more than to a stranger."""

    @contextmanager
    def unprivileged():
        if not hasattr(os, "geteuid"):
            pytest.skip("this system has no permission bits")
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return unprivileged


def save(path, pixels, mode=None, **options):
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def as_bytes(pixels, kind, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


# Kinds, modes and depths


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("png", {}),
        ("bmp", {}),
        ("webp", {"lossless": True}),
        ("tif", {}),
        ("tif", {"compression": "tiff_lzw"}),
        ("tif", {"compression": "tiff_adobe_deflate"}),
        ("tif", {"compression": "packbits"}),
    ],
)
@pytest.mark.parametrize("color", [False, True])
def test_lossless_kinds_give_the_stored_pixels(tmp_path, grey, suffix, options, color):
    page = read_page(save(tmp_path / f"a.{suffix}", grey, **options), color=color)
    expected = np.dstack([grey] * 3) if color else grey
    np.testing.assert_array_equal(page, expected)
    assert page.dtype == np.uint8
    assert page.flags.c_contiguous
    assert page.flags.writeable


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_gives_what_opencv_decodes(tmp_path, grey, progressive):
    path = save(tmp_path / "a.jpg", grey, progressive=progressive)
    expected = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(read_page(path), expected)
    np.testing.assert_array_equal(read_page(path, color=True)[..., 1], expected)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "jpg"])
def test_colour_is_kept_or_turned_to_grey(tmp_path, suffix):
    patches = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], np.uint8)
    pixels = np.repeat(np.repeat(patches[None], 48, axis=0), 32, axis=1)
    options = {"quality": 95, "subsampling": 0} if suffix == "jpg" else {}
    path = save(tmp_path / f"a.{suffix}", pixels, **options)
    loss = 3 if suffix == "jpg" else 0
    colour = read_page(path, color=True).astype(int)
    assert colour.shape == (48, 96, 3)
    np.testing.assert_allclose(colour, pixels, atol=loss)
    grey = pixels @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(read_page(path), grey, atol=loss + 1)


@pytest.mark.parametrize("compression", ["group4", "group3", "tiff_ccitt", "tiff_lzw"])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_one_bit_tiff(tmp_path, grey, compression, white_is_zero):
    options = {"tiffinfo": {262: 0}} if white_is_zero else {}
    path = save(tmp_path / "a.tif", grey > 100, compression=compression, **options)
    np.testing.assert_array_equal(read_page(path), np.where(grey > 100, 255, 0))


def test_one_bit_png_and_palette(tmp_path, grey):
    bits = np.where(grey > 100, 255, 0)
    np.testing.assert_array_equal(read_page(save(tmp_path / "1.png", grey > 100)), bits)
    palette = Image.fromarray((grey > 100).astype(np.uint8)).convert("P")
    palette.putpalette([250, 250, 250, 10, 10, 10])
    palette.save(tmp_path / "p.png")
    expected = np.where(grey > 100, 10, 250)
    np.testing.assert_array_equal(read_page(tmp_path / "p.png"), expected)


def test_tiff_grey_with_white_as_zero(tmp_path, grey):
    path = save(tmp_path / "a.tif", grey, tiffinfo={262: 0})
    np.testing.assert_array_equal(read_page(path), grey)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bit_files_are_scaled_by_the_depth_they_use(tmp_path, grey, suffix, bits):
    page = read_page(
        save(tmp_path / f"a.{suffix}", grey.astype(np.uint16) << (bits - 8))
    )
    np.testing.assert_array_equal(page, grey)


@pytest.mark.parametrize(("order", "white_is_zero"), [("<", 0), ("<", 1), (">", 0)])
def test_16_bit_tiff_of_both_byte_orders_and_polarities(
    tmp_path, grey, order, white_is_zero
):
    deep = grey.astype(np.uint16) * 257
    stored = 65535 - deep if white_is_zero else deep
    path = tmp_path / "deep.tif"
    path.write_bytes(raw_tiff(stored, order, 1 - white_is_zero))
    np.testing.assert_array_equal(read_page(path), grey)


def raw_tiff(pixels, order, photometric):
    """Write a 16-bit TIFF of one strip by hand: Pillow cannot write these."""
    height, width = pixels.shape
    data = pixels.astype(order + "u2").tobytes()
    tags = [
        (256, 3, width), (257, 3, height), (258, 3, 16), (259, 3, 1),
        (262, 3, photometric), (273, 4, 8), (277, 3, 1), (278, 3, height),
        (279, 4, len(data)),
    ]  # fmt: skip
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(
        order + "I", 8 + len(data)
    )
    out += data + struct.pack(order + "H", len(tags))
    for tag, kind, value in tags:
        value = struct.pack(
            order + ("HH" if kind == 3 else "I"), *([value, 0][: 5 - kind])
        )
        out += struct.pack(order + "HHI", tag, kind, 1) + value
    return out + struct.pack(order + "I", 0)


def test_16_bit_colour_png(tmp_path):
    pixels = np.zeros((40, 40, 3), np.uint16)
    pixels[...] = [60000, 30000, 10000]
    cv2.imwrite(str(tmp_path / "a.png"), pixels[..., ::-1])
    page = read_page(tmp_path / "a.png", color=True)
    assert page[0, 0].tolist() == [234, 117, 39]


def test_transparency_lies_over_white(tmp_path, grey):
    alpha = np.full_like(grey, 255)
    alpha[:40] = 0
    alpha[40:50] = 128
    for name, layers in (("la", [grey, alpha]), ("rgba", [grey] * 3 + [alpha])):
        path = save(tmp_path / f"{name}.png", np.dstack(layers))
        page = read_page(path)
        assert (page[:40] == 255).all()
        mixed = 255 - (255.0 - grey[40:50]) * 128 / 255
        np.testing.assert_allclose(page[40:50], mixed, atol=1)
        np.testing.assert_array_equal(page[50:], grey[50:])
    image = Image.fromarray(grey)
    image.save(tmp_path / "key.png", transparency=int(grey[10, 10]))
    assert read_page(tmp_path / "key.png")[10, 10] == 255


def test_cmyk_jpeg_and_tiff(tmp_path, grey):
    for name in ("a.jpg", "a.tif"):
        page = read_page(save(tmp_path / name, grey, mode="RGB").with_name(name))
        path = save(tmp_path / name, np.dstack([grey] * 3), mode="CMYK")
        with Image.open(path) as image:
            assert image.mode == "CMYK"
        np.testing.assert_allclose(read_page(path).astype(int), page, atol=4)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_orientation_is_obeyed(tmp_path, grey, suffix, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"jpg": {"quality": 95}, "webp": {"lossless": True}}.get(suffix, {})
    path = save(tmp_path / f"a.{suffix}", grey, exif=exif, **options)
    expected = SHOWN[orientation](grey).astype(int)
    page = read_page(path)
    assert page.shape == expected.shape
    assert page.flags.c_contiguous
    np.testing.assert_allclose(page, expected, atol=8 if suffix == "jpg" else 0)
    colour = read_page(path, color=True)
    np.testing.assert_allclose(colour[..., 0], page, atol=1)


def test_damaged_exif_leaves_the_page_as_it_lies(tmp_path, grey):
    path = save(tmp_path / "a.jpg", grey, exif=b"Exif\0\0nonsense of a camera")
    assert read_page(path).shape == grey.shape


def test_kind_is_told_from_content_not_from_name(tmp_path, grey):
    save(tmp_path / "a.png", grey)
    path = (tmp_path / "a.png").rename(tmp_path / "scan.jpg")
    np.testing.assert_array_equal(read_page(path), grey)
    bare = path.rename(tmp_path / "scan")
    np.testing.assert_array_equal(read_page(bare), grey)


def test_names_of_any_letters_and_kinds_of_path(tmp_path, grey, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("página 3 — TPS #1.png", "~x.png", "票.jpg"):
        path = Path(name)
        save(path, grey)
        assert read_page(path).shape == grey.shape
        assert read_page(name).shape == grey.shape


def test_nothing_is_written_beside_the_input(tmp_path, grey):
    save(tmp_path / "a.jpg", grey)
    save(tmp_path / "b.tif", grey > 99, compression="group4")
    (tmp_path / "c.jpg").write_bytes(b"\xff\xd8\xff")
    before = sorted((p.name, p.stat().st_mtime_ns) for p in tmp_path.iterdir())
    for name in list_pages(tmp_path):
        try:
            read_page(name)
        except PageReadError:
            assert name.endswith("c.jpg")
    after = sorted((p.name, p.stat().st_mtime_ns) for p in tmp_path.iterdir())
    assert before == after


# Several pages in one TIFF


@pytest.fixture
def three_pages(tmp_path, grey):
    path = tmp_path / "three.tif"
    pages = [Image.fromarray(grey // n > 60) for n in (1, 2, 3)]
    pages[0].save(path, save_all=True, append_images=pages[1:], compression="group4")
    return path


def test_pages_of_a_tiff_are_read_by_name(three_pages, grey):
    for n in (3, 1, 2):
        page = read_page(f"{three_pages}#page={n}")
        np.testing.assert_array_equal(page, np.where(grey // n > 60, 255, 0))


def test_a_bare_name_of_several_pages_is_refused(three_pages):
    expected = r"three.tif: expected a single page, got a file of 3; .*three.tif#page=1"
    with pytest.raises(PageReadError, match=expected):
        read_page(three_pages)


@pytest.mark.parametrize("number", ["0", "x", "", "-1", "1.5", "9" * 5000])
def test_page_numbers_that_are_none(three_pages, number):
    with pytest.raises(PageReadError, match="expected a page number 1, 2"):
        read_page(f"{three_pages}#page={number}")


def test_page_numbers_beyond_the_end(three_pages, tmp_path, grey):
    with pytest.raises(PageReadError, match=r"#page=4: .* the file has 3 pages"):
        read_page(f"{three_pages}#page=4")
    path = save(tmp_path / "one.jpg", grey)
    with pytest.raises(PageReadError, match=r"#page=2: .* the file has only 1 page"):
        read_page(f"{path}#page=2")
    assert read_page(f"{path}#page=1").shape == grey.shape


def test_a_file_whose_real_name_has_a_page_mark(tmp_path, grey, three_pages):
    odd = save(tmp_path / "odd#page=2.png", grey)
    np.testing.assert_array_equal(read_page(odd), grey)
    np.testing.assert_array_equal(read_page(f"{odd}#page=1"), grey)
    three = three_pages.rename(tmp_path / "three.tif#page=2")
    assert read_page(f"{three}#page=3").shape == grey.shape
    with pytest.raises(PageReadError, match=r"#page=2: expected a single page"):
        read_page(three)


def test_previews_in_a_tiff_are_no_pages(tmp_path, grey):
    path, preview = tmp_path / "a.tif", Image.fromarray(grey[::2, ::2])
    Image.fromarray(grey).save(
        path, save_all=True, append_images=[preview], tiffinfo={254: 0}
    )
    with pytest.raises(PageReadError, match="got a file of 2"):
        read_page(path)
    content = path.read_bytes()
    tag = struct.pack("<HHI", 254, 4, 1)
    place = content.rindex(tag) + len(tag)
    assert content.count(tag) == 2
    path.write_bytes(content[:place] + b"\1" + content[place + 1 :])
    np.testing.assert_array_equal(read_page(path), grey)


# Arrays


@pytest.mark.parametrize(
    ("array", "value"),
    [
        (np.full((40, 50), 7, np.uint8), 7),
        (np.ones((40, 50), bool), 255),
        (np.full((40, 50, 3), 9, np.uint8), 9),
        (np.full((50, 40), 7, np.uint8).T, 7),
        (np.full((40, 100), 7, np.uint8)[:, ::2], 7),
    ],
)
def test_arrays_are_checked_and_handed_on(array, value):
    page = read_page(array)
    assert (page.shape, page.dtype, page.flags.c_contiguous) == ((40, 50), "u1", True)
    assert (page == value).all()
    assert read_page(array, color=True).shape == (40, 50, 3)


def test_colour_arrays_turn_grey_by_the_weights_of_jpeg():
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, (64, 48, 3), dtype=np.uint8)
    expected = array @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(check_page(array), expected, atol=0.51)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((40, 40), np.nan), "got float64 with NaN; scale 0..1 with"),
        (np.zeros((40, 40), np.float32), "expected uint8 pixels 0..255, got float32"),
        (np.zeros((40, 40), np.uint16), r"got uint16; use .* \(page >> 8\)"),
        (np.zeros(40, np.uint8), r"expected an image .*, got shape \(40,\)"),
        (np.zeros((2, 40, 40), np.uint8), r"got shape \(2, 40, 40\); pass one page"),
        (np.zeros((40, 40, 4), np.uint8), r"got shape \(40, 40, 4\)"),
        (np.zeros((0, 40), np.uint8), r"got shape \(0, 40\)"),
        (np.zeros((1, 1), np.uint8), "at least 32 x 32 px, got 1 x 1 px"),
        ([[1, 2], [3]], r"got rows of unequal length \(list\)"),
        ([[1, 2], [3, 4]], "got int64; use"),
        (np.array([[None]]), r"got object \(ndarray\); pass a path"),
        (None, r"got object \(NoneType\); pass a path as str or Path"),
        (b"scan.jpg", r"got \|S8 \(bytes\); pass a path as str or Path"),
    ],
)
def test_arrays_that_are_no_pages(array, message):
    with pytest.raises(PageReadError, match=message):
        read_page(array)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dpi": 10}, r"dpi: expected a number in \[50, 1200\], got 10"),
        ({"max_pixels": 0}, "max_pixels: expected an integer"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        read_page(np.zeros((40, 40), np.uint8), **options)


# Bad files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"got an empty file \(0 bytes\)"),
        (b"file,count\n1,2\n", "got a text file that begins 'file,count"),
        (b"GIF89a" + bytes(50), "got a GIF picture"),
        (b"PK\x03\x04" + bytes(50), "got a ZIP archive"),
        (bytes(5000), "got a file of zeros"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "got a HEIC photo"),
        (b"\x81\x92\xff\xa0" * 99, "begins with the bytes 81 92 ff a0"),
        (b"\xff\xd8\xff", "expected a whole JPEG file, got a torn or damaged one"),
        (b"\x89PNG\r\n\x1a\n", "expected a whole PNG file"),
        (b"II*\0", "expected a whole TIFF file"),
        (b"BM", "expected a whole BMP file"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "expected a whole WEBP file"),
    ],
)
def test_files_that_hold_no_page(tmp_path, content, message):
    path = tmp_path / "scan.jpg"
    path.write_bytes(content)
    with pytest.raises(PageReadError, match=f"^{path}: .*{message}"):
        read_page(path)


def test_missing_file_and_folder(tmp_path):
    expected = r"nowhere.jpg: expected a file, but there is none of this name"
    with pytest.raises(PageReadError, match=expected):
        read_page(tmp_path / "nowhere.jpg")
    with pytest.raises(PageReadError, match="got a folder; list its pages"):
        read_page(tmp_path)
    with pytest.raises(PageReadError, match="expected a file to read, got .*too long"):
        read_page("x" * 5000)
    with pytest.raises(PageReadError, match="expected a file to read, got .*null"):
        read_page("scan\0.jpg")


def test_pipes_are_refused_rather_than_waited_for(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "scan.jpg")
    with pytest.raises(PageReadError, match="got a pipe, socket or device"):
        read_page(tmp_path / "scan.jpg")


def test_file_without_permission(tmp_path, grey, as_nobody):
    path = save(tmp_path / "a.jpg", grey)
    path.chmod(0)
    with as_nobody(), pytest.raises(PageReadError, match="'permission denied'; ask"):
        read_page(path)


@pytest.mark.parametrize("cut", [0.3, 0.7, 0.95, 0.998])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("jpeg", {"quality": 95}),
        ("jpeg", {"quality": 95, "progressive": True}),
        ("png", {}),
        ("tiff", {}),
        ("tiff", {"compression": "tiff_lzw"}),
        ("webp", {}),
        ("bmp", {}),
    ],
)
def test_torn_files_raise(tmp_path, kind, options, cut):
    noise = np.random.default_rng(0).integers(0, 256, (120, 90), dtype=np.uint8)
    data = as_bytes(noise, kind, **options)
    path = tmp_path / "torn"
    path.write_bytes(data[: int(len(data) * cut)])
    expected = f"expected a whole {kind.upper()} file, got a torn or damaged one"
    with pytest.raises(PageReadError, match=expected):
        read_page(path)


@pytest.mark.parametrize("filler", [b"", bytes(3000)])
def test_a_torn_jpeg_is_told_in_spite_of_its_thumbnail(tmp_path, grey, filler):
    thumbnail = as_bytes(grey[::2, ::2], "jpeg")
    noise = np.random.default_rng(0).integers(0, 256, (120, 90), dtype=np.uint8)
    data = as_bytes(noise, "jpeg", exif=b"Exif\0\0" + thumbnail)
    path = tmp_path / "torn.jpg"
    path.write_bytes(data + filler)
    assert read_page(path).shape == (120, 90)
    path.write_bytes(data[: len(data) * 2 // 3] + filler)
    with pytest.raises(PageReadError, match="expected a whole JPEG file"):
        read_page(path)


def test_a_torn_fax_is_not_filled_with_white(tmp_path):
    bits = np.random.default_rng(0).random((200, 200)) > 0.5
    data = as_bytes(bits, "tiff", compression="group4")
    # Pillow writes the directory first, so that the strip is what goes missing.
    path = tmp_path / "torn.tif"
    path.write_bytes(data[: len(data) - 400])
    with pytest.raises(PageReadError, match="expected a whole TIFF file"):
        read_page(path)


def test_floating_point_tiff(tmp_path):
    path = save(tmp_path / "a.tif", np.full((40, 40), 0.5, np.float32))
    with pytest.raises(PageReadError, match=r"a.tif: .* got floating point ones; save"):
        read_page(path)
    path = save(tmp_path / "b.tif", np.full((40, 40), -5, np.int32))
    with pytest.raises(PageReadError, match=r"b.tif: expected pixels of 0 or more"):
        read_page(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "bmp"])
def test_tiny_pages_are_refused(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", np.full((1, 1), 255, np.uint8))
    expected = f"a.{suffix}: expected a page of at least 32 x 32 px, got 1 x 1 px"
    with pytest.raises(PageReadError, match=expected):
        read_page(path)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_huge_pages_are_refused_before_they_are_decoded(tmp_path, suffix):
    options = {"compression": "group4"} if suffix == "tif" else {}
    path = tmp_path / f"a.{suffix}"
    Image.new("1", (20_000, 20_000), 1).save(path, **options)
    expected = r"at most 150 megapixels, got 400 \(20000 x 20000 px\); .* max_pixels"
    with pytest.raises(PageReadError, match=expected):
        read_page(path)


def test_max_pixels_moves_the_limit(tmp_path, grey):
    path = save(tmp_path / "a.jpg", grey)
    assert read_page(path, max_pixels=96 * 64).shape == (96, 64)
    with pytest.raises(PageReadError, match="at most 0.006143 megapixels"):
        read_page(path, max_pixels=96 * 64 - 1)


def test_a_large_tiff_within_the_limit_gives_no_warning(tmp_path):
    path = tmp_path / "a.tif"
    Image.new("1", (9_500, 9_500), 1).save(path, compression="group4")
    assert (read_page(path)[::500, ::500] == 255).all()


# Properties


@pytest.mark.parametrize("color", [False, True])
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_read_or_raise_our_error(tmp_path, color, data):
    page = np.random.default_rng(3).integers(0, 256, (48, 40), dtype=np.uint8)
    kind, options = data.draw(
        st.sampled_from(
            [
                ("jpeg", {}),
                ("jpeg", {"progressive": True}),
                ("png", {}),
                ("tiff", {}),
                ("tiff", {"compression": "tiff_lzw"}),
                ("bmp", {}),
                ("webp", {}),
            ]
        )
    )
    content = bytearray(as_bytes(page, kind, **options))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(4, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(content)))
    path = tmp_path / "damaged"
    path.write_bytes(content[:cut] if data.draw(st.booleans()) else content)
    try:
        page = read_page(path, color=color, max_pixels=1_000_000)
    except PageReadError as error:
        assert str(error).startswith(str(path))
    else:
        assert page.dtype == np.uint8
        assert page.ndim == 2 + color


# Real pages


@pytest.mark.real
def test_real_pages_read_as_opencv_reads_them(real_data):
    names = list_pages(real_data / "indonesia-2019-c1" / "pages")
    names += list_pages(real_data / "nist-hsf")
    assert len(names) == 12
    for name in names:
        expected = cv2.imread(name, cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(read_page(name), expected)


@pytest.mark.parametrize("long_side", [1e9, 400, 150])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 20}])
def test_grey_jpegs_are_the_same_by_either_decoder(
    tmp_path, monkeypatch, long_side, options
):
    rng = np.random.default_rng(0)
    page = cv2.GaussianBlur(rng.integers(0, 256, (800, 640), np.uint8), (0, 0), 2)
    Image.fromarray(page).save(path := tmp_path / "page.jpg", **options)
    asked = []
    decode = _decode.simplejpeg.decode_jpeg
    monkeypatch.setattr(
        _decode.simplejpeg,
        "decode_jpeg",
        lambda *args, **kwargs: asked.append(kwargs) or decode(*args, **kwargs),
    )
    pixels, factor = read_reduced(path, long_side)
    assert len(asked) == 1
    assert factor == max(f for f in (1, 2, 4) if f == 1 or 800 // f >= long_side)
    monkeypatch.setattr(_decode, "simplejpeg", None)
    other, same = read_reduced(path, long_side)
    assert factor == same
    np.testing.assert_array_equal(pixels, other)
    assert pixels.flags.c_contiguous


def test_what_one_decoder_refuses_goes_to_the_next(tmp_path, monkeypatch, grey):
    Image.fromarray(grey).save(path := tmp_path / "page.jpg")
    pixels = read_page(path)

    def refuse(*args, **kwargs):
        raise ValueError("no")

    monkeypatch.setattr(_decode.simplejpeg, "decode_jpeg", refuse)
    np.testing.assert_array_equal(read_page(path), pixels)
