"""Check a form against pages: one picture and one line for each.

Comes in: a form and pages. Goes out: overlay pictures in a folder of the user's
choice, and a report that says where each form lies or why it was not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sktally.exceptions import PageReadError, TallyError
from sktally.form import TallyForm, load_form
from sktally.pages._overlay import ADVICE, draw_registration, write_picture
from sktally.pages._read import read_page, split_name
from sktally.pages._register import register_page
from sktally.pages._registration import MISFIT, Registration

__all__ = ["PageCheck", "check_form", "picture_name"]


@dataclass(frozen=True)
class PageCheck:
    """Record how a form was found on one page.

    Attributes
    ----------
    page : str
        Name of the page.
    registration : Registration or None
        Where the form lies; None where it was not found.
    error : TallyError or None
        Why it was not found.
    picture : Path or None
        The overlay; None where the file could not be read at all.
    fields : tuple of str
        Names of the fields of the form.
    """

    page: str
    registration: Registration | None
    error: TallyError | None
    picture: Path | None
    fields: tuple[str, ...] = ()

    @property
    def located(self) -> bool:
        """Whether the form was found.

        Examples
        --------
        >>> from sktally.pages import PageCheck
        >>> PageCheck("scan.png", None, ValueError("0 of 4 anchors"), None).located
        False
        """
        return self.registration is not None

    @property
    def line(self) -> str:
        """One line for people."""
        found = self.registration
        if found is None:
            why = ADVICE.sub("Look at its picture", str(self.error))
            return f"{self.page}: NOT LOCATED. {why}"
        text = f"{self.page}: score {found.score:.2f}, by {found.method}"
        if np.isfinite(found.residual):
            text += f", residual {found.residual:.2f} form units"
        if found.turn:
            text += f", lies turned by {found.turn} degrees"
        marks = ", ".join(
            f"{hit.name} {hit.score:.2f}{'' if hit.found else ' (not used)'}"
            for hit in found.anchors
        )
        return text + (f"; anchors: {marks}" if marks else "") + self._worst_field()

    def _worst_field(self) -> str:
        """Say whose frames fit least: what a form that is off by a box shows first."""
        assert self.registration is not None
        scores = self.registration.field_scores
        if not np.isfinite(scores).any():
            return ""
        worst = int(np.nanargmin(scores))
        text = f"; frames fit least in {self.fields[worst]!r}, {scores[worst]:.2f}"
        return text + (" (a misfit)" if scores[worst] < MISFIT else "")


def check_form(
    form: TallyForm | str | Path, pages: Sequence[str | Path], out: str | Path
) -> list[PageCheck]:
    """Look for a form on pages and draw what was found.

    Parameters
    ----------
    form : TallyForm, str or path
        The form, the name of a shipped one, or a form file.
    pages : sequence of str or path
        Pages as `list_pages` names them.
    out : str or path
        Folder for the PNG pictures; made if missing.

    Returns
    -------
    list of PageCheck
        In the order of `pages`.

    Raises
    ------
    TallyError
        If the folder cannot be made or holds the pages themselves.

    Examples
    --------
    >>> import tempfile, pathlib, cv2
    >>> from sktally.datasets import make_tally_pages
    >>> from sktally.pages import check_form
    >>> made = make_tally_pages(1, form="example", random_state=0)
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> scan = folder / "scan.png"
    >>> _ = cv2.imwrite(str(scan), made.pages[0])
    >>> check_form(made.form, [scan], folder / "checked")[0].located
    True
    """
    form = load_form(form)
    folder = Path(out)
    if folder.resolve() in {split_name(page)[0].resolve().parent for page in pages}:
        raise TallyError(
            f"{folder}: the pages lie in this folder, and sktally never writes beside "
            "its input; choose another one"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TallyError(f"{folder}: cannot be made ({error.strerror})") from None
    return [_check_page(form, str(page), folder, i) for i, page in enumerate(pages)]


def _check_page(form: TallyForm, name: str, folder: Path, number: int) -> PageCheck:
    try:
        page = read_page(name)
    except PageReadError as error:
        return PageCheck(name, None, error, None)
    try:
        found, why = register_page(page, form), None
    except TallyError as error:
        found, why = None, error
    picture = folder / picture_name(name, number)
    drawn = draw_registration(page, form, found, error=why)
    write_picture(drawn, picture)
    return PageCheck(name, found, why, picture, tuple(form.field_names))


def picture_name(page: str, number: int) -> str:
    """Return a file name for the picture of a page: unique, safe, recognisable."""
    stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(page).name)
    return f"{number + 1:04d}_{stem[-80:]}.png"
