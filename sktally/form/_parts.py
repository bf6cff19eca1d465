"""Parts of a form description: anchors, fields with their boxes, printed marks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Anchor", "Page", "PrintedMark", "TallyField", "TallyReference"]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Point = tuple[Finite, Finite]
Size = tuple[Positive, Positive]
Rectangle = tuple[Finite, Finite, Positive, Positive]
Name = Annotated[str, Field(min_length=1, max_length=100)]


class FormPart(BaseModel):
    """Base of all parts: immutable, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Page(FormPart):
    """Width and height of the page in form units."""

    width: Positive
    height: Positive


class Anchor(FormPart):
    """Describe one printed mark that locates the form on a page.

    Parameters
    ----------
    name : str
        Unique name, used in messages and overlays.
    kind : {"square", "corner", "frame", "patch"}
        Solid dark rectangle; L-shaped corner mark; outlined rectangle (a box or
        a table); or a patch of the user's own reference image.
    center : tuple of float
        x, y in form units. Of a square, frame or patch its centre; of a corner
        the outer vertex where both arms meet.
    size : tuple of float
        Width, height in form units: of the square, frame or patch, or the
        lengths of the two arms of a corner.
    thickness : float, optional
        Line width in form units of a corner or frame.
    opens : {"top-left", "top-right", "bottom-right", "bottom-left"}, optional
        For a corner: which corner of a rectangle the mark is. ``"top-left"``
        has its vertex at the top left and arms that run right and down.
    search : float, optional
        How far from `center`, in form units, the mark may lie on a scan that
        fills the page. By default a tenth of the longer page side.
    file : str, optional
        For a patch: image file, relative to the form file.

    Examples
    --------
    >>> from sktally.form import Anchor
    >>> corner = {"center": (50, 50), "size": (40, 40), "thickness": 8}
    >>> Anchor(name="one", kind="corner", opens="top-left", **corner).opens
    'top-left'
    """

    name: Name
    kind: Literal["square", "corner", "frame", "patch"]
    center: Point
    size: Size
    thickness: Positive | None = None
    opens: Literal["top-left", "top-right", "bottom-right", "bottom-left"] | None = None
    search: Positive | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Anchor:
        if self.kind in ("corner", "frame") and self.thickness is None:
            raise ValueError(f"a {self.kind} anchor needs `thickness`, its line width")
        if self.kind == "corner" and self.opens is None:
            raise ValueError(
                "a corner anchor needs `opens`, for example opens = 'top-left'"
            )
        if self.kind == "patch" and self.file is None:
            raise ValueError("a patch anchor needs `file`, an image beside the form")
        return self


class TallyField(FormPart):
    """Describe one handwritten number and the boxes of its digits.

    Parameters
    ----------
    name : str
        Unique name, a column value in every table.
    label : str, optional
        What a person calls it, for example a party.
    start : tuple of float, optional
        x, y of the top left corner of the first (most significant) box.
    box : tuple of float, optional
        Width, height of each box.
    pitch : tuple of float or float, optional
        Step from one box to the next, (dx, dy) or dx alone. By default the box
        width, that is boxes that touch.
    places : int, optional
        Number of boxes, hundreds first.
    boxes : list of tuple of float, optional
        x, y, width, height of every box, in place of the four keys above.
    frame : float, default=0
        Line width of the printed box frames; 0 where nothing is printed.
    guide_dots : bool, default=False
        Whether seven-segment guide dots are printed inside the boxes.

    Examples
    --------
    >>> from sktally.form import TallyField
    >>> field = TallyField(name="01", start=(600, 250), box=(50, 62), places=3, frame=2)
    >>> field.places, field.label
    (3, '')
    """

    name: Name
    label: str = ""
    start: Point | None = None
    box: Size | None = None
    pitch: Point | Finite | None = None
    places: Annotated[int, Field(ge=1, le=12)] | None = None
    boxes: Annotated[tuple[Rectangle, ...], Field(max_length=12)] = ()
    frame: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    guide_dots: bool = False

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> TallyField:
        short = (self.start, self.box, self.places)
        if self.boxes and any(v is not None for v in (*short, self.pitch)):
            raise ValueError("give either `boxes` or `start`/`box`/`places`, not both")
        if not self.boxes and any(v is None for v in short):
            missing = [
                key for key in ("start", "box", "places") if getattr(self, key) is None
            ]
            raise ValueError(f"missing {', '.join(missing)} (or explicit `boxes`)")
        return self

    @property
    def rectangles(self) -> tuple[Rectangle, ...]:
        """Boxes as x, y, width, height in form units, most significant first."""
        if self.boxes:
            return self.boxes
        assert self.start and self.box and self.places
        pitch = self.pitch if self.pitch is not None else self.box[0]
        dx, dy = pitch if isinstance(pitch, tuple) else (pitch, 0.0)
        return tuple(
            (self.start[0] + i * dx, self.start[1] + i * dy, *self.box)
            for i in range(self.places)
        )


class PrintedMark(FormPart):
    """Describe something printed on the blank form: drawn, never a pixel of a scan.

    Synthetic pages show it and registration by reference verifies against it.

    Parameters
    ----------
    kind : {"line", "rect", "fill", "circle", "text"}
        Line, outlined rectangle, filled rectangle, outlined circle, text.
    at : list of float
        line: x1, y1, x2, y2; rect and fill: x, y, width, height; circle: x, y,
        radius; text: x, y of its left baseline, and cap height.
    thickness : float, default=1
        Line width in form units.
    text : str, optional
        What a text mark says.
    repeat : list of tuple of float, optional
        ``[[count, dx, dy], ...]``: the mark is repeated count times in steps of
        dx, dy; two entries make a grid.

    Examples
    --------
    >>> from sktally.form import PrintedMark
    >>> lines = PrintedMark(kind="line", at=(80, 341, 770, 341), repeat=[(2, 0, 110)])
    >>> lines.places()
    [(80.0, 341.0, 770.0, 341.0), (80.0, 451.0, 770.0, 451.0)]
    """

    kind: Literal["line", "rect", "fill", "circle", "text"]
    at: tuple[Finite, ...]
    thickness: Positive = 1.0
    text: str = ""
    repeat: Annotated[
        tuple[tuple[Annotated[int, Field(ge=1, le=500)], Finite, Finite], ...],
        Field(max_length=2),
    ] = ()

    @model_validator(mode="after")
    def _numbers(self) -> PrintedMark:
        expected = {"line": 4, "rect": 4, "fill": 4, "circle": 3, "text": 3}[self.kind]
        if len(self.at) != expected:
            raise ValueError(
                f"`at` of a {self.kind} needs {expected} numbers, got {len(self.at)}"
            )
        return self

    def places(self) -> list[tuple[float, ...]]:
        """`at` of every repetition."""
        shifts = [(0.0, 0.0)]
        for count, dx, dy in self.repeat:
            shifts = [
                (sx + i * dx, sy + i * dy) for sx, sy in shifts for i in range(count)
            ]
        moved = (0, 1, 2, 3) if self.kind == "line" else (0, 1)
        return [
            tuple(
                value + (shift[i % 2] if i in moved else 0.0)
                for i, value in enumerate(self.at)
            )
            for shift in shifts
        ]


class TallyReference(FormPart):
    """Describe the learnt reference of a form that has no printed anchors in view.

    Parameters
    ----------
    file : str
        Safetensors file, relative to the form file: feature points and their
        descriptors and, in references that users learn from their own pages, the
        median page.

    Examples
    --------
    >>> from sktally import load_form
    >>> load_form("indonesia-2024").reference
    TallyReference(file='indonesia-2024.reference.safetensors')
    """

    file: str
