"""Counts of sheets come in; totals, shares and estimates with their error go out."""

__all__: list[str] = []
