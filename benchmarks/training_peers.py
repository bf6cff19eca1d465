"""One side of `train_speed.py`, in a process and perhaps an interpreter of its own.

``python training_peers.py SIDE DATA.npz SETTINGS`` trains one epoch for every line
"epoch" that it reads, and answers each line with one line of JSON. Keras runs in an
environment that knows neither torch nor sktally, so nothing is imported above.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

FILTERS, HIDDEN, DROPOUT = (64, 96, 112), (150, 70), 0.1


def answer(**found) -> None:
    """Write one line."""
    print(json.dumps(found), file=sys.__stdout__, flush=True)


def serve(predict, data, requests, epoch=None) -> None:
    """Answer requests until there are none."""
    for request in requests:
        started = time.perf_counter()
        if request == "epoch":
            clock = Clock()
            epoch()
            answer(**clock.take(), accuracy=accuracy(predict, data, "valid"))
        elif request == "predict":
            predict(data["train"][:10000])
            answer(rate=len(data["train"][:10000]) / (time.perf_counter() - started))
        elif request == "test":
            answer(accuracy=accuracy(predict, data, "test"))
        elif request == "memory":
            answer(mib=peak_memory())


def peak_memory() -> float:
    """Return the largest resident size so far in MiB.

    Not by getrusage, which starts from the size of the parent process.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10


def accuracy(predict, data, part: str) -> float | None:
    """Return the share of right answers, or None of an empty part."""
    if not len(data[part]):
        return None
    return float((predict(data[part]) == data[f"{part}_y"]).mean())


def keras_side(data, requests, seed, threads, batch) -> None:
    """Train as the paper did: Adam at its default rate, float32, pixels / 255."""
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((28, 28, 1))]
    for filters in FILTERS:
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Dropout(DROPOUT),
        ]
    layers.append(keras.layers.Flatten())
    for units in HIDDEN:
        layers.append(keras.layers.Dense(units, activation="relu"))
        layers.append(keras.layers.Dropout(DROPOUT))
    layers.append(keras.layers.Dense(10, activation="softmax"))
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy")
    for part in ("train", "valid", "test"):
        data[part] = data[part][..., None].astype(np.float32) / 255

    def epoch():
        model.fit(data["train"], data["train_y"], batch_size=batch, verbose=0)

    def predict(images):
        return model.predict(images, batch_size=256, verbose=0).argmax(1)

    answer(
        name=f"Keras {keras.__version__}, TensorFlow {tf.__version__}",
        how=f"float32, channels last, batch {batch}, Adam at its default rate",
    )
    serve(predict, data, requests, epoch)


def skorch_side(data, requests, seed, threads, batch) -> None:
    """Train with plain skorch: its loader, float32, layers as usually written."""
    import skorch
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    before = 1
    for filters in FILTERS:
        layers += [nn.Conv2d(before, filters, 3, padding=1), nn.ReLU()]
        layers += [nn.MaxPool2d(2), nn.Dropout(DROPOUT)]
        before = filters
    layers.append(nn.Flatten())
    before *= 3 * 3
    for units in HIDDEN:
        layers += [nn.Linear(before, units), nn.ReLU(), nn.Dropout(DROPOUT)]
        before = units
    layers.append(nn.Linear(before, 10))
    net = skorch.NeuralNetClassifier(
        nn.Sequential(*layers),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        max_epochs=1,
        batch_size=batch,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    for part in ("train", "valid", "test"):
        data[part] = data[part][:, None].astype(np.float32) / 255
    answer(
        name=f"skorch {skorch.__version__}, torch {torch.__version__}",
        how=f"float32, contiguous, its own loader, batch {batch}, Adam at 0.001",
    )
    serve(
        net.predict,
        data,
        requests,
        lambda: net.partial_fit(data["train"], data["train_y"]),
    )


def sktally_side(data, requests, seed, threads, epochs, **settings) -> None:
    """Train with `CNNClassifier`, pausing before every epoch until one is asked for."""
    import torch

    from sktally import CNNClassifier, __version__
    from sktally.digits import _fit

    torch.set_num_threads(threads)
    model = CNNClassifier(random_state=seed, max_epochs=epochs, **settings)
    shown = ", ".join(f"{k}={v!r}" for k, v in settings.items())
    bf16 = _fit.use_bfloat16(settings.get("precision", "auto"), "cpu")
    answer(
        name=f"sktally {__version__}, torch {torch.__version__}",
        how=f"{'bfloat16' if bf16 else 'float32'}, channels last, {shown}",
    )

    # The schedule spans all epochs of one fit, so the fit itself has to pause.
    class Paused(_fit.DigitNet):
        def on_epoch_begin(self, *args, **kwargs):
            clock.stop()
            if next(requests) != "epoch":
                raise SystemExit("expected all epochs to be asked for first")
            clock.start()
            super().on_epoch_begin(*args, **kwargs)

        def on_epoch_end(self, *args, **kwargs):
            super().on_epoch_end(*args, **kwargs)
            spent = clock.take()
            found = accuracy(
                lambda images: self.probabilities(images).argmax(1), data, "valid"
            )
            answer(**spent, accuracy=found)
            clock.start()

    _fit.DigitNet = Paused
    clock = Clock()  # what comes before the first epoch counts with it
    model.fit(data["train"], data["train_y"])
    serve(model.predict, data, requests)


class Clock:
    """Seconds by the wall and of all threads, leaving out pauses."""

    def __init__(self):
        self.spent = np.zeros(2)
        self.start()

    def start(self) -> None:
        """Go on."""
        self.since = np.array([time.perf_counter(), time.process_time()])

    def stop(self) -> None:
        """Pause."""
        self.spent += [time.perf_counter(), time.process_time()] - self.since

    def take(self) -> dict:
        """Pause, and return and forget what was spent."""
        self.stop()
        seconds, cpu = self.spent.tolist()
        self.spent[:] = 0
        return {"seconds": seconds, "cpu": cpu}


if __name__ == "__main__":
    side, path, settings = sys.argv[1:]
    with np.load(path) as archive:
        data = dict(archive)
    sys.stdout = sys.stderr  # answers alone go to the pipe
    run = {"keras": keras_side, "skorch": skorch_side, "sktally": sktally_side}[side]
    run(data, (line.strip() for line in sys.stdin), **json.loads(settings))
