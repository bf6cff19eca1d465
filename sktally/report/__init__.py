"""A store comes in; one HTML file that shows what was read goes out."""

__all__: list[str] = []
