"""Train the paper's tuned network with sktally, Keras and plain skorch, side by side.

First the seconds of an epoch of all 60,000 MNIST training images, predictions a
second and peak memory, with the same layers, dropout rates and batch size. Then the
seconds to a validation accuracy, on images held out of the training set: Keras with
the paper's recipe, and sktally with the recipe below. That was chosen, epochs and all,
on the images that seeds 0, 2 and 3 hold out: another --seed holds out others. Every
side has a process of its own; they take turns epoch by epoch,
so that a busy machine is busy for all. The test images are read once, at the end.

    python -m venv keras-env
    keras-env/bin/pip install tensorflow-cpu
    python benchmarks/train_speed.py --keras-python keras-env/bin/python
    python benchmarks/train_speed.py --quick  # a few images, to see that it runs
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import arguments, print_versions, share

from sktally.datasets import load_mnist

PEERS = Path(__file__).with_name("training_peers.py")
RECIPE = {
    "batch_norm": True,
    "optimizer": "muon",
    "schedule": "cosine",
    "learning_rate": 5e-3,
    "batch_size": 128,
}
PAPER_EPOCHS = 15


class Peer:
    """A side in a process of its own."""

    def __init__(self, label, side, data: Path, args, **settings):
        keras = side == "keras"
        python = args.keras_python if keras else sys.executable
        env = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
        # Threads of torch spin while they wait for each other, by default without end:
        # where other processes hold the cores, that multiplies the time.
        # TensorFlow's yield by themselves.
        env |= {"GOMP_SPINCOUNT": "20000", "TF_CPP_MIN_LOG_LEVEL": "3"}
        settings |= {"seed": args.seed, "threads": args.threads}
        self.label = label
        self.seconds: list[float] = []
        self.cpu: list[float] = []
        self.accuracies: list[float] = []
        self.process = subprocess.Popen(
            [python, str(PEERS), side, str(data), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if keras else None,
            text=True,
            env=env,
        )
        found = self._read()
        print(f"{label}: {found['name']}; {found['how']}", flush=True)

    def _read(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.label}: ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, request: str) -> dict:
        """Return the answer to a request."""
        print(request, file=self.process.stdin, flush=True)
        return self._read()

    def train(self) -> None:
        """Train one more epoch."""
        found = self.ask("epoch")
        self.seconds.append(found["seconds"])
        self.cpu.append(found["cpu"])
        self.accuracies.append(found["accuracy"])
        shown = "" if found["accuracy"] is None else f", valid {found['accuracy']:.4f}"
        print(
            f"  {self.label}, epoch {len(self.seconds)}: "
            f"{found['seconds']:.1f} s ({found['cpu']:.1f} s CPU){shown}",
            flush=True,
        )

    def reached(self, target: float) -> int | None:
        """Return after how many epochs the target was first reached."""
        hits = [i for i, a in enumerate(self.accuracies, 1) if a >= target]
        return hits[0] if hits else None

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def time_epochs(args, data: Path) -> None:
    """Print seconds an epoch, predictions a second and peak memory of all sides."""
    batch = args.batch
    peers = [
        Peer("sktally", "sktally", data, args, epochs=args.rounds, batch_size=batch)
    ]
    if args.keras_python:
        peers.append(Peer("Keras", "keras", data, args, batch=batch))
    peers.append(Peer("plain skorch", "skorch", data, args, batch=batch))
    for i in range(args.rounds):
        for peer in peers[i % len(peers) :] + peers[: i % len(peers)]:
            peer.train()
    memory = [peer.ask("memory")["mib"] for peer in peers]
    rates = [
        [peer.ask("predict")["rate"] for peer in peers] for _ in range(args.rounds)
    ]
    rates = np.median(rates, 0)
    wall, cpu = (
        np.median([getattr(p, n) for p in peers], 1) for n in ("seconds", "cpu")
    )
    print(f"\nMedians of {args.rounds} epochs and of as many rounds of predictions;")
    print("share: sktally's over that side's. CPU: of all threads together")
    print(f"{'':14s}{'s an epoch':>11s}{'(range)':>15s}{'share':>7s}", end="")
    print(f"{'CPU s':>8s}{'share':>7s}{'predictions/s':>15s}{'peak MiB':>10s}")
    for i, peer in enumerate(peers):
        extremes = f"({min(peer.seconds):.1f}-{max(peer.seconds):.1f})"
        print(
            f"{peer.label:14s}{wall[i]:11.1f}{extremes:>15s}{wall[0] / wall[i]:7.2f}"
            f"{cpu[i]:8.1f}{cpu[0] / cpu[i]:7.2f}{rates[i]:15.0f}{memory[i]:10.0f}"
        )
        peer.close()


def time_to_target(args, data: Path) -> None:
    """Print the seconds of sktally's recipe and of Keras to the target accuracy."""
    settings = {"epochs": args.own_epochs, **RECIPE}
    own = Peer("sktally", "sktally", data, args, **settings)
    peers = [own]
    if args.keras_python:
        peers.append(Peer("Keras", "keras", data, args, batch=args.batch))
    for i in range(max(args.epochs, args.own_epochs)):
        if i < args.own_epochs:
            own.train()
        for peer in peers[1:]:
            done = not args.all_epochs and peer.reached(args.target)
            if i < args.epochs and not done:
                peer.train()
    print()
    reached = {peer: peer.reached(args.target) for peer in peers}
    for peer in peers:
        n = reached[peer]
        what = (
            "not reached" if n is None else f"after {n}: {sum(peer.seconds[:n]):.1f} s"
        )
        peak = peer.ask("memory")["mib"]
        right = peer.ask("test")["accuracy"]
        right = share(np.arange(args.n_test) < round(right * args.n_test))
        print(
            f"{peer.label}: {len(peer.seconds)} epochs in {sum(peer.seconds):.1f} s; "
            f"{args.target} {what}; peak {peak:.0f} MiB\n  test, once: {right}"
        )
        peer.close()
    for peer in peers[1:]:
        compare(own, peer, reached, args.own_epochs)


def compare(own: Peer, keras: Peer, reached: dict, n_own: int) -> None:
    """Print shares of the time of Keras, which goes on when sktally has ended."""
    n = PAPER_EPOCHS
    measured = "seconds" if len(keras.seconds) >= n else "seconds, extrapolated"
    totals = {
        measured: (own.seconds, total(keras.seconds)),
        "seconds, by Keras's epochs beside sktally's": (
            own.seconds,
            n * np.median(keras.seconds[:n_own]),
        ),
        "CPU seconds": (own.cpu, total(keras.cpu)),
    }
    print(f"\nsktally's share of Keras's {n} epochs")
    for name, (spent, whole) in totals.items():
        print(f"  {name}: all its epochs {sum(spent) / whole:.3f}", end="")
        if reached[own]:
            print(f", to the target {sum(spent[: reached[own]]) / whole:.3f}", end="")
        print()
    if reached[own] and reached[keras]:
        first = [sum(p.seconds[: reached[p]]) for p in (own, keras)]
        print(f"... of Keras's time to the target: {first[0] / first[1]:.3f}")


def total(spent: list[float]) -> float:
    """Return the time of all epochs of the paper, from those that were run."""
    if len(spent) < PAPER_EPOCHS:
        return PAPER_EPOCHS * float(np.median(spent))
    return sum(spent[:PAPER_EPOCHS])


def write(folder: str, name: str, **parts) -> Path:
    """Store images and labels for the processes."""
    path = Path(folder) / f"{name}.npz"
    np.savez(path, **parts)
    return path


def main() -> None:
    args = arguments(
        __doc__,
        keras_python={"help": "interpreter of an environment with tensorflow-cpu"},
        rounds={"type": int, "default": 3, "help": "epochs timed of every side"},
        epochs={"type": int, "default": PAPER_EPOCHS, "help": "most epochs of Keras"},
        own_epochs={"type": int, "default": 2, "help": "of sktally's recipe"},
        batch={"type": int, "default": 128, "help": "of the same layers, all sides"},
        target={"type": float, "default": 0.992, "help": "validation accuracy"},
        valid={"type": int, "default": 10000, "help": "images held out"},
        threads={"type": int, "default": 2},
        all_epochs={"action": "store_true", "help": "go on after the target"},
        quick={"action": "store_true", "help": "2,500 images and two rounds"},
    )
    train = load_mnist(args.data / "mnist")
    test = load_mnist(args.data / "mnist", subset="test")
    order = np.random.default_rng(args.seed).permutation(len(train.images))
    if args.quick:
        order, args.valid = order[:2500], 500
        args.rounds, args.epochs, args.target = 2, 2, 0.9
    X, y = train.images[order], np.asarray(train.target)[order].astype(np.int64)
    last = {"test": test.images, "test_y": np.asarray(test.target).astype(np.int64)}
    args.n_test = len(test.images)
    print_versions(args.seed)
    if not args.keras_python:
        print("Keras is left out: give --keras-python, see --help for how to install")
    k = args.valid
    with tempfile.TemporaryDirectory() as folder:
        print(f"\n{len(X)} images an epoch, {args.threads} threads")
        none = {"valid": X[:0], "valid_y": y[:0]}
        time_epochs(args, write(folder, "all", train=X, train_y=y, **none, **last))
        print(f"\n{len(X) - k} images an epoch, {k} held out, {args.threads} threads")
        parts = {"train": X[k:], "train_y": y[k:], "valid": X[:k], "valid_y": y[:k]}
        time_to_target(args, write(folder, "part", **parts, **last))


if __name__ == "__main__":
    main()
