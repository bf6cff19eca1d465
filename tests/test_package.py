import subprocess
import sys

import pytest

import sktally


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_import_is_light():
    loaded = run("import sys, sktally, sktally.cli; print(*sys.modules)")
    assert not {"torch", "skorch", "sklearn", "pandas", "cv2"} & set(loaded)


def test_pages_and_cells_do_without_torch():
    loaded = run("import sys; from sktally import TallyCropper; print(*sys.modules)")
    assert "torch" not in loaded


@pytest.mark.parametrize("name", sktally.__all__)
def test_every_public_name_is_there(name):
    assert getattr(sktally, name) is not None
    assert name in dir(sktally)


def test_unknown_names_raise():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sktally.nonsense
