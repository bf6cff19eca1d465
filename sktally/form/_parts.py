"""Parts of a form description: anchors, fields with their boxes, printed marks."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

__all__ = [
    "Anchor",
    "Page",
    "PrintedMark",
    "TallyBubbles",
    "TallyField",
    "TallyReference",
]

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


class TallyBubbles(FormPart):
    """Describe the bubbles of a field: ten a box, of which the clerk fills one.

    They say the count a second time, and far more plainly than handwriting does.

    Parameters
    ----------
    start : tuple of float
        x, y of the centre of the first bubble of the first box, in form units.
    step : tuple of float or float
        From one bubble of a box to the next, (dx, dy) or dy alone. From one box to
        the next, bubbles are as far apart as the boxes.
    radius : float
        Of a bubble, to the middle of its printed line.
    digits : str, default="0123456789"
        What the bubbles of a box stand for, in order.

    Examples
    --------
    >>> from sktally.form import TallyBubbles
    >>> bubbles = TallyBubbles(start=(640, 140), step=24, radius=9)
    >>> bubbles.centers([(620, 70, 40, 45)])[0][:2]
    [(640.0, 140.0), (640.0, 164.0)]
    """

    start: Point
    step: Point | Finite
    radius: Positive
    digits: str = "0123456789"

    @model_validator(mode="after")
    def _ten_apart(self) -> TallyBubbles:
        if sorted(self.digits) != list("0123456789"):
            raise ValueError(
                f"digits {self.digits!r} should hold each of 0123456789 once"
            )
        if hypot(*self._stride) < 2 * self.radius:
            raise ValueError(
                f"with step {self.step} they overlap, as radius is "
                f"{self.radius:g}; measure both between centres"
            )
        return self

    @property
    def _stride(self) -> Point:
        return self.step if isinstance(self.step, tuple) else (0.0, self.step)

    def centers(self, rectangles: Sequence[Rectangle]) -> list[list[Point]]:
        """Return the centre of the bubble of each digit, 0 to 9, of each box."""
        (x, y), (dx, dy) = self.start, self._stride
        left, top = rectangles[0][:2]
        order = [self.digits.index(digit) for digit in "0123456789"]
        return [
            [(x + bx - left + i * dx, y + by - top + i * dy) for i in order]
            for bx, by, *_ in rectangles
        ]


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
    bubbles : TallyBubbles, optional
        Bubbles that say the count once more.
    largest : int, optional
        What no count can exceed, by law or by the ballots of a station. Tables and
        stores keep a larger one as it was read, with the status "ambiguous".

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
    bubbles: TallyBubbles | None = None
    largest: Annotated[int, Field(ge=0)] | None = None

    @model_serializer(mode="wrap")
    def _only_what_is_there(self, as_dict: SerializerFunctionWrapHandler) -> Any:
        # so that forms written before there were these keep their fingerprint
        content = as_dict(self)
        for key in ("bubbles", "largest"):
            if content.get(key, 0) is None:
                del content[key]
        return content

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
