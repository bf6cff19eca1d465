"""What `set_output` says of transformers that return images."""

from __future__ import annotations

from typing import Any, Self

from sktally.exceptions import TallyError

__all__ = ["ImageOutputMixin"]


class ImageOutputMixin:
    """Refuse tables of cells by name, as no data frame holds images."""

    def set_output(self, *, transform: Any = None) -> Self:
        """Keep arrays as what `transform` returns, the only thing that holds images.

        Parameters
        ----------
        transform : {"default", None}
            Anything else is refused.

        Returns
        -------
        self : estimator
            This estimator, as it was.

        Raises
        ------
        TallyError
            If a data frame is asked for.
        """
        if transform not in (None, "default"):
            raise TallyError(
                f"transform: expected 'default', got {transform!r}: "
                f"{type(self).__name__} returns images, which no data frame holds. "
                f"For a table with a row for each page and field call "
                f"sktally.read_tallies(reader, pages)"
            )
        return self
