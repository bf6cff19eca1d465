"""Counts of sheets come in; totals, shares and estimates with their error go out."""

from sktally.totals._audit import AuditDraw
from sktally.totals._draw import draw_audit
from sktally.totals._estimate import estimate
from sktally.totals._quantities import Quantity, difference, share, total, turnout

__all__ = [
    "AuditDraw",
    "Quantity",
    "difference",
    "draw_audit",
    "estimate",
    "share",
    "total",
    "turnout",
]
