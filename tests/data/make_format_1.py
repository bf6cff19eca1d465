"""Make the model of format 1 that `test_persist` reads, and what it answers.

Run once, when the format was new. Later formats get a model of their own, and this
one stays as it is.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from sktally import CNNClassifier, save_model

HERE = Path(__file__).parent

if __name__ == "__main__":
    X, y = load_digits(return_X_y=True)
    cells = X.reshape(-1, 8, 8).astype(np.uint8)
    model = CNNClassifier(
        filters=(4, 6),
        hidden=(8,),
        batch_norm=True,
        learning_rate=0.01,
        max_epochs=12,
        precision="float32",
        random_state=0,
    ).fit(cells, y.astype(str))
    save_model(model, HERE / "format_1")
    np.savez_compressed(
        HERE / "format_1_expected.npz",
        cells=cells[:40],
        proba=model.predict_proba(cells[:40]),
        labels=model.predict(cells[:40]),
        classes=model.classes_,
    )
