"""Keep what is made of a form as long as the form is: pages come by the thousand."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from sktally.form._form import TallyForm

__all__ = ["kept"]

# Answers to so many questions about one form: some ask by the size of a page, of which
# there may be as many as pages.
_MOST = 64
_UNKNOWN: Any = object()

_P = ParamSpec("_P")
_R = TypeVar("_R")


def kept(
    make: Callable[Concatenate[TallyForm, _P], _R],
) -> Callable[Concatenate[TallyForm, _P], _R]:
    """Make what depends on a form, and on what else it is asked with, once.

    Forms never change. They are told apart as objects: to compare the fields of two,
    or to hash them, takes longer than most of what is kept.
    """
    made: dict[int, tuple[weakref.ref, dict[tuple, Any]]] = {}

    @wraps(make)
    def get(form: TallyForm, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        known = made.get(id(form))
        if known is None or known[0]() is not form:
            key = id(form)
            known = weakref.ref(form, lambda _: made.pop(key, None)), {}
            made[key] = known
        asked = (args, *kwargs.items())
        answer = known[1].get(asked, _UNKNOWN)  # another thread may clear it
        if answer is _UNKNOWN:
            answer = make(form, *args, **kwargs)
            if len(known[1]) >= _MOST:
                known[1].clear()
            known[1][asked] = answer
        return answer

    return get
