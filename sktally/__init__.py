"""Read handwritten vote counts off scanned tally sheets, as scikit-learn estimators.

Scans of tally sheets go in; a table of vote counts with honest confidence comes
out. The subpackages follow the data: `pages`, `cells`, `digits`, `votes`,
`tables`, `totals`; `inspection` and `report` show what became of them. Public names
are loaded when first used, so that ``import sktally`` and ``sktally --help`` stay
quick.
"""

import importlib

__version__ = "0.1.0.dev0"

_EXPORTS = {
    "sktally.cells": ["CellNormalizer", "TallyCropper"],
    "sktally.datasets": [
        "embed_digits",
        "load_mnist",
        "make_digit_cells",
        "make_tally_pages",
    ],
    "sktally.digits": [
        "CNNClassifier",
        "domain_cv",
        "paper_param_grid",
        "search_results",
        "select_queries",
        "train_validation_test_target_split",
    ],
    "sktally.exceptions": [
        "FormError",
        "FormMismatchError",
        "ModelFormatError",
        "PageReadError",
        "RegistrationError",
        "StoreError",
        "TallyError",
        "TallyWarning",
    ],
    "sktally.form": ["TallyForm", "list_forms", "load_form"],
    "sktally.inspection": [
        "CellsDisplay",
        "ConfusionCropsDisplay",
        "MisreadDisplay",
        "ReadRateDisplay",
        "RegistrationDisplay",
        "ReliabilityDisplay",
        "TrainingDisplay",
    ],
    "sktally.pages": ["learn_form", "list_pages", "read_page", "register_page"],
    "sktally.persist": ["load_model", "load_reader", "save_model"],
    "sktally.report": ["write_report"],
    "sktally.tables": ["read_tallies", "read_to_store"],
    "sktally.totals": [
        "TranscriptionRiskPlan",
        "draw_audit",
        "estimate",
        "review_order",
        "vote_totals",
    ],
    "sktally.votes": [
        "ReadingContract",
        "ShiftMonitor",
        "VoteCountAggregator",
        "count_accuracy",
        "digit_accuracy",
        "page_accuracy",
    ],
}
_HOME = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'sktally' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
