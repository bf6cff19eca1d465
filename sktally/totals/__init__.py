"""Counts of sheets come in; totals, shares and estimates with their error go out."""

from sktally.totals._doubt import count_error, expected_errors
from sktally.totals._forecast import ExpectedSheets
from sktally.totals._review import ReviewPlan, review_order
from sktally.totals._risk import TranscriptionRiskPlan

__all__ = [
    "ExpectedSheets",
    "ReviewPlan",
    "TranscriptionRiskPlan",
    "count_error",
    "expected_errors",
    "review_order",
]
