"""Save and load fitted models without pickle: a .json and a .safetensors file.

`save_model` writes a classifier or a whole reader Pipeline; `load_model` reads it
back; `load_reader` joins a saved or bundled model with a form to a Pipeline that
predicts at once. Nothing that a file names is imported or run: estimators come from
a fixed list, and values are checked before they are used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from sktally.cells import CellNormalizer, TallyCropper
from sktally.digits import CNNClassifier
from sktally.digits._estimators import EstimatorReader, EstimatorWriter
from sktally.digits._weights import bundled_models, find_model, read_model, write_model
from sktally.exceptions import ModelFormatError, StoreError, TallyError
from sktally.form import TallyForm, load_form
from sktally.tables import Run
from sktally.tables._origin import files_sha256, form_with_files, model_file
from sktally.votes import DigitCalibrator, VoteCountAggregator

__all__ = ["load_model", "load_reader", "model_origin", "reader_of_run", "save_model"]

_ALLOWED: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        CNNClassifier,
        CellNormalizer,
        DigitCalibrator,
        FrozenEstimator,
        Pipeline,
        TallyCropper,
        VoteCountAggregator,
    )
}
# Of the cropper and of the aggregator, as a run of a store notes them.
_SETTINGS = (("cell_size", "margin"), ("blank_right", "place_prior"))


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
    writer = EstimatorWriter(_ALLOWED)
    model = writer.estimator(estimator, "model")
    target = write_model(path, {"model": model}, writer.tensors)
    for name, source in writer.files.items():
        _copy_beside(source, target.parent / name)
    return target


def load_model(path: str | Path, *, architecture: type | None = None) -> BaseEstimator:
    """Read an estimator that `save_model` wrote.

    Parameters
    ----------
    path : str or path
        As given to `save_model`, or the name of a bundled model.
    architecture : type, optional
        A `torch.nn.Module` class to build instead of the stored network, as
        `CNNClassifier` takes one; the tensors must fit it. Models of a class of one's
        own need it, since a file holds no code.

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
    save_model : Writes it.
    load_reader : Adds a form.

    Examples
    --------
    >>> from sktally import load_model
    >>> reader = load_model("default")
    >>> [name for name, _ in reader.steps]
    ['cellnormalizer', 'cnnclassifier']
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
        reader = EstimatorReader(_ALLOWED, file, tensors, architecture)
        return reader.estimator(content["model"], str(file))
    except RecursionError:
        raise ModelFormatError(
            f"{file}: expected a model as save_model writes it, got one nested too "
            "deeply; fetch its two files again"
        ) from None


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

    Examples
    --------
    >>> from sktally import load_reader, make_tally_pages
    >>> tallies = make_tally_pages(1, form="example", random_state=0)
    >>> load_reader("example").predict(tallies.pages).shape  # pages, fields
    (1, 6)
    """
    form = load_form(form)
    loaded = load_model(model)
    parts = [step for _, step in loaded.steps] if isinstance(loaded, Pipeline) else []
    croppers = [p for p in parts if isinstance(p, TallyCropper)]
    # cells are cut as those that the model was fitted on, if it says how
    cropper = clone(croppers[0]) if croppers else TallyCropper(form)
    normalizers = [p for p in parts if isinstance(p, CellNormalizer)]
    # cells from TallyCropper are uint8: an unfitted normalizer has nothing to learn
    paper = np.full((1, 28, 28), 255, np.uint8)
    normalizer = normalizers[0] if normalizers else CellNormalizer().fit(paper)
    final = given = parts[-1] if parts else loaded
    settings = {"blank_right": form.blank_right}
    if isinstance(final, VoteCountAggregator):
        settings = {**final.get_params(deep=False), **settings}
        final = getattr(final, "classifier_", final.classifier)
    if isinstance(final, FrozenEstimator):
        final = final.estimator
    if not isinstance(final, CNNClassifier) or not final.__sklearn_is_fitted__():
        raise ModelFormatError(
            f"model {str(model)!r}: expected a fitted CNNClassifier, alone or at the "
            f"end of a Pipeline, got {final!r}; fit it before save_model"
        )
    votes = VoteCountAggregator(**settings | {"classifier": FrozenEstimator(final)})
    for name in ("place_ratios_", "calibrator_"):
        if hasattr(given, name):
            setattr(votes, name, getattr(given, name))
    return Pipeline(
        [
            ("crop", cropper.set_params(form=form).fit()),
            ("normalize", normalizer),
            ("votes", votes),
        ]
    )


def model_origin(model: str | Path) -> dict[str, Any]:
    """Return what tells a saved model from any other, for a result store.

    Parameters
    ----------
    model : str or path
        Name of a bundled model, or path of a saved one.

    Returns
    -------
    dict
        "name" as given, "sha256" of both its files, and "path" of the .json, or
        "bundled" if it ships with sktally, whose folder may move.

    Raises
    ------
    ModelFormatError
        If there is no such model, or its weights are missing.

    Examples
    --------
    >>> from sktally.persist import model_origin
    >>> model_origin("default")["name"]
    'default'
    """
    path = find_model(model).absolute()
    try:
        digest = files_sha256(path)
    except OSError as error:
        raise ModelFormatError(
            f"{path}: cannot be read with its .safetensors ({error.strerror})"
        ) from None
    where = {"bundled": True} if str(model) in bundled_models() else {"path": str(path)}
    return {"name": str(model), "sha256": digest, **where}


def reader_of_run(run: Run) -> Pipeline:
    """Return the reader that read the pages of a run of a result store.

    Parameters
    ----------
    run : Run
        From `sktally.tables.Store.run`.

    Returns
    -------
    Pipeline

    Raises
    ------
    StoreError
        If its form or its model is not there any more, or is another now.

    See Also
    --------
    sktally.tables.show_page : Compares what it reads with what the store holds.

    Examples
    --------
    >>> import tempfile
    >>> from sktally import load_reader, read_to_store
    >>> from sktally.persist import model_origin, reader_of_run
    >>> from sktally.tables import Store
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/votes.sqlite"
    >>> origin = model_origin("default")
    >>> _ = read_to_store(load_reader("example"), [], path, origin=origin)
    >>> with Store(path) as store:
    ...     reader_of_run(store.run())[0].form_.name
    'example'
    >>> folder.cleanup()
    """
    content = run.content
    form = form_with_files(run)
    name, model = form.name, model_file(run)
    if form.fingerprint() != content["form"]["sha256"]:
        raise StoreError(
            f"run {run.id}: expected the form {name!r} as it was when the pages were "
            "read, got another; put its files back, or read the pages anew"
        )
    if model is None:
        raise StoreError(
            f"run {run.id}: expected a model that was read from a file, got one that "
            "was fitted and not saved: its pages cannot be read again from the store"
        )
    reader = load_reader(form, model=model)
    settings = content["settings"]
    try:
        for step, names in zip((0, -1), _SETTINGS, strict=True):
            reader[step].set_params(**{name: settings[name] for name in names})
        reader[0].fit()
    except (KeyError, TallyError) as error:
        raise StoreError(
            f"run {run.id}: expected the settings of a reader, got some that are none "
            f"({error}); the store was altered: go back to an untouched copy"
        ) from None
    return reader


def _copy_beside(source: Path, target: Path) -> None:
    """Copy a file that a form needs to the folder of the model."""
    content = source.read_bytes()
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.read_bytes() != content:
        raise ModelFormatError(
            f"{target}: the form of this model needs {source} here, but another file "
            "of that name is in the way; save the model in a folder of its own"
        )
    target.write_bytes(content)
