"""`CNNClassifier`: a convolutional network that behaves as a scikit-learn estimator."""

from __future__ import annotations

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sktally.digits import _input
from sktally.digits._fit import (
    check_freeze,
    check_settings,
    choose_device,
    make_net,
    network_of,
    seeded,
)
from sktally.digits._network import DigitNetwork
from sktally.digits._state import rebuild, restore, state_of
from sktally.digits._transfer import load_source, transfer, weights_of

__all__ = ["CNNClassifier"]


class CNNClassifier(ClassifierMixin, BaseEstimator):
    """Classify cells with a small convolutional network.

    The default is the tuned network of [1]_: three convolutions of 3 x 3 with
    64, 96 and 112 filters, each with ReLU and 2 x 2 max-pool, fully connected layers
    of 150 and 70, dropout 0.1, softmax, Adam, cross-entropy, 20 epochs. "Same"
    padding, dropout after every block and hidden layer, and the batch size are the
    choice of sktally; [1]_ does not state them.

    Any range of pixels works: `fit` measures their median (the background of a
    digit cell) and standard deviation, and the network sees
    ``(pixel - median) / deviation``. Ink may be bright or dark, as long as it is
    the same in fit and predict.

    Parameters
    ----------
    filters : tuple of int, default=(64, 96, 112)
        Filters of each convolution block; a block halves the image. Images smaller
        than ``2 ** len(filters)`` pixels are padded to it with background.
    kernel_size : int, default=3
        Side of the filters in pixels, odd.
    hidden : tuple of int, default=(150, 70)
        Units of the fully connected layers; may be empty.
    dropout : float, default=0.1
        Share of activations dropped in training, in [0, 0.99]; on a CPU rounded to
        the nearest 1/256.
    batch_norm : bool, default=False
        Normalise after every layer but the last.
    max_epochs : int, default=20
        Passes over the training samples.
    learning_rate : float, default=1e-3
        Step size of Adam; with a schedule, its peak.
    batch_size : int, default=128
        Largest number of samples in a training step.
    weight_decay : float, default=0.0
        Decoupled weight decay (AdamW) of weights, not of biases.
    schedule : {None, "one-cycle"}, default=None
        Constant learning rate, or one cycle: up for 30 % of the steps, then to 0.
    augment : None, str or dict, default=None
        Random changes of the training cells: ``"tally"``, or a dict of ranges such
        as ``{"rotation": 10, "shift": 0.1}``, see `Augmentation`.
    early_stopping : bool, default=False
        Hold out a part of the samples and stop after `patience` epochs without a
        lower validation loss; the best weights are restored.
    validation_fraction : float, default=0.1
        Part held out, of each class, unless `fit` is given a `validation_split`.
    patience : int, default=5
        Epochs to wait.
    classes : list, optional
        All labels there are. Columns then stay even where `y` lacks a class.
        `classes_` is sorted in any case, as scikit-learn's scorers expect.
    pretrained : str, path or FrozenEstimator, optional
        Start from these weights: a path given to `save_model`, the name of a bundled
        model, or ``FrozenEstimator(fitted CNNClassifier)``. Tensors are matched by
        name and shape; in the output layer the rows of classes known to both are
        kept. The range of the pixels is measured anew.
    freeze_layers : int, default=0
        Number of leading weight layers, convolutions first, that keep the pretrained
        weights and batch-norm statistics unchanged.
    device : str, default="auto"
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; "auto" takes CUDA if there is.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Arithmetic of the convolutions. "auto" takes bfloat16 where the processor has
        it in hardware (about three times faster); results are then not bit-equal
        between kinds of machines.
    random_state : int, RandomState or None, default=None
        Seeds weights, order, dropout, augmentation and the held-out part. No global
        generator is touched.
    verbose : int, default=0
        1 shows a progress bar over epochs.

    Attributes
    ----------
    classes_ : ndarray ``(n_classes,)``
        Labels, sorted; the columns of `predict_proba`.
    n_features_in_ : int
        Length of the second axis of X in `fit`.
    image_shape_ : tuple of int
        ``(height, width)`` or ``(height, width, 3)``.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the `DigitNetwork`.
    history_ : DataFrame
        One row per epoch: loss, accuracy, seconds; with validation also its loss
        and accuracy. Training figures are taken with dropout at work.
    n_epochs_ : int
        Epochs run.
    transfer_report_ : dict or None
        With `pretrained`: ``source`` and the names of the tensors ``loaded``,
        ``partly_loaded`` (some rows of the output layer), ``reinitialized`` and
        ``skipped``.
    pixel_offset_, pixel_scale_ : float
        Median and standard deviation of the training pixels (of at most 4,096
        images, evenly spaced).
    device_ : str
        Where the net runs.

    See Also
    --------
    sktally.cells.CellNormalizer : Cleans and centres the ink of cells.
    sktally.votes.VoteCountAggregator : Turns digit probabilities into counts.
    sktally.persist.save_model : Writes a fitted model without pickle.

    Notes
    -----
    The default network has about 320,000 weights for 28 x 28 cells. Predictions run
    in batches of one fixed size, so the probabilities of a cell do not depend on the
    other cells of the call. Pickles hold the weights as NumPy arrays.

    References
    ----------
    .. [1] M. Torres and F. Cantú (2022). "Learning to See: Convolutional Neural
       Networks for the Analysis of Social Science Data". Political Analysis 30(1),
       113-131.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sktally import CNNClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> digits = CNNClassifier(filters=(8, 16), hidden=(32,), max_epochs=8,
    ...                        learning_rate=0.01, random_state=0)
    >>> digits.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.85
    True
    """

    def __init__(
        self,
        *,
        filters=(64, 96, 112),
        kernel_size=3,
        hidden=(150, 70),
        dropout=0.1,
        batch_norm=False,
        max_epochs=20,
        learning_rate=1e-3,
        batch_size=128,
        weight_decay=0.0,
        schedule=None,
        augment=None,
        early_stopping=False,
        validation_fraction=0.1,
        patience=5,
        classes=None,
        pretrained=None,
        freeze_layers=0,
        device="auto",
        precision="auto",
        random_state=None,
        verbose=0,
    ):
        self.filters = filters
        self.kernel_size = kernel_size
        self.hidden = hidden
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.augment = augment
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.classes = classes
        self.pretrained = pretrained
        self.freeze_layers = freeze_layers
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

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
            module = self._start(freeze_layers)
            self.net_ = make_net(self, module, training=True)
            self.net_.run(images, targets, *rows)
        self.history_ = self.net_.table()
        self.n_epochs_ = len(self.history_)
        return self

    def _start(self, freeze_layers):
        """Return the network as training starts from it."""
        self._network = network_of(self)
        module = DigitNetwork(**self._network)
        n_frozen = self.freeze_layers if freeze_layers is None else freeze_layers
        check_freeze(n_frozen, module, self.pretrained)
        self.transfer_report_ = None
        if self.pretrained is not None:
            source = load_source(self.pretrained)
            known = self.classes_.tolist()
            self.transfer_report_ = transfer(module, source, known, n_frozen)
        module.freeze(n_frozen)
        return module

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

    def _set_fitted_state(self, state, architecture=DigitNetwork):
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
