"""What a classifier of cells does with its settings: fit, predict, travel."""

from __future__ import annotations

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sktally.digits import _input
from sktally.digits._build import describe_network, new_network
from sktally.digits._fit import (
    check_freeze,
    check_settings,
    choose_device,
    make_net,
    seeded,
)
from sktally.digits._layers import freeze
from sktally.digits._sources import load_source, weights_of
from sktally.digits._state import rebuild, restore, state_of
from sktally.digits._transfer import transfer

__all__ = ["CellClassifier"]


class CellClassifier(ClassifierMixin, BaseEstimator):
    """All of `CNNClassifier` but its constructor."""

    def fit(self, X, y, *, freeze_layers=None, label_sets=None, validation_split=None):
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
        freeze_layers : int, optional
            Takes precedence over the constructor's.
        label_sets : ndarray of bool ``(n_samples, n_classes)``, optional
            Which classes each sample may be of, columns in the order of the
            parameter `classes`. The loss is ``-log`` of their summed probability; a
            row with a single True is an ordinary label. It takes the place of `y`,
            which then only shapes the random validation part.
        validation_split : pair of int arrays, optional
            Indices to train on and to validate on, for histories and early stopping.

        Returns
        -------
        CNNClassifier
            Itself.

        Raises
        ------
        TallyError
            If an argument does not fit, if there is one class only, if layers are to
            be frozen and nothing is pretrained, or if the loss is not finite.
        """
        images, y = _input.images_for_fit(self, X, y)
        check_settings(self)
        self.classes_, targets = _input.encode_labels(y, self.classes)
        self.image_shape_ = images.shape[1:]
        self.pixel_offset_, self.pixel_scale_ = _input.pixel_range(images)
        self.device_ = choose_device(self.device)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        held_out = self.validation_fraction if self.early_stopping else 0
        rows = _input.training_rows(targets, validation_split, held_out, seed)
        if label_sets is not None:
            targets = _input.check_label_sets(label_sets, self.classes, len(images))
        with seeded(seed, self.device_):
            module, frozen = self._start(freeze_layers)
            self.net_ = make_net(self, module, training=True, frozen=frozen)
            self.net_.run(images, targets, *rows)
        self.history_ = self.net_.table()
        self.n_epochs_ = len(self.history_)
        return self

    def _start(self, freeze_layers):
        """Return the network as training starts from it, and what is frozen in it."""
        self._network = describe_network(self)
        own = isinstance(self.architecture, type)
        self._architecture = self.architecture if own else None
        module = new_network(self._network, self._architecture)
        n_frozen = self.freeze_layers if freeze_layers is None else freeze_layers
        check_freeze(n_frozen, module, self.pretrained is not None)
        self.transfer_report_ = None
        if self.pretrained is not None:
            source = load_source(self.pretrained)
            known = self.classes_.tolist()
            self.transfer_report_ = transfer(module, source, known, n_frozen)
        return module, freeze(module, n_frozen)

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
