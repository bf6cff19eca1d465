"""`CNNClassifier`: a convolutional network that behaves as a scikit-learn estimator."""

from __future__ import annotations

from sktally.digits._base import CellClassifier

__all__ = ["CNNClassifier"]


class CNNClassifier(CellClassifier):
    """Classify cells with a small convolutional network.

    The default is the tuned network of [1]_: three convolutions of 3 x 3 with
    64, 96 and 112 filters, each with ReLU and 2 x 2 max-pool, fully connected layers
    of 150 and 70, dropout 0.1, softmax, Adam, cross-entropy, 20 epochs. "Same"
    padding, dropout after every block and hidden layer, and the batch size are the
    choice of sktally; [1]_ does not state them. Of the base network it states two
    convolutions with max-pool, three fully connected layers, ReLU, Adam and 15 epochs;
    the filters (32, 64), the hidden units (128, 64), counting the output as the third
    layer, and no dropout are again the choice of sktally.

    Any range of pixels works: `fit` measures their median (the background of a
    digit cell) and standard deviation, and the network sees
    ``(pixel - median) / deviation``. Ink may be bright or dark, as long as it is
    the same in fit and predict.

    Parameters
    ----------
    architecture : None, str or class, default=None
        None builds the layers from the options that follow. ``"paper-base"``,
        ``"paper-tuned"`` (the default options) and ``"lenet5"`` [2]_ are named sets of
        them, down to `batch_norm`; epochs and optimizer stay as they are given.
        ``"vgg16"`` [3]_ and ``"resnet18"`` [4]_ have torchvision's layers and
        names of tensors, see `pretrained`. A class of `torch.nn.Module` is called
        with those of ``channels, height, width, n_classes`` (needed) and of the
        layer options that its constructor names; it maps images ``(n_samples,
        channels, height, width)`` to logits ``(n_samples, n_classes)``.
    filters : tuple of int or int, default=(64, 96, 112)
        Filters of each convolution block; or of the first, with `n_blocks`.
    n_blocks : int, optional
        Number of blocks where `filters` is one number.
    filter_growth : float, default=2.0
        Each block then has so many times the filters of the one before.
    kernel_size : int or tuple of int, default=3
        Side of the filters in pixels. This option, and all down to `pool_stride`
        but `activation`, may be a tuple with one value a block.
    stride : int or tuple of int, default=1
        Step of the filters in pixels.
    padding : {"same", "valid"}, int or tuple, default="same"
        Background pixels added on each side: half a filter, none, or a number.
    activation : {"relu", "tanh", "sigmoid"}, default="relu"
        After every layer but the last.
    pool : {"max", "mean", "min", "mixed", None} or tuple, default="max"
        How a block shrinks the image; "mixed" learns the share of maximum and mean.
    pool_size : int or tuple of int, default=2
        Side of the pooled squares, such as ``(3, 2, 2)``.
    pool_stride : int, None or tuple, default=None
        Step between them; None takes `pool_size`.
    hidden : tuple of int, default=(150, 70)
        Units of the fully connected layers; may be empty.
    dropout : float, default=0.1
        Share of activations dropped in training after each fully connected layer but
        the last, in [0, 0.99]; on a CPU rounded to the nearest 1/256.
    conv_dropout : float, optional
        The same after each convolution block; None takes `dropout`.
    batch_norm : bool, default=False
        Normalise after every layer but the last.
    output : {"softmax", "sigmoid"}, default="softmax"
        One output for each class, or a single one for two classes.
    max_epochs : int, default=20
        Passes over the training samples.
    optimizer : {"adamw", "muon", "adam", "sgd", "adagrad"}, default="adamw"
        "adamw" is Adam itself where `weight_decay` is 0; "sgd" has a momentum of 0.9.
        "muon" [6]_ moves filters and matrices in all their directions by as much, and
        the rest as "adamw" does, at rates of that: fewer epochs, each a little longer.
    learning_rate : float, default=1e-3
        Step size of the optimizer; with a schedule, its peak.
    batch_size : int, default=128
        Largest number of samples in a training step.
    weight_decay : float, default=0.0
        Decoupled weight decay of weights, not of biases; for "adamw" and "muon".
    l1, l2 : float, default=0.0
        ``l1 * sum(|w|) + l2 * sum(w ** 2)`` is added to the loss that is minimised,
        over weights, not biases; `history_` shows the loss without it.
    schedule : {None, "one-cycle", "cosine", "linear"}, default=None
        Constant learning rate; one cycle, up for 30 % of the steps, then to 0; or down
        to 0 from the start, along half a cosine or a straight line.
    augment : None, str or dict, default=None
        Random changes of the training cells: ``"tally"``, or a dict of ranges such
        as ``{"rotation": 10, "shift": 0.1}``, see `Augmentation`.
    early_stopping : bool, default=False
        Hold out a part of the samples and stop after `patience` epochs without a
        lower validation loss; the best weights are restored.
    validation_fraction : float, default=0.1
        Part held out, of each class; of whole groups if `fit` is given `groups`; none
        if it is given a `validation_split`.
    patience : int, default=5
        Epochs to wait.
    class_weight : None, "balanced" or dict, default=None
        Weight of each class in the training loss: all alike; so that every class
        counts the same in sum; or by label, 1 for those not named.
    sampling : {None, "balanced"}, default=None
        An epoch shows every sample once; or as many, drawn with replacement so that
        every class is shown as often. `class_shares_` reports the effect.
    warm_start : bool, default=False
        A further `fit` trains on from the weights, the pixel range and the history
        of the last one, for `max_epochs` more and with a new optimizer; `pretrained`
        is not read again.
    classes : list, optional
        All labels there are. Columns then stay even where `y` lacks a class.
        `classes_` is sorted in any case, as scikit-learn's scorers expect.
    pretrained : str, path or FrozenEstimator, optional
        Start from these weights: a path given to `save_model`, the name of a bundled
        model, ``FrozenEstimator(fitted CNNClassifier)``, or a state dict in a .pth or
        .safetensors file, such as torchvision's for "vgg16"; no code in a file is
        run. Tensors are matched by name and shape; in the output layer the rows of
        classes known to both are kept. The range of the pixels is measured anew. Both
        bundled models need ``batch_norm=True``: they were trained with it, and their
        weights do much worse without.
    freeze_layers : int, default=0
        Number of leading weight layers (convolutions and fully connected, as the
        network defines them) that keep the pretrained weights and batch-norm
        statistics unchanged: 12 are the first 12 layers of VGG.
    unfreeze_epochs : int, optional
        Gradual unfreezing [5]_: after every so many epochs one more layer learns, the
        last frozen one first, until none is frozen. `fit` begins with `freeze_layers`
        frozen, with a warm start too; `partial_fit` counts all epochs so far. None
        keeps them frozen.
    layer_decay : float, default=1.0
        Discriminative learning rates [5]_: each weight layer learns at so many times
        the rate of the next one, in [0.001, 1], and the output layer at
        `learning_rate`. [5]_ takes 1 / 2.6 = 0.38. Schedules and weight decay scale
        with the rate of the layer.
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
        The trained net; ``net_.module_`` is the network.
    history_ : DataFrame
        One row per epoch: loss, accuracy, seconds; with validation also its loss
        and accuracy; with frozen layers how many there were, ``frozen_layers``.
        Training figures are taken with dropout at work.
    n_epochs_ : int
        Epochs run.
    class_shares_ : DataFrame
        One row per class of the last fit: ``n_samples`` and ``share`` of those that
        train, ``share_in_training`` after weights and sampling. Not in model files.
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
    Images so small that no pixel is left after all blocks are padded with background,
    up to ``2 ** n_blocks`` pixels; with a stride, padding or pooling of the user's own
    they are refused with an error that names the layer. The default network has about
    320,000 weights for 28 x 28 cells. Predictions run in batches of one fixed size, so
    the probabilities of a cell do not depend on the other cells of the call. Pickles
    hold the weights as NumPy arrays.

    Threads of torch spin while they wait for each other, which takes long where other
    programs hold the cores: set GOMP_SPINCOUNT=20000 for a short wait, or
    OMP_NUM_THREADS=1, before Python starts. In training on a CPU, forward hooks on
    convolutions, norms and pools are not called.

    References
    ----------
    .. [1] M. Torres and F. Cantú (2022). "Learning to See: Convolutional Neural
       Networks for the Analysis of Social Science Data". Political Analysis 30(1),
       113-131.
    .. [2] Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998). "Gradient-based
       learning applied to document recognition". Proceedings of the IEEE 86(11),
       2278-2324. Here all maps of the second convolution see all of the first, and
       cells of 28 x 28 are padded by 2; the last layer is a softmax.
    .. [3] K. Simonyan and A. Zisserman (2015). "Very deep convolutional networks for
       large-scale image recognition". ICLR. 134 million weights.
    .. [4] K. He, X. Zhang, S. Ren and J. Sun (2016). "Deep residual learning for image
       recognition". CVPR. 11 million weights.
    .. [5] J. Howard and S. Ruder (2018). "Universal language model fine-tuning for
       text classification". ACL, sections 3.2 and 3.3.
    .. [6] K. Jordan et al. (2024). "Muon: An optimizer for hidden layers in neural
       networks", https://kellerjordan.github.io/posts/muon.

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

    _since_format_1 = (  # of model files, which hold these only where they are set
        "architecture",
        "n_blocks",
        "filter_growth",
        "stride",
        "padding",
        "activation",
        "pool",
        "pool_size",
        "pool_stride",
        "conv_dropout",
        "output",
        "optimizer",
        "l1",
        "l2",
        "class_weight",
        "sampling",
        "warm_start",
        "unfreeze_epochs",
        "layer_decay",
    )

    def __init__(
        self,
        *,
        architecture=None,
        filters=(64, 96, 112),
        n_blocks=None,
        filter_growth=2.0,
        kernel_size=3,
        stride=1,
        padding="same",
        activation="relu",
        pool="max",
        pool_size=2,
        pool_stride=None,
        hidden=(150, 70),
        dropout=0.1,
        conv_dropout=None,
        batch_norm=False,
        output="softmax",
        max_epochs=20,
        optimizer="adamw",
        learning_rate=1e-3,
        batch_size=128,
        weight_decay=0.0,
        l1=0.0,
        l2=0.0,
        schedule=None,
        augment=None,
        early_stopping=False,
        validation_fraction=0.1,
        patience=5,
        class_weight=None,
        sampling=None,
        warm_start=False,
        classes=None,
        pretrained=None,
        freeze_layers=0,
        unfreeze_epochs=None,
        layer_decay=1.0,
        device="auto",
        precision="auto",
        random_state=None,
        verbose=0,
    ):
        self.architecture = architecture
        self.filters = filters
        self.n_blocks = n_blocks
        self.filter_growth = filter_growth
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.activation = activation
        self.pool = pool
        self.pool_size = pool_size
        self.pool_stride = pool_stride
        self.hidden = hidden
        self.dropout = dropout
        self.conv_dropout = conv_dropout
        self.batch_norm = batch_norm
        self.output = output
        self.max_epochs = max_epochs
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.l1 = l1
        self.l2 = l2
        self.schedule = schedule
        self.augment = augment
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.class_weight = class_weight
        self.sampling = sampling
        self.warm_start = warm_start
        self.classes = classes
        self.pretrained = pretrained
        self.freeze_layers = freeze_layers
        self.unfreeze_epochs = unfreeze_epochs
        self.layer_decay = layer_decay
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose
