"""Save and load fitted models without pickle: a .json and a .safetensors file.

`save_model` writes a classifier or a whole reader Pipeline; `load_model` reads it
back; `load_reader` joins a saved or bundled model with a form to a Pipeline that
predicts at once. Nothing that a file names is imported or run: estimators come from
a fixed list, and values are checked before they are used.

An estimator on the list defines ``_fitted_state() -> dict`` and
``_set_fitted_state(dict)``, of plain values and arrays. Fitted estimators that it
holds, such as ``classifier_``, are kept without its doing.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sktally.digits import CNNClassifier
from sktally.digits._codec import decode, encode
from sktally.digits._weights import read_model, write_model
from sktally.exceptions import ModelFormatError, TallyError
from sktally.form import TallyForm, list_forms, load_form

__all__ = ["load_model", "load_reader", "save_model"]

#: The only classes that a model file can bring to life.
_ALLOWED = {
    "CNNClassifier": "sktally.digits",
    "CellNormalizer": "sktally.cells",
    "FrozenEstimator": "sklearn.frozen",
    "Pipeline": "sklearn.pipeline",
    "TallyCropper": "sktally.cells",
    "VoteCountAggregator": "sktally.votes",
}
_PART_NAME = re.compile(r"[a-z][a-z0-9_]*_")


def save_model(estimator: BaseEstimator, path: str | Path) -> Path:
    """Write a fitted estimator as ``NAME.json`` and ``NAME.safetensors``.

    Parameters
    ----------
    estimator : CNNClassifier, CellNormalizer, VoteCountAggregator or Pipeline
        Fitted; a Pipeline may hold these and a TallyCropper.
    path : str or path
        Where, with or without ending; the folder must exist. Files that are there
        are overwritten.

    Returns
    -------
    Path
        The .json file.

    Raises
    ------
    ModelFormatError
        If something in the estimator cannot be saved, or there is no such folder.

    See Also
    --------
    load_model : Reads it back.

    Notes
    -----
    Weights are float32. A classifier used as ``pretrained`` is not saved with the
    one that started from it, and neither is ``random_state`` other than an integer;
    both become None.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_digits
    >>> from sktally import CNNClassifier, load_model, save_model
    >>> X, y = load_digits(return_X_y=True)
    >>> digits = CNNClassifier(filters=(4,), hidden=(), max_epochs=1).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = save_model(digits, folder + "/digits")
    ...     again = load_model(file)
    >>> bool((again.predict_proba(X) == digits.predict_proba(X)).all())
    True
    """
    writer = _Writer()
    model = writer.estimator(estimator, "model")
    target = write_model(path, {"model": model}, writer.tensors)
    for name, source in writer.files.items():
        _copy_beside(source, target.with_name(name))
    return target


def load_model(path: str | Path, *, architecture: type | None = None) -> BaseEstimator:
    """Read an estimator that `save_model` wrote.

    Parameters
    ----------
    path : str or path
        As given to `save_model`, or the name of a bundled model.
    architecture : type, optional
        A `torch.nn.Module` class to build instead of `DigitNetwork`. It takes the
        same keyword arguments, and the tensors must fit it.

    Returns
    -------
    estimator
        Fitted as it was saved; on a machine without the device that its `device`
        names, it runs on the processor.

    Raises
    ------
    ModelFormatError
        If the files are missing, damaged, of a newer format, or hold anything but
        estimators of sktally. Files from strangers are safe to open; what they
        predict is another matter.

    See Also
    --------
    save_model : Writes it, with an example.
    load_reader : Adds a form.
    """
    file, content, tensors = read_model(path)
    if (
        not isinstance(content.get("model"), dict)
        or "estimator" not in content["model"]
    ):
        raise ModelFormatError(
            f"{file}: holds no estimator under 'model'; save it again with save_model"
        )

    try:
        return _Reader(file, tensors, architecture).object(content["model"], str(file))
    except RecursionError:
        raise ModelFormatError(f"{file}: nested too deeply") from None


def load_reader(
    form: str | Path | TallyForm, *, model: str | Path = "default"
) -> Pipeline:
    """Return a Pipeline that reads pages of a form, with nothing to fit.

    Parameters
    ----------
    form : str, path or TallyForm
        Name of a shipped form, path of a form file, or a form.
    model : str or path, default="default"
        Name of a bundled model, or path of a saved one: a classifier, a Pipeline of
        normalizer and classifier, or a whole fitted reader.

    Returns
    -------
    Pipeline
        Steps "crop", "normalize" and "votes"; ``reader.predict(paths)`` returns
        counts ``(n_tallies, n_fields)``.

    Raises
    ------
    FormError
        If there is no such form, or its file has mistakes.
    ModelFormatError
        If the model cannot be read, or holds no classifier.

    See Also
    --------
    load_model : Reads a model as it was saved.
    """
    cells = importlib.import_module("sktally.cells")
    votes = importlib.import_module("sktally.votes")
    form = load_form(form)
    loaded = load_model(model)
    parts = [step for _, step in loaded.steps] if isinstance(loaded, Pipeline) else []
    normalizers = [p for p in parts if isinstance(p, cells.CellNormalizer)]
    # cells from TallyCropper are uint8: an unfitted normalizer has nothing to learn
    paper = np.full((1, 28, 28), 255, np.uint8)
    normalizer = normalizers[0] if normalizers else cells.CellNormalizer().fit(paper)
    final = parts[-1] if parts else loaded
    settings = {"blank_right": form.blank_right}
    if isinstance(final, votes.VoteCountAggregator):
        settings = {**final.get_params(deep=False), **settings}
        final = getattr(final, "classifier_", final.classifier)
    if isinstance(final, FrozenEstimator):
        final = final.estimator
    if not isinstance(final, CNNClassifier) or not final.__sklearn_is_fitted__():
        raise ModelFormatError(
            f"model {str(model)!r}: expected a fitted CNNClassifier, alone or at the "
            f"end of a Pipeline, got {final!r}; fit it before save_model"
        )
    settings["classifier"] = FrozenEstimator(final)
    return Pipeline(
        [
            ("crop", cells.TallyCropper(form).fit()),
            ("normalize", normalizer),
            ("votes", votes.VoteCountAggregator(**settings)),
        ]
    )


class _Writer:
    """Collect what a model file is made of."""

    def __init__(self) -> None:
        self.tensors: dict = {}
        self.files: dict[str, Path] = {}  # that forms need beside them

    def estimator(self, estimator: BaseEstimator, place: str) -> dict:
        name = type(estimator).__name__
        if name not in _ALLOWED or type(estimator) is not _allowed_class(name):
            raise ModelFormatError(
                f"{place}: a {name} cannot be saved; expected one of "
                f"{', '.join(_ALLOWED)}. Pickle it instead, for your own use only"
            )
        given = estimator.get_params(deep=False)
        params = {
            key: self.encode(self._parameter(key, value), f"{place}.{key}")
            for key, value in given.items()
        }
        node = {"estimator": name, "params": params}
        if not _is_fitted(estimator):
            return node
        if hasattr(type(estimator), "_fitted_state"):  # not what a part has
            node["fitted"] = self.encode(estimator._fitted_state(), f"{place}.fitted")
        parts = {}
        inside = {} if isinstance(estimator, CNNClassifier) else vars(estimator)
        for key, value in inside.items():
            if _PART_NAME.fullmatch(key) and isinstance(value, BaseEstimator):
                same = [k for k, v in given.items() if v is value]
                where = f"{place}.{key}"
                parts[key] = same[0] if same else self.estimator(value, where)
        if parts:
            node["parts"] = parts
        return node

    @staticmethod
    def _parameter(key: str, value: object) -> object:
        if key == "pretrained" and isinstance(value, BaseEstimator):
            return None
        if key == "random_state" and not isinstance(value, int):
            return None
        if key == "form" and not (isinstance(value, str) and value in list_forms()):
            return load_form(value)  # a path would lead nowhere on another machine
        return value

    def encode(self, value: object, place: str) -> object:
        return encode(value, self.tensors, place, self._special)

    def _special(self, value: object, place: str) -> dict | None:
        if isinstance(value, BaseEstimator):
            return self.estimator(value, place)
        if not isinstance(value, TallyForm):
            return None
        reference = [value.reference] if value.reference else []
        for part in (*value.anchors, *reference):
            if getattr(part, "file", None):
                self.files[part.file] = value.beside(part.file)
        content = value.model_dump(mode="json")
        return {"form": content, "fingerprint": value.fingerprint()}


class _Reader:
    """Bring to life what `_Writer` wrote, and nothing else."""

    def __init__(self, file: Path, tensors: dict, architecture: type | None) -> None:
        self.file = file
        self.tensors = tensors
        self.architecture = architecture

    def object(self, node: dict, place: str) -> object:
        if isinstance(node.get("form"), dict):
            form = TallyForm.from_dict(node["form"], source=f"{place}.form")
            if form.fingerprint() != node.get("fingerprint"):
                raise ModelFormatError(
                    f"{place}: the form {form.name!r} is not the one that was saved "
                    "(its fingerprint differs); save the reader again"
                )
            form._folder = self.file.parent
            return form
        name = node.get("estimator")
        if not isinstance(name, str) or name not in _ALLOWED:
            raise ModelFormatError(
                f"{place}: expected one of {', '.join(_ALLOWED)}, got estimator "
                f"{name!r}; nothing else is loaded from a file"
            )
        place = f"{place}: {name}"
        values = self._params(_allowed_class(name), node.get("params"), place)
        try:
            estimator = _allowed_class(name)(**values)
            self._fit(estimator, node, place)
        except TallyError:
            raise
        except Exception as error:  # whatever wrong values make an estimator raise
            raise ModelFormatError(
                f"{place}: the stored values make no estimator "
                f"({type(error).__name__}: {error}); save the model again"
            ) from None
        return estimator

    def _decode(self, node: object, place: str) -> object:
        return decode(node, self.tensors, place, self.object)

    def _params(self, kind: type, params: object, place: str) -> dict:
        if not isinstance(params, dict):
            raise ModelFormatError(
                f"{place}: expected an object under 'params', got {params!r}"
            )
        known = kind._get_param_names()
        unknown = sorted(set(params) - set(known))
        if unknown:
            raise ModelFormatError(
                f"{place}: unknown parameters {unknown[:5]}; the file may be of a "
                f"newer sktally. Known: {', '.join(known)}"
            )
        return {
            key: self._decode(item, f"{place}.{key}") for key, item in params.items()
        }

    def _fit(self, estimator: BaseEstimator, node: dict, place: str) -> None:
        parts = node.get("parts", {})
        for key, part in parts.items():
            if not _PART_NAME.fullmatch(key):
                raise ModelFormatError(f"{place}: {key!r} is no fitted part")
            if isinstance(part, str):
                part = estimator.get_params(deep=False)[part]
            else:
                part = self.object(part, f"{place}.{key}")
            setattr(estimator, key, part)
        if "fitted" not in node or not hasattr(type(estimator), "_set_fitted_state"):
            return
        state = self._decode(node["fitted"], f"{place}.fitted")
        if isinstance(estimator, CNNClassifier) and self.architecture is not None:
            estimator._set_fitted_state(state, architecture=self.architecture)
        else:
            estimator._set_fitted_state(state)


def _allowed_class(name: str) -> type:
    return getattr(importlib.import_module(_ALLOWED[name]), name)


def _is_fitted(estimator: BaseEstimator) -> bool:
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def _copy_beside(source: Path, target: Path) -> None:
    """Copy a file that a form needs to the folder of the model."""
    content = source.read_bytes()
    if target.exists() and target.read_bytes() != content:
        raise ModelFormatError(
            f"{target}: the form of this model needs {source} here, but another file "
            "of that name is in the way; save the model in a folder of its own"
        )
    target.write_bytes(content)
