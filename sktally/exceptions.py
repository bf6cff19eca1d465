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
    """Base class of all errors raised by sktally."""


class FormError(TallyError):
    """A form description is invalid; every mistake in it is listed."""


class PageReadError(TallyError):
    """A scan cannot be opened or decoded as a single page."""


class RegistrationError(TallyError):
    """A page was decoded but the form could not be located on it.

    Attributes
    ----------
    anchors : tuple of AnchorHit
        What was found of the form's anchors, for pictures; may be empty.
    """

    anchors: tuple = ()


class FormMismatchError(RegistrationError):
    """A page was decoded but looks like a page of another form."""


class ModelFormatError(TallyError):
    """A model file is damaged, of an unknown format, or not what was asked for."""


class StoreError(TallyError):
    """A result store cannot be opened, read or written, or is none."""


class TallyWarning(UserWarning):
    """Base class of all warnings issued by sktally."""
