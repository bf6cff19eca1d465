import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sktally.exceptions import PageReadError
from sktally.pages import list_pages, read_page

PAGE = Image.fromarray(np.full((40, 40), 200, np.uint8))


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in {".txt", ".csv"}:
            path.write_text("no page")
        else:
            PAGE.save(path, "png")


def put_tiff(path, n_pages):
    PAGE.save(path, save_all=True, append_images=[PAGE] * (n_pages - 1))


def names(paths, folder, **options):
    return [
        Path(n).relative_to(folder).as_posix() for n in list_pages(paths, **options)
    ]


def test_a_folder_in_the_order_in_which_people_count(tmp_path):
    put(tmp_path, "page10.jpg", "page2.jpg", "Page1.JPG", "b.png", "A.tiff", "p2a.png")
    expected = ["A.tiff", "b.png", "p2a.png", "Page1.JPG", "page2.jpg", "page10.jpg"]
    assert names(tmp_path, tmp_path) == expected
    assert names(str(tmp_path), tmp_path) == expected


def test_hidden_files_other_files_and_inner_folders_are_left_out(tmp_path):
    put(tmp_path, "a.png", ".b.png", "labels.csv", "inner/c.png", ".git/d.png")
    assert names(tmp_path, tmp_path) == ["a.png"]
    assert names(tmp_path, tmp_path, recursive=True) == ["a.png", "inner/c.png"]


def test_folders_are_gone_through_in_order(tmp_path):
    put(tmp_path, "tps10/1.png", "tps9/2.png", "tps9/a/1.png", "tps9/10.png")
    expected = ["tps9/2.png", "tps9/10.png", "tps9/a/1.png", "tps10/1.png"]
    assert names(tmp_path, tmp_path, recursive=True) == expected


def test_a_link_to_a_folder_above_is_not_followed_for_ever(tmp_path):
    put(tmp_path, "a.png")
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    assert names(tmp_path, tmp_path, recursive=True) == ["a.png"]


def test_files_of_several_pages_are_named_by_page(tmp_path):
    put_tiff(tmp_path / "two.tif", 2)
    put_tiff(tmp_path / "one.tif", 1)
    listed = list_pages(tmp_path)
    assert [name.removeprefix(f"{tmp_path}{os.sep}") for name in listed] == [
        "one.tif",
        "two.tif#page=1",
        "two.tif#page=2",
    ]
    assert all(read_page(name).shape == (40, 40) for name in listed)


def test_a_file_whose_real_name_has_a_page_mark(tmp_path):
    put_tiff(tmp_path / "odd#page=7.tif", 2)
    put(tmp_path, "scan#page=3.png")
    listed = list_pages(tmp_path)
    assert [Path(name).name for name in listed] == [
        "odd#page=7.tif#page=1",
        "odd#page=7.tif#page=2",
        "scan#page=3.png",
    ]
    assert all(read_page(name).shape == (40, 40) for name in listed)


def test_named_files_keep_their_order_whatever_their_suffix(tmp_path):
    put(tmp_path, "b.scan", "a.png", ".hidden.png")
    order = [tmp_path / "b.scan", tmp_path / ".hidden.png", tmp_path / "a.png"]
    assert list_pages(order) == [str(path) for path in order]


def test_every_page_is_named_once(tmp_path):
    put(tmp_path, "a.png", "b.png")
    put_tiff(tmp_path / "two.tif", 2)
    sources = [tmp_path / "b.png", tmp_path, f"{tmp_path / 'two.tif'}#page=2"]
    assert names(sources, tmp_path) == [
        "b.png",
        "a.png",
        "two.tif#page=1",
        "two.tif#page=2",
    ]


def test_named_pages_are_kept(tmp_path):
    put_tiff(tmp_path / "two.tif", 2)
    name = f"{tmp_path / 'two.tif'}#page=2"
    assert list_pages(name) == [name]


def test_patterns(tmp_path, monkeypatch):
    put(tmp_path, "tps10.png", "tps9.png", ".tps1.png", "x/tps2.png", "y/z/tps3.png")
    assert names(str(tmp_path / "*.png"), tmp_path) == ["tps9.png", "tps10.png"]
    assert names(f"{tmp_path}/tps?.png", tmp_path) == ["tps9.png"]
    assert names(f"{tmp_path}/**/tps[23].png", tmp_path) == [
        "x/tps2.png",
        "y/z/tps3.png",
    ]
    assert names(f"{tmp_path}/[xy]", tmp_path) == ["x/tps2.png"]
    monkeypatch.chdir(tmp_path)
    assert list_pages("t*.png") == ["tps9.png", "tps10.png"]


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
    put(tmp_path, "scan[1].png", "scan1.png")
    assert names(tmp_path / "scan[1].png", tmp_path) == ["scan[1].png"]


def test_broken_and_missing_files_are_listed_and_fail_when_read(tmp_path):
    put(tmp_path, "good.png")
    for name in ("a.pdf", "b.tif", "c.jpg"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "d.tif").write_bytes(b"II*\0\x08")
    (tmp_path / "e.pdf").write_bytes(b"%PDF-1.4")
    expected = ["a.pdf", "b.tif", "c.jpg", "d.tif", "e.pdf", "good.png"]
    assert names(tmp_path, tmp_path) == expected
    listed = list_pages([tmp_path, tmp_path / "missing.jpg"])
    assert listed[-1] == str(tmp_path / "missing.jpg")
    for name in listed:
        if not name.endswith("good.png"):
            with pytest.raises(PageReadError, match=Path(name).name):
                read_page(name)


def test_a_wrong_page_name_stops_nothing(tmp_path):
    put(tmp_path, "a.png")
    wrong = f"{tmp_path / 'a.png'}#page=two"
    assert list_pages([wrong, tmp_path]) == [wrong, str(tmp_path / "a.png")]


def test_folders_without_pages(tmp_path):
    put(tmp_path, "labels.csv", "inner/a.png")
    expected = "expected a folder of pages, got one without any .*: recursive=True"
    with pytest.raises(PageReadError, match=f"^{tmp_path}: {expected}"):
        list_pages(tmp_path)
    (tmp_path / "inner" / "a.png").unlink()
    with pytest.raises(
        PageReadError, match=r"got one without any \(looked for .*webp\)$"
    ):
        list_pages(tmp_path, recursive=True)


def test_what_is_not_there(tmp_path):
    expected = "expected a file or folder, but there is none of this name"
    with pytest.raises(PageReadError, match=f"nowhere: {expected}"):
        list_pages(tmp_path / "nowhere")
    with pytest.raises(PageReadError, match=r"\*.png: .* matches files, got no match"):
        list_pages(tmp_path / "*.png")
    with pytest.raises(PageReadError, match=r"got None \(NoneType\); pass them as str"):
        list_pages([None])
    with pytest.raises(PageReadError, match="expected a folder to read, got"):
        list_pages("x" * 5000)
    assert list_pages([]) == []


def test_a_folder_that_cannot_be_read():
    if not hasattr(os, "geteuid"):
        pytest.skip("this system has no permission bits")
    root = os.geteuid() == 0
    # Not under pytest's own folder: nobody but root may pass through that.
    with tempfile.TemporaryDirectory() as holder:
        folder = Path(holder)
        put(folder, "inner/a.png")
        (folder / "inner").chmod(0)
        folder.chmod(0o755)
        expected = "inner: expected a folder to read, got 'Permission denied'; ask its"
        try:
            if root:
                os.seteuid(65534)
            with pytest.raises(PageReadError, match=expected):
                list_pages(folder / "inner")
            with pytest.raises(PageReadError, match=expected):
                list_pages(folder, recursive=True)
        finally:
            if root:
                os.seteuid(0)
            (folder / "inner").chmod(0o755)


@pytest.mark.parametrize("paths", [3, None])
def test_what_is_no_list_of_names_is_refused(paths):
    with pytest.raises(PageReadError, match="paths: expected names of files or fold"):
        list_pages(paths)
