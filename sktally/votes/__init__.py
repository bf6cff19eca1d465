"""Cells with their digit probabilities come in; counts with confidence go out."""

from sktally.votes._aggregate import VoteCountAggregator
from sktally.votes._calibrate import DigitCalibrator
from sktally.votes._calibration_metrics import (
    calibration_difference,
    calibration_scores,
    reliability_curve,
)
from sktally.votes._confidence import (
    HIGH_QUALITY,
    count_confidence,
    place_weights,
    tally_quality,
)
from sktally.votes._contract import ReadingContract
from sktally.votes._count_proba import count_proba
from sktally.votes._decode import (
    BLANK_RIGHT,
    CLASSES,
    boxes_to_counts,
    counts_to_label_sets,
    labels_to_boxes,
    labels_to_counts,
)
from sktally.votes._error_bound import contract_size
from sktally.votes._intervals import AccuracyInterval, accuracy_interval
from sktally.votes._joint import JointReading, read_jointly
from sktally.votes._metrics import (
    count_accuracy,
    count_accuracy_score,
    digit_accuracy,
    digit_accuracy_score,
    page_accuracy,
    page_accuracy_score,
)
from sktally.votes._monitor import Shift, ShiftMonitor
from sktally.votes._posterior import CountPosterior, count_posterior
from sktally.votes._reconcile import ReconciledTallies, reconcile_tallies
from sktally.votes._result import TallyPrediction
from sktally.votes._slips import SLIP_TYPES, SumSlips, fit_slips, slip_type
from sktally.votes._targets import target_counts

__all__ = [
    "BLANK_RIGHT",
    "CLASSES",
    "HIGH_QUALITY",
    "SLIP_TYPES",
    "AccuracyInterval",
    "CountPosterior",
    "DigitCalibrator",
    "JointReading",
    "ReadingContract",
    "ReconciledTallies",
    "Shift",
    "ShiftMonitor",
    "SumSlips",
    "TallyPrediction",
    "VoteCountAggregator",
    "accuracy_interval",
    "boxes_to_counts",
    "calibration_difference",
    "calibration_scores",
    "contract_size",
    "count_accuracy",
    "count_accuracy_score",
    "count_confidence",
    "count_posterior",
    "count_proba",
    "counts_to_label_sets",
    "digit_accuracy",
    "digit_accuracy_score",
    "fit_slips",
    "labels_to_boxes",
    "labels_to_counts",
    "page_accuracy",
    "page_accuracy_score",
    "place_weights",
    "read_jointly",
    "reconcile_tallies",
    "reliability_curve",
    "slip_type",
    "tally_quality",
    "target_counts",
]
