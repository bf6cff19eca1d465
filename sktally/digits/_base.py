"""What a classifier of cells does with its settings: fit, predict, travel."""

from __future__ import annotations

from copy import copy, deepcopy

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sktally.digits import _input
from sktally.digits._balance import balance, check_sample_weight
from sktally.digits._build import check_unchanged, describe_network, new_network
from sktally.digits._callbacks import Freezing
from sktally.digits._fit import (
    check_batches,
    check_freeze,
    check_settings,
    choose_device,
    make_net,
)
from sktally.digits._layers import freeze
from sktally.digits._seed import seeded
from sktally.digits._sources import load_source, weights_of
from sktally.digits._split import training_rows
from sktally.digits._state import joined, rebuild, restore, state_of
from sktally.digits._teacher import make_teacher
from sktally.digits._transfer import transfer
from sktally.exceptions import TallyError

__all__ = ["CellClassifier"]


class CellClassifier(ClassifierMixin, BaseEstimator):
    """All of `CNNClassifier` but its constructor."""

    def fit(
        self,
        X,
        y,
        *,
        sample_weight=None,
        groups=None,
        freeze_layers=None,
        label_sets=None,
        validation_split=None,
        teacher=None,
        teacher_share=0.9,
    ):
        """Train the network.

        Parameters
        ----------
        X : array-like ``(n_samples, height, width)``, ``(n_samples, height, width, \
3)`` or ``(n_samples, n_pixels)``
            Cells in any range of pixels; uint8 is kept as it is, all else becomes
            float32. Flat rows become squares where `n_pixels` is a square number,
            else images of one row.
        y : array-like ``(n_samples,)``
            Labels: strings or integers, such as ``"0"``..``"9"``, ``"x"``, ``"_"``.
        sample_weight : array-like ``(n_samples,)``, optional
            How much each sample counts in the training loss; only ratios matter, and
            samples of weight 0 are left out. Validation counts all samples alike.
        groups : array-like ``(n_samples,)``, optional
            Page, writer or station of each sample: early stopping holds out whole
            groups, and a `validation_split` that divides one is refused.
        freeze_layers : int, optional
            Takes precedence over the constructor's.
        label_sets : ndarray of bool ``(n_samples, n_classes)``, optional
            Which classes each sample may be of, columns in the order of the
            parameter `classes`. The loss is ``-log`` of their summed probability; a
            row with a single True is an ordinary label. It takes the place of `y`,
            which then only shapes the random validation part.
        validation_split : pair of int arrays, optional
            Indices to train on and to validate on, for histories and early stopping.
        teacher : fitted CNNClassifier, optional
            Distillation: learn to answer as it does, on the same augmented cells,
            besides the labels. It must know the same classes and see cells of the same
            size. The training loss in `history_` is then of both.
        teacher_share : float, default=0.9
            Of the teacher in the training loss, in [0, 1]; the rest is the labels'.

        Returns
        -------
        CNNClassifier
            Itself.

        Raises
        ------
        TallyError
            If an argument does not fit, if there is one class only, if layers are to
            be frozen and nothing is trained, or if the loss is not finite.
        """
        more = bool(self.warm_start) and self.__sklearn_is_fitted__()
        teacher = copy(self) if teacher is self else teacher  # as it is now
        images, targets = self._take(X, y, self.classes, more)
        seed = self._seed(more)
        held_out = self.validation_fraction if self.early_stopping else 0
        train, valid = training_rows(targets, validation_split, held_out, seed, groups)
        if label_sets is not None:
            targets = _input.check_label_sets(label_sets, self.classes, len(images))
        plan = self._plan(targets, train, sample_weight)
        teacher = make_teacher(teacher, teacher_share, self)
        cells = (images, targets)
        return self._train(
            cells, plan, valid, freeze_layers, seed, more, False, teacher
        )

    def partial_fit(self, X, y, *, classes=None, sample_weight=None):
        """Train for one epoch, on from where the last call stopped.

        The first call measures the range of the pixels and builds the network. The
        learning rate is constant, nothing is held out, and the optimizer keeps its
        running means from call to call (not through a pickle or a saved model).

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array-like, optional
            All labels there are; needed in the first call of a classifier that was
            not fitted and whose parameter `classes` is None.

        Returns
        -------
        CNNClassifier
            Itself.

        Raises
        ------
        TallyError
            As in `fit`; or if classes are not known, or are to be balanced by their
            shares, which are those of one call only.
        """
        more = self.__sklearn_is_fitted__()
        for name in ("class_weight", "sampling"):
            if isinstance(getattr(self, name), str):
                raise TallyError(
                    f"{name}='balanced' needs all samples at once, and partial_fit "
                    "sees a part; give class_weight as a dict, or use fit"
                )
        if not more and classes is None and self.classes is None:
            raise TallyError(
                "classes: expected all labels in the first call of partial_fit, got "
                "None; a part of the samples may lack some"
            )
        known = self.classes if classes is None else classes
        images, targets = self._take(X, y, known, more)
        seed = self._seed(more)
        plan = self._plan(targets, np.arange(len(images)), sample_weight)
        cells = (images, targets)
        return self._train(cells, plan, None, None, seed, more, endless=True)

    def _take(self, X, y, classes, more):
        """Return images and class codes, and learn the data's shape unless `more`."""
        check_settings(self)
        if more:
            images, y = _input.more_images(self, X, y)
            _input.check_same_classes(classes, self.classes_)
            return images, _input.encode_labels(y, self.classes_)[1]
        images, y = _input.images_for_fit(self, X, y)
        known, targets = _input.encode_labels(y, classes)
        vars(self).pop("net_", None)  # it does not go with what follows
        self.classes_ = known
        self.image_shape_ = images.shape[1:]
        self.pixel_offset_, self.pixel_scale_ = _input.pixel_range(images)
        self.device_ = choose_device(self.device)
        return images, targets

    def _seed(self, more):
        """Return a seed; where training goes on, another one for each epoch."""
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        return (seed + self.n_epochs_) % (2**31 - 1) if more else seed

    def _plan(self, targets, rows, sample_weight):
        """Return which samples train and how much each counts; report the shares."""
        plan = balance(
            targets,
            rows,
            self.classes_.tolist(),
            class_weight=self.class_weight,
            sampling=self.sampling,
            sample_weight=check_sample_weight(sample_weight, len(targets)),
        )
        self.class_shares_ = plan.shares
        return plan

    def _train(
        self, cells, plan, valid, freeze_layers, seed, more, endless=False, teacher=None
    ):
        n_frozen = self.freeze_layers if freeze_layers is None else freeze_layers
        with seeded(seed, self.device_):
            module = self._go_on(n_frozen) if more else self._start(n_frozen)
            frozen = freeze(module, n_frozen)
            if self.unfreeze_epochs is not None:
                frozen = []  # for good
            check_batches(len(plan.rows), self.batch_size, module, frozen)
            freezing = None
            if n_frozen:
                epochs = self.n_epochs_ if more and endless else 0
                freezing = Freezing(n_frozen, self.unfreeze_epochs, epochs)
            net = make_net(
                self, module, training=True, freezing=freezing, endless=endless
            )
            if more and endless:
                net.go_on_from(self.net_)
            before = deepcopy(module.state_dict()) if more else None
            try:
                net.run(*cells, plan, valid, teacher)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) and len(net.table()):
                    self._keep(net, more)  # what was learnt
                elif more:
                    module.load_state_dict(before)
                raise
        self._keep(net, more)
        return self

    def _keep(self, net, more):
        """Take a net that was trained, and its history."""
        table = joined(self.history_, net.table()) if more else net.table()
        self.net_, self.history_, self.n_epochs_ = net, table, len(table)

    def _start(self, n_frozen):
        """Return a new network, with pretrained weights if there are any."""
        self._network = describe_network(self)
        own = isinstance(self.architecture, type)
        self._architecture = self.architecture if own else None
        module = new_network(self._network, self._architecture)
        trained = self.pretrained is not None
        check_freeze(n_frozen, module, trained, self.unfreeze_epochs)
        self.transfer_report_ = None
        if self.pretrained is not None:
            source = load_source(self.pretrained)
            known = self.classes_.tolist()
            self.transfer_report_ = transfer(module, source, known, n_frozen)
        return module

    def _go_on(self, n_frozen):
        """Return the network that is there, unless other options ask for another."""
        check_unchanged(self._network, describe_network(self))
        check_freeze(n_frozen, self.net_.module_, True, self.unfreeze_epochs)
        return self.net_.module_

    def predict_proba(self, X):
        """Return class probabilities.

        Parameters
        ----------
        X : array-like
            Cells as in `fit`; flat rows of images of the fitted size are accepted.

        Returns
        -------
        ndarray of float32 ``(n_samples, n_classes)``
            Columns in the order of `classes_`. They are not calibrated.

        Raises
        ------
        TallyError
            If the images are of another size than in `fit`.
        """
        check_is_fitted(self)
        images = _input.images_for_predict(self, X)
        return self.net_.probabilities(images)

    def hidden_features(self, X):
        """Return the activations of the last hidden layer.

        They are what the output layer is given: a description of each cell in which
        cells that look alike to the network are near each other.

        Parameters
        ----------
        X : array-like
            Cells as in `fit`.

        Returns
        -------
        ndarray of float32 ``(n_samples, n_features)``
            As many columns as the last hidden layer has units, 70 by default. A
            cell's row does not depend on the other cells of the call.

        Raises
        ------
        TallyError
            If the images are of another size than in `fit`, or a network of the
            user's own does not define its output layer last.

        See Also
        --------
        sktally.digits.select_queries : Chooses diverse cells by them.
        """
        check_is_fitted(self)
        images = _input.images_for_predict(self, X)
        return self.net_.hidden_features(images)

    def predict(self, X):
        """Return the most probable label of each cell.

        Parameters
        ----------
        X : array-like
            Cells as in `fit`.

        Returns
        -------
        ndarray ``(n_samples,)``
            Labels of the type given to `fit`.
        """
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]

    def __sklearn_is_fitted__(self):
        """Tell whether there is a trained net."""
        return hasattr(self, "net_")

    def __sklearn_tags__(self):
        """Return tags: takes flat rows and images, deterministic for a seed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = True
        tags.non_deterministic = False
        return tags

    def _fitted_state(self):
        return state_of(self)

    def _set_fitted_state(self, state, architecture=None):
        restore(self, state, architecture)

    def __getstate__(self):
        """Return the state with weights as NumPy arrays, for pickles."""
        state = dict(super().__getstate__())
        net = state.pop("net_", None)
        if net is not None:
            state["_weights"] = weights_of(net.module_)
        return state

    def __setstate__(self, state):
        """Rebuild the net, on a device that this machine has."""
        state = dict(state)
        weights = state.pop("_weights", None)
        super().__setstate__(state)
        if weights is not None:
            rebuild(self, weights)
