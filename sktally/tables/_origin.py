"""What a reader is: the key of its run, the same in words, and where its files are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import joblib
from sklearn.pipeline import Pipeline

from sktally._bundled import bundled_files
from sktally.exceptions import StoreError
from sktally.tables._image import file_sha256
from sktally.tables._records import Run

__all__ = ["files_sha256", "identify", "model_file"]


def identify(reader: Pipeline, origin: dict | None) -> tuple[str, dict[str, Any]]:
    """Return a key of the reader, and what it is in words."""
    cropper, votes = reader[0], reader[-1]
    form = cropper.form_
    content = {
        "form": {
            "name": form.name,
            "sha256": form.fingerprint(),
            "fields": list(form.field_names),
            "toml": form.to_toml(),
        },
        "model": origin or {"sha256": joblib.hash(reader.steps[1:]), "name": "fitted"},
        "settings": {
            "cell_size": cropper.cell_size,
            "margin": cropper.margin,
            "blank_right": votes.blank_right,
            "place_prior": votes.place_prior,
        },
    }
    if form.reference_path is not None:
        digest = hashlib.sha256(form.reference_path.read_bytes()).hexdigest()
        content["form"]["reference"] = digest
    known_by = [
        content["form"]["sha256"],
        content["form"].get("reference"),
        content["model"]["sha256"],
        content["settings"],
    ]
    text = json.dumps(known_by, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest(), content


def model_file(run: Run) -> Path | None:
    """Return the .json of the model that read a run, or None if it was in no file.

    It lies where it lay or, if nothing does, is one that came with sktally, wherever
    that is installed now.

    Raises
    ------
    StoreError
        If it is not there any more, or is another now.
    """
    model = run.content["model"]
    if "path" not in model and "bundled" not in model:
        return None
    bundled = bundled_files("models", ".json")
    name = str(model.get("name"))
    noted = Path(str(model.get("path", bundled.get(name, name))))
    files = [noted, *(() if noted.is_file() else bundled.values())]
    return _same(f"model of run {run.id}", files, files_sha256, model["sha256"])


def files_sha256(path: Path) -> str:
    """Return one SHA-256 for both files of a model, given its .json."""
    parts = [file_sha256(path), file_sha256(path.with_suffix(".safetensors"))]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _same(
    what: str, files: Iterable[Path], hashed: Callable[[Path], str], sha256: str
) -> Path:
    """Return the first file with a hash, or raise what is wrong with the first."""
    problems = []
    for path in files:
        try:
            if hashed(path) == sha256:
                return path
            problems.append(f"{path} is another now")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            problems.append(f"{path} cannot be read ({reason})")
    raise StoreError(f"{what}: {problems[0]}; put back the one that read the pages")
