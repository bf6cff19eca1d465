"""Errors and warnings that sktally raises.

Every error is a `TallyError`, which is a `ValueError`: code that catches
`ValueError` around scikit-learn keeps working. Each message says which file or
argument, what was expected, what came, and what to do next.
"""

__all__ = [
    "FormError",
    "FormMismatchError",
    "ModelFormatError",
    "PageReadError",
    "RegistrationError",
    "StoreError",
    "TallyError",
    "TallyWarning",
]


class TallyError(ValueError):
    """Base class of all errors raised by sktally.

    Examples
    --------
    >>> from sktally import CellNormalizer, TallyError
    >>> try:
    ...     CellNormalizer(size=2).fit([[0]])
    ... except TallyError as error:
    ...     print(str(error).split(":")[0])
    size
    """


class FormError(TallyError):
    """A form description is invalid; every mistake in it is listed.

    Examples
    --------
    >>> from sktally import FormError, load_form
    >>> try:
    ...     load_form("exemple")
    ... except FormError as error:
    ...     print("example" in str(error))  # what there is
    True
    """


class PageReadError(TallyError):
    """A scan cannot be opened or decoded as a single page.

    Examples
    --------
    >>> from sktally import PageReadError, read_page
    >>> try:
    ...     read_page("nowhere.jpg")
    ... except PageReadError as error:
    ...     print(str(error).split(":")[0])
    nowhere.jpg
    """


class RegistrationError(TallyError):
    """A page was decoded but the form could not be located on it.

    Attributes
    ----------
    anchors : tuple of AnchorHit
        What was found of the form's anchors, for pictures; may be empty.

    Examples
    --------
    >>> import numpy as np
    >>> from sktally import RegistrationError, register_page
    >>> try:
    ...     register_page(np.full((1100, 850), 255, np.uint8), "example")
    ... except RegistrationError as error:
    ...     print(len(error.anchors), any(hit.found for hit in error.anchors))
    4 False
    """

    anchors: tuple = ()


class FormMismatchError(RegistrationError):
    """A page was decoded but looks like a page of another form.

    Examples
    --------
    >>> from sktally import FormMismatchError, make_tally_pages, register_page
    >>> page = make_tally_pages(1, degrade="none", random_state=0).pages[0]
    >>> page[100:1000, 70:780] = 255  # only the marks are left
    >>> try:
    ...     register_page(page, "example")
    ... except FormMismatchError:
    ...     print("another form")
    another form
    """


class ModelFormatError(TallyError):
    """A model file is damaged, of an unknown format, or not what was asked for.

    Examples
    --------
    >>> from sktally import ModelFormatError, load_model
    >>> try:
    ...     load_model("nowhere.json")
    ... except ModelFormatError as error:
    ...     print("nowhere.json" in str(error))
    True
    """


class StoreError(TallyError):
    """A result store cannot be opened, read or written, or is none.

    Examples
    --------
    >>> from sktally import StoreError
    >>> from sktally.tables import Store
    >>> try:
    ...     Store("nowhere.sqlite")
    ... except StoreError as error:
    ...     print("nowhere.sqlite" in str(error))
    True
    """


class TallyWarning(UserWarning):
    """Base class of all warnings issued by sktally.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from sktally import TallyCropper, TallyWarning
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always", TallyWarning)
    ...     blank = np.full((1, 1100, 850), 255, np.uint8)
    ...     cells = TallyCropper("example").fit().transform(list(blank))
    >>> told[0].category.__name__, int(cells.max())  # not read, so absent
    ('TallyWarning', 0)
    """
