"""Counts of sheets come in; totals, shares and estimates with their error go out."""

from sktally.totals._audit import AuditDraw
from sktally.totals._audit_readings import audit_readings
from sktally.totals._compare import compare_shares, compare_tallies
from sktally.totals._doubt import count_error, expected_errors
from sktally.totals._draw import draw_audit
from sktally.totals._draws import draw_counts
from sktally.totals._estimate import estimate
from sktally.totals._forecast import ExpectedSheets
from sktally.totals._per_tally import TallyComparison
from sktally.totals._ppi import ppi_regression
from sktally.totals._proba import SheetProba, store_proba
from sktally.totals._quantities import Quantity, difference, share, total, turnout
from sktally.totals._ranking import Ranking, ranking
from sktally.totals._result import VoteTotals
from sktally.totals._review import ReviewPlan, review_order
from sktally.totals._risk import TranscriptionRiskPlan
from sktally.totals._shares import vote_totals
from sktally.totals._size import audit_size

__all__ = [
    "AuditDraw",
    "ExpectedSheets",
    "Quantity",
    "Ranking",
    "ReviewPlan",
    "SheetProba",
    "TallyComparison",
    "TranscriptionRiskPlan",
    "VoteTotals",
    "audit_readings",
    "audit_size",
    "compare_shares",
    "compare_tallies",
    "count_error",
    "difference",
    "draw_audit",
    "draw_counts",
    "estimate",
    "expected_errors",
    "ppi_regression",
    "ranking",
    "review_order",
    "share",
    "store_proba",
    "total",
    "turnout",
    "vote_totals",
]
