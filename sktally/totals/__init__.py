"""Counts of sheets come in; totals, shares and estimates with their error go out."""

from sktally.totals._audit import AuditDraw
from sktally.totals._draw import draw_audit
from sktally.totals._estimate import estimate
from sktally.totals._ppi import ppi_regression
from sktally.totals._quantities import Quantity, difference, share, total, turnout
from sktally.totals._readings import audit_readings
from sktally.totals._size import audit_size

__all__ = [
    "AuditDraw",
    "Quantity",
    "audit_readings",
    "audit_size",
    "difference",
    "draw_audit",
    "estimate",
    "ppi_regression",
    "share",
    "total",
    "turnout",
]
