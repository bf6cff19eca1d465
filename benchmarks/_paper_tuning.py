"""Networks fine-tuned on some pages of tallies and asked about others.

Comes in: pages to fit on and to read. Goes out: probabilities of their digits, or
their counts. Each call is one fit of a fold, to be run in a process of its own.
"""

from __future__ import annotations

from copy import copy
from pathlib import Path

import numpy as np
import torch
from _paper_networks import MeanClassifier, network
from _paper_study import DIGITS
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from sktally import CNNClassifier, VoteCountAggregator
from sktally.votes import CLASSES

#: Fine-tuning on tallies, as in indonesia_2024.py.
TUNING = {
    "augment": "tally",
    "schedule": "one-cycle",
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
}


def fine_tuned(d, pages, pretrained: str, freeze: int, epochs: int, seed: int):
    """Fit on some pages' digits, say what those of others are; one thread."""
    torch.set_num_threads(1)
    fit, read = (np.isin(d.at[:, 0], part) for part in pages)
    how = {"pretrained": pretrained, "freeze_layers": freeze, "max_epochs": epochs}
    if Path(pretrained).name.startswith("mnist_"):
        model = network("tuned", "ours", epochs=epochs, seed=seed)
    else:
        model = CNNClassifier(batch_norm=True, classes=[*DIGITS], random_state=seed)
    model.set_params(**TUNING, **how).fit(d.cells[fit], d.labels[fit])
    proba = np.zeros((len(d.labels), len(DIGITS)))
    proba[read] = model.predict_proba(d.cells[read])
    return proba


def count_reader(views, epochs: int, seed: int) -> VoteCountAggregator:
    """Return a reader of cells that starts from models that saw no real tally.

    A view is a CellNormalizer and the path or name of its base; one network for each,
    and the mean of all.
    """
    networks = [
        make_pipeline(
            view,
            CNNClassifier(
                **TUNING,
                classes=[*CLASSES],
                batch_norm=True,
                pretrained=base,
                max_epochs=epochs,
                random_state=seed + i,
            ),
        )
        for i, (view, base) in enumerate(views)
    ]
    return VoteCountAggregator(MeanClassifier(networks))


def read_fold(tallies, fit, test, views, epochs, seed):
    """Fit a reader on some pages and read the others; one thread.

    Returned is what the first network of each view reads, what the mean of all does,
    and what it does with heed to places.
    """
    torch.set_num_threads(1)
    reader = count_reader(views, epochs, seed)
    reader.fit(tallies.cells[fit], tallies.boxes[fit])
    alone = reader.classifier_.estimators_[:2]
    readers = [*(VoteCountAggregator(FrozenEstimator(one)) for one in alone), reader]
    readers.append(copy(reader).set_params(place_prior=True))
    read = [one.predict_tallies(tallies.cells[test]) for one in readers]
    return test, [(one.boxes, one.counts) for one in read]
