"""Describe a form: what is printed where, as data and not as code.

A `TallyForm` says how large the page is, which printed anchors locate it, where
the boxes of each field are, and which fields should add up. It is written by
hand in TOML (`TallyForm.from_toml`), and every mistake in the file is reported
at once with its place. All lengths are in *form units*: any unit the author
measured in (pixels of a clean scan, millimetres), x to the right, y downwards,
from the top left corner of the page.
"""

from sktally.form._form import TallyForm
from sktally.form._parts import (
    Anchor,
    PrintedMark,
    TallyBubbles,
    TallyField,
    TallyReference,
)
from sktally.form._shipped import list_forms, load_form

__all__ = [
    "Anchor",
    "PrintedMark",
    "TallyBubbles",
    "TallyField",
    "TallyForm",
    "TallyReference",
    "list_forms",
    "load_form",
]
