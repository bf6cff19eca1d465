"""Counts of sheets come in; totals, shares and estimates with their error go out."""

from sktally.totals._compare import compare_shares, compare_tallies
from sktally.totals._doubt import count_error, expected_errors
from sktally.totals._draws import draw_counts
from sktally.totals._forecast import ExpectedSheets
from sktally.totals._per_tally import TallyComparison
from sktally.totals._plots import PerTallyDisplay, VoteShareDisplay
from sktally.totals._proba import SheetProba, store_proba
from sktally.totals._ranking import Ranking, ranking
from sktally.totals._result import VoteTotals
from sktally.totals._review import ReviewPlan, review_order
from sktally.totals._risk import TranscriptionRiskPlan
from sktally.totals._shares import vote_totals

__all__ = [
    "ExpectedSheets",
    "PerTallyDisplay",
    "Ranking",
    "ReviewPlan",
    "SheetProba",
    "TallyComparison",
    "TranscriptionRiskPlan",
    "VoteShareDisplay",
    "VoteTotals",
    "compare_shares",
    "compare_tallies",
    "count_error",
    "draw_counts",
    "expected_errors",
    "ranking",
    "review_order",
    "store_proba",
    "vote_totals",
]
