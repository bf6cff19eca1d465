"""A store comes in; one HTML file that shows what was read goes out."""

from sktally.report._write import write_report

__all__ = ["write_report"]
