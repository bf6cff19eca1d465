"""Pictures of what was read: pages, cells, networks, counts and totals.

All of it follows scikit-learn's displays: a class method draws from an estimator or
from what it predicted, `plot` draws again elsewhere, ``ax_`` and ``figure_`` hold what
was drawn. matplotlib is imported when something is drawn, and not before.
"""

from sktally.inspection._feature_maps import FeatureMapsDisplay
from sktally.inspection._filters import FiltersDisplay
from sktally.inspection._saliency import saliency
from sktally.inspection._saliency_display import SaliencyDisplay
from sktally.inspection._stress import stress_curves
from sktally.inspection._stress_display import StressDisplay

__all__ = [
    "FeatureMapsDisplay",
    "FiltersDisplay",
    "SaliencyDisplay",
    "StressDisplay",
    "saliency",
    "stress_curves",
]
