"""Learn the reference of a form from the user's own filled pages.

Comes in: a form description whose boxes were measured on one of the pages, and the
pages. Goes out: a reference file and a form file that names it. Users rarely have a
blank form, but many filled ones: aligned to each other, their print recurs at the
same places and their ink does not.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sktally._validate import check_range
from sktally._words import are, number
from sktally.exceptions import (
    FormError,
    PageReadError,
    RegistrationError,
    TallyError,
    TallyWarning,
)
from sktally.form import TallyForm, TallyReference, load_form
from sktally.pages._features import (
    WORKING_SIZE,
    Reference,
    find_features,
    fit_homography,
    is_plausible,
    match_features,
    write_reference,
)
from sktally.pages._read import read_page
from sktally.pages._recur import median_page, recurring_features
from sktally.pages._snap import snap_fields

__all__ = ["align_pages", "learn_form"]

_FEWEST = 3  # pages; of two, no feature can be outvoted
_ROUNDS = 4
_FITS = 0.6  # frame score of a page that is aligned: the gate of register_by_reference
_AGREE = 25  # features that agree where a form has no frames; 12 may by chance


def learn_form(
    form: str | Path | TallyForm,
    pages: Sequence[str | os.PathLike[str] | np.ndarray],
    *,
    out: str | os.PathLike[str],
    measured_on: int | None = None,
    keep_median: bool = True,
) -> TallyForm:
    """Make a reference for a form from filled pages, and a form file that names it.

    The pages should be filled in by different hands and photographed or scanned as
    the pages to be read will be; ten or more are better than three. The boxes must
    have been measured on one of them.

    Parameters
    ----------
    form : str, path or TallyForm
        The form; ``page`` gives the width and height, in the units of its boxes, of
        the page that they were measured on.
    pages : sequence of str, path or ndarray of shape (height, width)
        Filled pages, three at least.
    out : str or path
        Form file to write, ``.toml``, or an existing folder for it. The reference
        goes beside it. A file that already describes this form keeps its text.
    measured_on : int, optional
        Index of the page on which the boxes were measured. By default the page on
        which the printed frames fit best; the first where no field has a frame.
    keep_median : bool, default=True
        Whether to keep the median page, a nearly blank form, in the reference. It
        helps on poor pages; False keeps only numbers from which no page can be seen.

    Returns
    -------
    TallyForm
        The form as read back from `out`.

    Raises
    ------
    PageReadError
        If pages cannot be read: all of them with the reason.
    RegistrationError
        If the boxes fit on no page, or fewer than three pages align.
    TallyError
        If there are too few pages, or `out` is not a form file of this form.

    Warns
    -----
    TallyWarning
        If some pages do not align and are left out; they are named.

    See Also
    --------
    sktally.pages.register_page : Find the form on a page.

    Examples
    --------
    >>> import tempfile
    >>> from sktally import load_form, make_tally_pages
    >>> made = make_tally_pages(4, form="example", random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     learnt = learn_form("example", made.pages, out=folder, measured_on=0)
    ...     learnt.reference.file, learnt.reference_path.exists()
    ('example.reference.safetensors', True)
    """
    form = load_form(form)
    images, names = _read_pages(pages)
    target, file = _target(Path(out), form)
    if measured_on is not None:
        check_range("measured_on", measured_on, 0, len(images) - 1, integer=True)
    seed, start = _seed(images, names, form, measured_on)
    aligned, reference = align_pages(images, form, seed=seed, start=start)
    left = [name for i, name in enumerate(names) if i not in aligned]
    if len(aligned) < _FEWEST:
        raise RegistrationError(
            f"only {len(aligned)} of {number(len(images), 'page')} align with "
            f"{names[seed]}, at least {_FEWEST} needed; not: {', '.join(left)}. Are "
            "they pages of the same form, in focus and with the same part in view?"
        )
    if left:
        warnings.warn(
            f"{len(left)} of {number(len(images), 'page')} "
            f"{are(len(left), 'does', 'do')} not align with {names[seed]} and "
            f"{are(len(left))} left out: {', '.join(left)}",
            TallyWarning,
            stacklevel=2,
        )
    if keep_median:
        kept = [images[i] for i in aligned]
        median = median_page(kept, list(aligned.values()), form)
        reference = replace(reference, median=median)
    write_reference(reference, target.parent / file)
    return _write_form(form, target, file)


def align_pages(
    pages: Sequence[np.ndarray], form: TallyForm, *, seed: int, start: np.ndarray
) -> tuple[dict[int, np.ndarray], Reference]:
    """Align pages to one whose place is known, and gather what recurs on them.

    One filled page is a poor reference, so the reference grows: pages that align
    with it join it, and then more pages align.

    Parameters
    ----------
    pages : sequence of ndarray of shape (height, width)
        uint8 grey pages.
    form : TallyForm
        The form.
    seed : int
        Index of the page whose place is known.
    start : ndarray of shape (3, 3)
        Form units to pixels of that page.

    Returns
    -------
    aligned : dict of int to ndarray of shape (3, 3)
        Form units to pixels of each page that aligned, by index.
    reference : Reference
        Their recurring features.
    """
    features = [find_features(page) for page in pages]
    aligned = {seed: start}
    reference = recurring_features([pages[seed]], [start], form)
    for _ in range(_ROUNDS):
        found = {seed: start}
        for i, page in enumerate(pages):
            matrix = _place(page, features[i], form, reference) if i != seed else None
            if matrix is not None:
                found[i] = matrix
        grown = len(found) > len(aligned)
        aligned = found
        kept = [pages[i] for i in aligned]
        reference = recurring_features(kept, list(aligned.values()), form)
        if not grown:
            break
    return aligned, reference


def _place(
    page: np.ndarray,
    features: tuple[np.ndarray, np.ndarray],
    form: TallyForm,
    reference: Reference,
) -> np.ndarray | None:
    """Return where the form lies on a page, or None where that is doubtful."""
    points, descriptors = features
    pairs = match_features(reference.descriptors, descriptors)
    matrix, agree = fit_homography(
        reference.points[pairs[:, 0]],
        points[pairs[:, 1]],
        pixel=max(page.shape) / WORKING_SIZE,
    )
    if matrix is None or not is_plausible(matrix, form.page.width, form.page.height):
        return None
    _, scores = snap_fields(page, form, matrix)
    framed = np.isfinite(scores)
    good = np.nanmin(scores) >= _FITS if framed.any() else agree.sum() >= _AGREE
    return matrix if good else None


def _read_pages(
    pages: Sequence[str | os.PathLike[str] | np.ndarray],
) -> tuple[list[np.ndarray], list[str]]:
    """Read all pages, or name every one that cannot be read."""
    images, names, bad = [], [], []
    for i, page in enumerate(pages):
        if isinstance(page, str | os.PathLike):
            names.append(Path(page).name)
            lead = ""
        else:
            names.append(f"page {i + 1}")
            lead = f"{names[-1]}: "
        try:
            images.append(read_page(page))
        except PageReadError as error:
            bad.append(f"  {lead}{error}")
    if bad:
        raise PageReadError(
            f"{len(bad)} of {len(names)} pages cannot be read; leave them out or "
            "replace them:\n" + "\n".join(bad)
        )
    if len(images) < _FEWEST:
        raise TallyError(
            f"pages: expected at least {_FEWEST} filled pages to learn from, got "
            f"{len(images)}; ten or more, filled in by different hands, are better"
        )
    return images, names


def _seed(
    images: list[np.ndarray],
    names: list[str],
    form: TallyForm,
    measured_on: int | None,
) -> tuple[int, np.ndarray]:
    """Return the page on which the boxes were measured and where the form lies."""
    asked = range(len(images)) if measured_on is None else [measured_on]
    fits = []
    for i in asked:
        height, width = images[i].shape
        start = np.diag([width / form.page.width, height / form.page.height, 1.0])
        quads, scores = snap_fields(images[i], form, start)
        if np.isnan(scores).all():
            return i, start
        fits.append((float(np.nanmin(scores)), i, start))
    score, seed, start = max(fits, key=lambda fit: fit[0])
    if score < _FITS:
        where = names[seed] if measured_on is not None else "any page"
        raise RegistrationError(
            f"form {form.name!r}: its boxes do not fit the frames printed on {where} "
            f"(best worst-field score {score:.2f} on {names[seed]}, {_FITS:.2f} "
            "needed). `page` must be the size in pixels of the page on which the "
            "boxes were measured, that page must be among those given, and `frame` "
            "must be 0 where no frame is printed"
        )
    return seed, start


def _target(out: Path, form: TallyForm) -> tuple[Path, str]:
    """Return the form file to write and the name of the reference beside it."""
    safe = re.sub(r"[^\w.-]+", "_", form.name)
    target = out / f"{safe}.toml" if out.is_dir() else out
    if target.suffix != ".toml" or not target.parent.is_dir():
        raise TallyError(
            f"out: expected a .toml file in an existing folder, or such a folder, got "
            f"{str(out)!r}"
        )
    if target.exists() and _plain(TallyForm.from_toml(target)) != _plain(form):
        raise TallyError(
            f"out: {target} describes another form than {form.name!r}; give another "
            "file, or remove it first"
        )
    file = form.reference.file if form.reference else f"{safe}.reference.safetensors"
    if Path(file).name != file:
        raise FormError(
            f"form {form.name!r}: reference file {file!r} should be a bare file name, "
            f"such as '{safe}.reference.safetensors'"
        )
    return target, file


def _plain(form: TallyForm) -> dict:
    """Return a form as plain data without its reference."""
    return form.model_dump(mode="json", exclude={"reference"})


def _write_form(form: TallyForm, target: Path, file: str) -> TallyForm:
    """Write the form file, or add the reference to one that lacks it."""
    if not target.exists():
        form.model_copy(update={"reference": TallyReference(file=file)}).to_toml(target)
    elif (written := TallyForm.from_toml(target)).reference is None:
        text = target.read_text(encoding="utf-8").rstrip("\n")
        line = f'\n\n[reference]\nfile = "{file}"\n'
        target.write_text(text + line, encoding="utf-8")
    elif written.reference.file != file:
        raise TallyError(
            f"out: {target} names the reference {written.reference.file!r}, the form "
            f"{file!r}; make them agree"
        )
    return TallyForm.from_toml(target)
