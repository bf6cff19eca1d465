"""From a file to a registered page: decode it, then say where the form lies.

`read_page` opens one scan as a grey page and `list_pages` names every page of
files and folders. `register_page` locates a form on a page, by its printed
anchors or by a reference learnt from filled pages, and refuses pages on which it
is not found: `RegistrationError` and `FormMismatchError` say why.
"""

from sktally.pages._check import PageCheck, check_form
from sktally.pages._learn import learn_form
from sktally.pages._list import list_pages
from sktally.pages._overlay import draw_registration, write_picture
from sktally.pages._read import read_page, read_reduced
from sktally.pages._register import register_page
from sktally.pages._registration import AnchorHit, Registration

__all__ = [
    "AnchorHit",
    "PageCheck",
    "Registration",
    "check_form",
    "draw_registration",
    "learn_form",
    "list_pages",
    "read_page",
    "read_reduced",
    "register_page",
    "write_picture",
]
