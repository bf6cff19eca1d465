"""Cells with their digit probabilities come in; counts with confidence go out."""

from sktally.votes._aggregate import VoteCountAggregator
from sktally.votes._confidence import (
    HIGH_QUALITY,
    count_confidence,
    place_weights,
    tally_quality,
)
from sktally.votes._decode import (
    BLANK_RIGHT,
    CLASSES,
    boxes_to_counts,
    counts_to_label_sets,
    labels_to_boxes,
    labels_to_counts,
)
from sktally.votes._intervals import AccuracyInterval, accuracy_interval
from sktally.votes._metrics import (
    count_accuracy,
    count_accuracy_score,
    digit_accuracy,
    digit_accuracy_score,
    page_accuracy,
    page_accuracy_score,
)
from sktally.votes._result import TallyPrediction
from sktally.votes._targets import target_counts

__all__ = [
    "BLANK_RIGHT",
    "CLASSES",
    "HIGH_QUALITY",
    "AccuracyInterval",
    "TallyPrediction",
    "VoteCountAggregator",
    "accuracy_interval",
    "boxes_to_counts",
    "count_accuracy",
    "count_accuracy_score",
    "count_confidence",
    "counts_to_label_sets",
    "digit_accuracy",
    "digit_accuracy_score",
    "labels_to_boxes",
    "labels_to_counts",
    "page_accuracy",
    "page_accuracy_score",
    "place_weights",
    "tally_quality",
    "target_counts",
]
