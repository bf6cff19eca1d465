"""What a reader is: the key of its run, and the same in words."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import joblib
from sklearn.pipeline import Pipeline

__all__ = ["identify"]


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
