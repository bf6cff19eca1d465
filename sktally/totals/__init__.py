"""Counts of sheets come in; totals, shares and estimates with their error go out."""

from sktally.totals._compare import compare_shares, compare_tallies
from sktally.totals._draws import draw_counts
from sktally.totals._per_tally import TallyComparison
from sktally.totals._plots import PerTallyDisplay, VoteShareDisplay
from sktally.totals._proba import SheetProba, store_proba
from sktally.totals._ranking import Ranking, ranking
from sktally.totals._result import VoteTotals
from sktally.totals._shares import vote_totals

__all__ = [
    "PerTallyDisplay",
    "Ranking",
    "SheetProba",
    "TallyComparison",
    "VoteShareDisplay",
    "VoteTotals",
    "compare_shares",
    "compare_tallies",
    "draw_counts",
    "ranking",
    "store_proba",
    "vote_totals",
]
