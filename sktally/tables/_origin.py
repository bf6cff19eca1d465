"""What a reader is: the key of its run, the same in words, and where its files are."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import joblib
from sklearn.pipeline import Pipeline

from sktally._bundled import bundled_files
from sktally.exceptions import StoreError, TallyError
from sktally.form import TallyForm
from sktally.tables._image import file_sha256
from sktally.tables._records import Run

__all__ = ["files_sha256", "form_of", "form_with_files", "identify", "model_file"]


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
        content["form"]["reference"] = file_sha256(form.reference_path)
        content["form"]["folder"] = str(form.beside("."))
    known_by = [
        content["form"]["sha256"],
        content["form"].get("reference"),
        content["model"]["sha256"],
        content["settings"],
    ]
    text = json.dumps(known_by, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest(), content


def form_of(run: Run, folder: Path | None = None) -> TallyForm:
    """Return the form of a run, as it was described then."""
    try:
        content = tomllib.loads(run.content["form"]["toml"])
        return TallyForm.from_dict(content, folder=folder)
    except (tomllib.TOMLDecodeError, RecursionError, TallyError) as error:
        raise StoreError(
            f"run {run.id}: expected the form that its pages were read with, got text "
            f"that is none ({str(error)[:200]}); go back to an untouched copy"
        ) from None


def form_with_files(run: Run) -> TallyForm:
    """Return the form of a run beside its reference, if it is found by one.

    It lies where it lay or, if nothing does, is one that came with sktally.

    Raises
    ------
    StoreError
        If it is not there any more, or is another now.
    """
    form, noted = form_of(run), run.content["form"]
    if form.reference is None:
        return form
    file, folders = form.reference.file, [Path(str(noted.get("folder", "")))]
    if not (folders[0] / file).is_file():
        folders += [path.parent for path in bundled_files("forms", ".toml").values()]
    placed = {form_of(run, folder).beside(file): folder for folder in folders}
    what, digest = f"reference of run {run.id}", noted.get("reference")
    return form_of(run, placed[_same(what, placed, file_sha256, digest)])


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
