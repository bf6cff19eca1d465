"""Turn estimators of an allow-list into JSON and back.

An estimator on the list defines ``_fitted_state() -> dict`` and
``_set_fitted_state(dict)``, of plain values and arrays. Fitted estimators that it
holds, such as ``classifier_``, are kept without its doing.
"""

from __future__ import annotations

import re
from inspect import signature
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sktally.digits._classifier import CNNClassifier
from sktally.digits._codec import decode, encode
from sktally.digits._options import differs
from sktally.exceptions import ModelFormatError, TallyError
from sktally.form import TallyForm, list_forms, load_form

__all__ = ["EstimatorReader", "EstimatorWriter"]

_PART_NAME = re.compile(r"[a-z][a-z0-9_]*_")


class EstimatorWriter:
    """Collect what a model file is made of.

    Parameters
    ----------
    allowed : dict of str to type
        The only classes that may be written.
    """

    def __init__(self, allowed: dict[str, type]) -> None:
        self.allowed = allowed
        self.tensors: dict = {}
        self.files: dict[str, Path] = {}  # that forms need beside them

    def estimator(self, estimator: BaseEstimator, place: str) -> dict:
        """Return `estimator` as JSON."""
        name = type(estimator).__name__
        if type(estimator) is not self.allowed.get(name):
            raise ModelFormatError(
                f"{place}: a {name} cannot be saved; expected one of "
                f"{', '.join(self.allowed)}. Pickle it instead, for your own use only"
            )
        given = estimator.get_params(deep=False)
        params = {
            key: self._encode(self._parameter(key, value), f"{place}.{key}")
            for key, value in given.items()
            if not _left_out(estimator, key, value)
        }
        node = {"estimator": name, "params": params}
        if not _is_fitted(estimator):
            return node
        if hasattr(type(estimator), "_fitted_state"):  # not what a part has
            node["fitted"] = self._encode(estimator._fitted_state(), f"{place}.fitted")
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
        if key == "random_state" and not isinstance(value, int | np.integer):
            return None
        if key == "form" and not (isinstance(value, str) and value in list_forms()):
            return load_form(value)  # a path would lead nowhere on another machine
        if key == "architecture" and isinstance(value, type):
            return None  # a class is code: load_model is given it
        if key == "memory":
            return None  # a cache of pickles, in a folder of this machine
        return value

    def _encode(self, value: object, place: str) -> object:
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


class EstimatorReader:
    """Bring to life what `EstimatorWriter` wrote, and nothing else.

    Parameters
    ----------
    allowed : dict of str to type
        The only classes that a file can bring to life.
    file : Path
        The .json file.
    tensors : dict of str to ndarray
        From the weights file.
    architecture : type, optional
        Network to build instead of the stored one.
    """

    def __init__(
        self,
        allowed: dict[str, type],
        file: Path,
        tensors: dict,
        architecture: type | None = None,
    ) -> None:
        self.allowed = allowed
        self.file = file
        self.tensors = tensors
        self.architecture = architecture

    def estimator(self, node: dict, place: str) -> object:
        """Return the estimator, or the form, that `node` describes."""
        if isinstance(node.get("form"), dict):
            form = TallyForm.from_dict(
                node["form"], source=f"{place}.form", folder=self.file.parent
            )
            if form.fingerprint() != node.get("fingerprint"):
                raise ModelFormatError(
                    f"{place}: the form {form.name!r} is not the one that was saved "
                    "(its fingerprint differs); save the reader again"
                )
            return form
        name = node.get("estimator")
        if not isinstance(name, str) or name not in self.allowed:
            raise ModelFormatError(
                f"{place}: expected one of {', '.join(self.allowed)}, got estimator "
                f"{name!r}; nothing else is loaded from a file"
            )
        place = f"{place}: {name}"
        values = self._params(self.allowed[name], node.get("params"), place)
        try:
            estimator = self.allowed[name](**values)
            if isinstance(estimator, Pipeline):
                _check_steps(estimator.steps)
            self._fit(estimator, node, place)
        except TallyError as error:
            inside = str(error).startswith(str(self.file))
            message = str(error) if inside else f"{place}: {error}"
            raise ModelFormatError(message) from None
        except Exception as error:  # whatever wrong values make an estimator raise
            raise ModelFormatError(
                f"{place}: the stored values make no estimator "
                f"({type(error).__name__}: {error}); save the model again"
            ) from None
        return estimator

    def _decode(self, node: object, place: str) -> object:
        return decode(node, self.tensors, place, self.estimator)

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
        values = {
            key: self._decode(item, f"{place}.{key}") for key, item in params.items()
        }
        _check_paths(values, place)
        return values

    def _fit(self, estimator: BaseEstimator, node: dict, place: str) -> None:
        parts = node.get("parts", {})
        for key, part in parts.items():
            if not _PART_NAME.fullmatch(key):
                raise ModelFormatError(
                    f"{place}: expected fitted parts such as 'classifier_', got "
                    f"{key!r}; save the model again"
                )
            if isinstance(part, str):
                part = estimator.get_params(deep=False)[part]
            else:
                part = self.estimator(part, f"{place}.{key}")
            setattr(estimator, key, part)
        if "fitted" not in node or not hasattr(type(estimator), "_set_fitted_state"):
            return
        state = self._decode(node["fitted"], f"{place}.fitted")
        if isinstance(estimator, CNNClassifier) and self.architecture is not None:
            estimator._set_fitted_state(state, architecture=self.architecture)
        else:
            estimator._set_fitted_state(state)


def _left_out(estimator: BaseEstimator, key: str, value: object) -> bool:
    """Tell whether a parameter is younger than format 1 and at its default.

    Models that need no newer parameter thus stay readable by an older sktally.
    """
    if key not in getattr(estimator, "_since_format_1", ()):
        return False
    return not differs(value, signature(type(estimator)).parameters[key].default)


def _check_paths(values: dict, place: str) -> None:
    """Raise where a parameter would lead to files that the model does not hold."""
    if values.get("memory") is not None:
        raise ModelFormatError(
            f"{place}.memory: expected null, got {values['memory']!r}: a cache folder "
            "holds pickles; set it on the loaded Pipeline yourself"
        )
    form = values.get("form", list_forms()[0])
    if not isinstance(form, TallyForm) and form not in list_forms():
        raise ModelFormatError(
            f"{place}.form: expected a form, or the name of a shipped one "
            f"({', '.join(list_forms())}), got {form!r}; save the model again"
        )


def _check_steps(steps: list) -> None:
    for step, estimator in steps:
        if not isinstance(step, str) or not isinstance(estimator, BaseEstimator):
            raise TypeError(f"step {step!r} is {type(estimator).__name__}")


def _is_fitted(estimator: BaseEstimator) -> bool:
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True
