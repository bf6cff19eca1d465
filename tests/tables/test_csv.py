"""Lists that people write, as other programs save them."""

import codecs

import pytest

from sktally import StoreError
from sktally.tables._csv import read_csv

TEXT = "station,district\r\n0017,Caf\xe9\r\n0018,S\r\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "stations.csv"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf_8_with_and_without_its_mark(path, encoding):
    path.write_bytes(TEXT.encode(encoding))
    table = read_csv(path, dtype="string")
    assert table["station"].tolist() == ["0017", "0018"]
    assert table["district"].tolist() == ["Caf\xe9", "S"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("station;district\n0017;N\n", "a file separated by semicolons; save it"),
        ('\n"station";"district"\n"0017";"N"\n', "a file separated by semicolons"),
        ("station;turnout\n0017;0,5\n", "a file separated by semicolons"),
        ("station\tdistrict\n0017\tN\n", "a file separated by tabs; save it with"),
    ],
)
def test_other_separators_are_named(path, text, told):
    path.write_text(text)
    with pytest.raises(StoreError, match=f"stations.csv: .* commas, got {told}"):
        read_csv(path)


@pytest.mark.parametrize("text", ["station\n0017\n", "station,a;b\n0017,x;y\n"])
def test_semicolons_in_cells_and_lists_of_one_column(path, text):
    path.write_text(text)
    assert len(read_csv(path)) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (TEXT.encode("latin-1"), r"another encoding in line 2 \(0017,Caf\\xe9\)"),
        (
            codecs.BOM_UTF8 + b"a,b\r\n1,2\r\n\xe9,3",
            r"another encoding in line 3 \(\\xe9,3\)",
        ),
        (b"caf\xe9", r"another encoding in line 1 \(caf\\xe9\)"),
        (b"a\r1\r\xff\r", r"another encoding in line 3 \(\\xff\)"),
        (TEXT.encode("utf-16"), "UTF-16"),
        ("station,district\n7,S\n".encode("utf-16-le"), "bytes of 0, as UTF-16 has"),
    ],
)
def test_other_encodings_are_told_with_their_line(path, content, told):
    path.write_bytes(content)
    with pytest.raises(StoreError, match=rf"in UTF-8, got {told}.*; save it as 'CSV U"):
        read_csv(path)


def test_what_cannot_be_opened(path):
    with pytest.raises(StoreError, match=r"none of this name; check .* \(now in /"):
        read_csv(path)
    with pytest.raises(StoreError, match="a CSV file to read, got 'Is a directory'"):
        read_csv(path.parent)
    with pytest.raises(StoreError, match="to read, got 'embedded null byte'; check"):
        read_csv("a\0.csv")


@pytest.mark.parametrize("text", ["a,b\n1,2,3\n", 'a,b\n"1"2,3\n'])
def test_what_is_no_csv(path, text):
    path.write_text(text)
    with pytest.raises(StoreError, match="with one cell for each column"):
        read_csv(path)
