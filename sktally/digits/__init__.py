"""Tell which digit a cell shows: cells in, class probabilities out.

`CNNClassifier` is a scikit-learn classifier for small images; it takes cells
``(n_samples, height, width)``, colour images ``(n_samples, height, width, 3)`` or
flat rows. Around it stand the four sets of a study
(`train_validation_test_target_split`), a search of its settings (`paper_param_grid`,
`search_results`), scoring on another domain (`domain_cv`), and the choice of the cells
that a person should label next (`select_queries`). Importing this subpackage imports
torch.
"""

from sktally.digits._augment import PRESETS as AUGMENT_PRESETS
from sktally.digits._augment import Augmentation, augment_cells
from sktally.digits._classifier import CNNClassifier
from sktally.digits._network import DigitNetwork
from sktally.digits._preview import plot_augmentation
from sktally.digits._queries import select_queries
from sktally.digits._search import paper_param_grid, search_results
from sktally.digits._sets import domain_cv, train_validation_test_target_split

__all__ = [
    "AUGMENT_PRESETS",
    "Augmentation",
    "CNNClassifier",
    "DigitNetwork",
    "augment_cells",
    "domain_cv",
    "paper_param_grid",
    "plot_augmentation",
    "search_results",
    "select_queries",
    "train_validation_test_target_split",
]
