"""Find forms: those that ship with sktally by name, all others by path."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from sktally._bundled import bundled_files
from sktally._validate import is_there
from sktally.exceptions import FormError
from sktally.form._form import TallyForm

__all__ = ["list_forms", "load_form"]


def list_forms() -> list[str]:
    """Return the names of the forms that ship with sktally.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from sktally import list_forms
    >>> "example" in list_forms()
    True
    """
    return list(bundled_files("forms", ".toml"))


def load_form(form: str | Path | TallyForm) -> TallyForm:
    """Return a form by the name of a shipped form or the path of a form file.

    Parameters
    ----------
    form : str, path or TallyForm
        ``"indonesia-2024"``, ``"my_form.toml"``, or a form, which is returned.

    Returns
    -------
    TallyForm

    Raises
    ------
    FormError
        If there is no such form, or its file has mistakes.

    Examples
    --------
    >>> from sktally import load_form
    >>> load_form("example").field_names
    ('01', '02', '03', 'valid', 'invalid', 'total')
    """
    if isinstance(form, TallyForm):
        return form
    if not isinstance(form, str | PathLike):
        raise FormError(
            "form: expected the name of a shipped form, the path of a .toml file or a "
            f"TallyForm, got {form!r:.60} ({type(form).__name__})"
        )
    shipped = bundled_files("forms", ".toml")
    if str(form) in shipped:
        return TallyForm.from_toml(shipped[str(form)])
    path = Path(form)
    if path.suffix != ".toml" and not is_there(path):
        raise FormError(
            f"no form {str(form)!r}: shipped forms are {', '.join(shipped)}; for a "
            "form of your own give the path of its .toml file"
        )
    return TallyForm.from_toml(path)
