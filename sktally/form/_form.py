"""A whole form: page, anchors, fields, sum rules; read from and written to TOML."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PrivateAttr, ValidationError, model_validator

from sktally.exceptions import FormError
from sktally.form._parts import (
    Anchor,
    FormPart,
    Name,
    Positive,
    PrintedMark,
    TallyField,
    TallyReference,
)
from sktally.form._sums import sum_problems
from sktally.form._toml import all_mistakes, read_toml, write_toml

__all__ = ["TallyForm"]


class _Page(FormPart):
    width: Positive
    height: Positive


class TallyForm(FormPart):
    """Describe a tally form: page, anchors, fields with their boxes, sum rules.

    Parameters
    ----------
    format : int, default=1
        Version of the file format.
    name : str
        Name of the form, for example ``"indonesia-2019-c1"``.
    title : str, optional
        One line for people.
    page : dict
        ``width`` and ``height`` in form units.
    anchors : list of Anchor
        Three or more printed marks; none where `reference` locates the form.
        With neither, the form is a draft from which a reference can be learnt.
    fields : list of TallyField
        The handwritten numbers.
    sums : dict of str to list of str, optional
        Rules such as ``{"valid": ["01", "02"]}``: the first should be the sum of
        the others.
    blank_right : {"missing", "zero", "shift"}, default="missing"
        Value of a count with an empty box to the right of a digit, such as ``32_``:
        unread; 320; or 32. A crossed box there counts as zero (``x2x`` is 20). The
        status of both is "ambiguous".
    printed : list of PrintedMark, optional
        What else is printed on the blank form.
    reference : TallyReference, optional
        Learnt reference, see ``sktally form learn``.

    Raises
    ------
    FormError
        From `from_toml` and `load_form`: every mistake with its place.

    Examples
    --------
    >>> from sktally import load_form
    >>> form = load_form("example")
    >>> form.box_array().shape  # fields, places, (x, y, width, height)
    (6, 3, 4)
    """

    format: Literal[1] = 1
    name: Name
    title: str = ""
    page: _Page
    anchors: tuple[Anchor, ...] = ()
    fields: Annotated[tuple[TallyField, ...], Field(min_length=1)]
    sums: dict[str, tuple[str, ...]] = {}
    blank_right: Literal["missing", "zero", "shift"] = "missing"
    printed: tuple[PrintedMark, ...] = ()
    reference: TallyReference | None = None
    _folder: Path = PrivateAttr(default_factory=Path)

    @model_validator(mode="after")
    def _consistent(self) -> TallyForm:
        problems: list[str] = []
        for what, parts in (("field", self.fields), ("anchor", self.anchors)):
            names = [part.name for part in parts]
            for name in sorted({n for n in names if names.count(n) > 1}):
                problems.append(f"{what} name {name!r} is used {names.count(name)}x")
        # With neither, a form is a draft: what `sktally form learn` starts from.
        if 0 < len(self.anchors) < 3 and self.reference is None:
            problems.append(
                f"{len(self.anchors)} anchors: at least 3 are needed, or none and a "
                "[reference] made by `sktally form learn`"
            )
        problems += self._unspread()
        problems += sum_problems(self.sums, self.field_names)
        problems += self._outside()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _unspread(self) -> list[str]:
        """Say which anchors lie in one place, or that all lie on one line."""
        if len(self.anchors) < 3:
            return []
        centers = [anchor.center for anchor in self.anchors]
        found = [
            f"anchor {anchor.name!r}: its center is that of another anchor"
            for i, anchor in enumerate(self.anchors)
            if anchor.center in centers[:i]
        ]
        along, across = np.linalg.svd(
            np.array(centers) - np.mean(centers, axis=0), compute_uv=False
        )
        # Across that line, the error of a mark would grow more than fiftyfold.
        if not found and across < along / 50:
            found.append(
                "anchors: all lie on one line and say nothing across it; describe one "
                "that lies off it"
            )
        return found

    def _outside(self) -> list[str]:
        width, height = self.page.width, self.page.height
        found = []
        for field in self.fields:
            for i, (x, y, w, h) in enumerate(field.rectangles):
                if x < 0 or y < 0 or x + w > width or y + h > height:
                    found.append(
                        f"field {field.name!r}, box {i + 1}: x {x:g}..{x + w:g}, "
                        f"y {y:g}..{y + h:g} is not on the {width:g} x {height:g} page"
                    )
            places = field.bubbles.centers(field.rectangles) if field.bubbles else []
            for i, (x, y) in enumerate(chain(*places)):
                if not (0 <= x <= width and 0 <= y <= height):
                    found.append(
                        f"field {field.name!r}, box {i // 10 + 1}: its bubble of "
                        f"{i % 10} at {x:g}, {y:g} is not on the {width:g} x "
                        f"{height:g} page"
                    )
                    break  # the others are off with it
        for anchor in self.anchors:
            ax, ay = anchor.center
            if not (0 <= ax <= width and 0 <= ay <= height):
                found.append(
                    f"anchor {anchor.name!r}: centre {ax:g}, {ay:g} is not on the "
                    f"{width:g} x {height:g} page"
                )
        return found

    def __repr__(self) -> str:
        return (
            f"TallyForm({self.name!r}, {len(self.fields)} fields, "
            f"{len(self.anchors)} anchors)"
        )

    __str__ = __repr__

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the fields in order."""
        return tuple(field.name for field in self.fields)

    @property
    def n_fields(self) -> int:
        """Number of fields."""
        return len(self.fields)

    @property
    def n_places(self) -> int:
        """Largest number of boxes of any field."""
        return max(len(field.rectangles) for field in self.fields)

    def box_array(self) -> np.ndarray:
        """Return all boxes, float64 ``(n_fields, n_places, 4)``.

        The last axis is x, y, width, height in form units. Fields shorter than
        the longest are padded on the left with NaN.
        """
        return _box_array(self.fields).copy()

    def bubble_array(self) -> np.ndarray | None:
        """Return where bubbles are, float64 ``(n_fields, n_places, 10, 3)``, or None.

        One row a digit; the last axis is x, y of the centre and radius in form units.
        NaN where a field has no bubbles or no such place; None where none has any.
        """
        if not any(field.bubbles for field in self.fields):
            return None
        found = np.full((self.n_fields, self.n_places, 10, 3), np.nan)
        for row, field in zip(found, self.fields, strict=True):
            if field.bubbles:
                centers = field.bubbles.centers(field.rectangles)
                row[-len(centers) :, :, :2] = centers
                row[-len(centers) :, :, 2] = field.bubbles.radius
        return found

    def fingerprint(self) -> str:
        """Return a SHA-256 hex digest of the description, file formatting aside."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def reference_path(self) -> Path | None:
        """Where the learnt reference lies, or None."""
        return self.beside(self.reference.file) if self.reference else None

    def beside(self, file: str) -> Path:
        """Return the path of a file that the form names, relative to the form file.

        Raises
        ------
        FormError
            If `file` is absolute or points outside the form's folder.
        """
        folder = self._folder.resolve()
        path = (folder / file).resolve()
        if Path(file).is_absolute() or not path.is_relative_to(folder):
            raise FormError(
                f"form {self.name!r}: {file!r} points outside the folder of the form "
                "file; put the file beside the form and give its bare name"
            )
        return path

    @classmethod
    def from_dict(
        cls, content: dict, *, source: str = "form", folder: Path | None = None
    ) -> TallyForm:
        """Build a form from plain data and report every mistake in it.

        Parameters
        ----------
        content : dict
            As the TOML file would give it.
        source : str
            What to call it in messages.
        folder : Path, optional
            Where the files lie that it names; by default the current folder.

        Returns
        -------
        TallyForm

        Raises
        ------
        FormError
            Every mistake, one a line, with its place.
        """
        try:
            form = cls.model_validate(content)
        except ValidationError as error:
            raise FormError(all_mistakes(error, source)) from None
        form._folder = folder or Path()
        return form

    @classmethod
    def from_toml(cls, path: str | Path) -> TallyForm:
        """Read a form file.

        Parameters
        ----------
        path : str or path
            TOML file.

        Returns
        -------
        TallyForm

        Raises
        ------
        FormError
            If the file is missing, not TOML, or has mistakes: all of them.
        """
        path = Path(path)
        return cls.from_dict(read_toml(path), source=str(path), folder=path.parent)

    def to_toml(self, path: str | Path | None = None) -> str:
        """Return the form as TOML and, if `path` is given, write it there.

        Parameters
        ----------
        path : str or path, optional
            Where to write.

        Returns
        -------
        str
            TOML text that `from_toml` reads back to an equal form.
        """
        content = self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        text = "format = 1\n" + write_toml(content)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text


@lru_cache(maxsize=32)
def _box_array(fields: tuple[TallyField, ...]) -> np.ndarray:
    """Lay out the boxes of all fields; kept, because every page asks for them."""
    n_places = max(len(field.rectangles) for field in fields)
    boxes = np.full((len(fields), n_places, 4), np.nan)
    for i, field in enumerate(fields):
        rectangles = field.rectangles
        boxes[i, n_places - len(rectangles) :] = rectangles
    return boxes
