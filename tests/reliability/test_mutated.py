"""Damaged files are rows with a status and a message, quickly, and never a crash."""

import io
import itertools
import time

import numpy as np
import pytest
from PIL import Image

from sktally import make_tally_pages, read_tallies, read_to_store
from sktally.tables import Store

LONGEST = 5.0  # seconds for one page
WHOLE = 8  # pages that nothing was done to, read first


def sources():
    """Return one page in every kind of file that is read."""
    page = make_tally_pages(1, form="example", random_state=1, scale=0.5).pages[0]
    found = {}
    image = Image.fromarray(page)
    for kind, options in {
        "jpg": {"quality": 80},
        "png": {},
        "tif": {"compression": "tiff_lzw"},
        "bmp": {},
        "webp": {"quality": 60},
        "pdf": {},
    }.items():
        stream = io.BytesIO()
        names = {"jpg": "JPEG", "tif": "TIFF"}
        image.save(stream, names.get(kind, kind.upper()), **options)
        found[kind] = stream.getvalue()
    stream = io.BytesIO()
    image.convert("1").save(stream, "TIFF", compression="group4")
    return {**found, "g4.tif": stream.getvalue()}


def mutated(content, rng):
    """Return a file torn, or with bytes flipped, zeroed, doubled or taken out."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        # headers are short: half of the damage goes there
        end = min(len(data), 600) if rng.random() < 0.5 else len(data)
        at, n = int(rng.integers(0, max(end, 1))), int(rng.integers(1, 65))
        how = rng.integers(0, 5)
        if how == 0:
            del data[at:]
        elif how == 1:
            data[at : at + n] = rng.bytes(n)
        elif how == 2:
            data[at : at + n] = bytes(n)
        elif how == 3:
            data[at:at] = data[at : at + n]
        else:
            del data[at : at + n]
    return bytes(data)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_every_mutated_file_is_a_row(reader, sizes, tmp_path):
    files, rng = sources(), np.random.default_rng(0)
    folder = tmp_path / "scans"
    folder.mkdir()
    kinds = [*files]
    paths = []
    for i in range(WHOLE):  # so that starting the workers is not taken for reading
        paths.append(folder / f"whole_{i}.jpg")
        paths[-1].write_bytes(files["jpg"] + bytes(i))
    for i in range(sizes.mutated):
        kind = kinds[i % len(kinds)]
        paths.append(folder / f"{i:05d}.{kind}")
        paths[-1].write_bytes(mutated(files[kind], rng))
    moments = []

    def watch(told):
        moments.append((told.done, time.perf_counter()))

    path = tmp_path / "votes.sqlite"
    told = read_to_store(reader, paths, path, n_jobs=2, progress=watch)
    assert told.done == len(paths)
    with Store(path) as store:
        pages = store.ask("SELECT status, message FROM pages")
        gone = store.ask("SELECT COUNT(*) FROM unreadable")[0][0]
    assert len(pages) + gone + told.copies == len(paths)
    assert {status for status, _ in pages} <= {"ok", "rejected", "failed"}
    assert all(message for status, message in pages if status != "ok")
    assert not any("process that read it died" in message for _, message in pages)
    # some pages that took long together are read once more, one by one
    for (before, began), (done, ended) in itertools.pairwise(moments):
        if ended - began >= LONGEST:
            for name in paths[max(before - 16, 0) : done + 16]:
                # of this process alone: whatever else the machine does
                started = time.process_time()
                read_tallies(reader, [name])
                assert time.process_time() - started < LONGEST, name
