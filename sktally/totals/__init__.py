"""Counts of sheets come in; totals, shares and estimates with their error go out."""

from sktally.totals._forecast import ExpectedSheets
from sktally.totals._risk import TranscriptionRiskPlan

__all__ = ["ExpectedSheets", "TranscriptionRiskPlan"]
