"""Readings of indonesia-2024 by networks that never saw the page, kept in a file.

Comes in: tallies as `_tallies.py` cuts them. Goes out: five-fold by page, what a reader
says of every page that was fitted on the other folds, as the part `twelve` of paper.py
fits one: a network, or with --ensemble the mean of four, two of each view. Which class
stands where is heeded (`place_prior`): on pages 1-250 the log loss of counts was less.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from _paper_networks import framed_base, load_source
from _paper_study import FRAMED
from _paper_tuning import count_reader
from _tallies import load_tallies
from joblib import Parallel, delayed
from sklearn.model_selection import KFold
from sklearn.utils import Bunch

from sktally import CellNormalizer
from sktally.votes._result import fold_cells

_READ = ("counts", "boxes", "confidence", "digit_proba")


def read_out_of_fold(args, folder: Path | None, n_pages: int, epochs: int) -> Bunch:
    """Return `counts`, `boxes`, `confidence` and `digit_proba` as read, by page.

    Beside them `truth` and `true_boxes`, the `number` of each page and its `fold`, the
    `fits` of its frames, its `bubbles` (not heeded), and the `ink` of each cell, its
    mean. What the file --cache
    holds is read, whatever it was made from; else it is written there.
    """
    if args.cache is not None and args.cache.exists():
        with np.load(args.cache, allow_pickle=False) as kept:
            return Bunch(**{name: kept[name] for name in kept.files})
    started = time.perf_counter()
    tallies = load_tallies(folder, n_pages, args.seed)
    n, views = len(tallies.names), [(CellNormalizer(), "handwriting")]
    if args.ensemble:
        source = load_source(folder and args.data, args.seed, None if folder else 600)
        how = {"quick": folder is None, "seed": args.seed}
        views += [(FRAMED, framed_base(source, FRAMED, args.out, **how))]
        views *= 2
    splits = list(KFold(5, shuffle=True, random_state=args.seed).split(tallies.names))
    reads = Parallel(n_jobs=args.n_jobs)(
        delayed(_read_fold)(tallies, *pages, views, epochs, args.seed + 100 * number)
        for number, pages in enumerate(splits)
    )
    tests = [test for _, test in splits]
    order = np.argsort(np.concatenate(tests))
    fold = np.repeat(np.arange(5), [len(test) for test in tests])[order]
    found = Bunch(
        truth=tallies.counts,
        true_boxes=np.where(tallies.counts < 0, "", tallies.boxes).astype(str),
        number=np.array([int(str(name).split("_")[-1]) for name in tallies.names]),
        fold=fold,
        fits=tallies.fits,
        bubbles=tallies.bubbles,
        ink=CellNormalizer().fit_transform(tallies.cells).mean(axis=(3, 4)),
    )
    for name in _READ:
        found[name] = np.concatenate([getattr(read, name) for read in reads])[order]
    found.boxes = found.boxes.astype(str)
    seconds = time.perf_counter() - started
    print(
        f"({n} pages read, networks a fold: {len(views)} of {epochs} epochs; "
        f"{seconds:.0f} s)"
    )
    if args.cache is not None:
        np.savez_compressed(args.cache, **found)
    return found


def heeding_bubbles(read: Bunch) -> Bunch:
    """Return the same readings as they are when bubbles are heeded."""
    present = np.isfinite(read.digit_proba).all(axis=-1)
    proba = read.digit_proba[present]
    found = fold_cells(
        proba.argmax(axis=1).astype(np.int8),
        proba,
        present,
        blank_right="missing",
        high_quality=0.9,
        bubbles=read.bubbles,
    )
    heeded = {name: getattr(found, name) for name in _READ}
    return Bunch(**{**read, **heeded, "boxes": found.boxes.astype(str)})


def _read_fold(tallies, fit, test, views, epochs: int, seed: int):
    """Fit a reader on some pages and read the others; one thread."""
    torch.set_num_threads(1)
    reader = count_reader(views, epochs, seed)
    reader.fit(tallies.cells[fit], tallies.boxes[fit]).set_params(place_prior=True)
    return reader.predict_tallies(tallies.cells[test])
