"""Pictures of what was read: pages, cells, networks, counts and totals.

All of it follows scikit-learn's displays: a class method draws from an estimator or
from what it predicted, `plot` draws again elsewhere, ``ax_`` and ``figure_`` hold what
was drawn. matplotlib is imported when something is drawn, and not before.
"""

from sktally.inspection._confusion import ConfusionCropsDisplay
from sktally.inspection._contact_sheet import CellsDisplay
from sktally.inspection._misread import MisreadDisplay
from sktally.inspection._read_cells import ReadCells
from sktally.inspection._read_rate import ReadRateDisplay
from sktally.inspection._registration import RegistrationDisplay
from sktally.inspection._reliability import ReliabilityDisplay
from sktally.inspection._totals import PerTallyDisplay, VoteShareDisplay
from sktally.inspection._training import TrainingDisplay

__all__ = [
    "CellsDisplay",
    "ConfusionCropsDisplay",
    "MisreadDisplay",
    "PerTallyDisplay",
    "ReadCells",
    "ReadRateDisplay",
    "RegistrationDisplay",
    "ReliabilityDisplay",
    "TrainingDisplay",
    "VoteShareDisplay",
]
