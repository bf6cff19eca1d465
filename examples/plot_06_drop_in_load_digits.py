"""
A network in the place of any scikit-learn classifier
=====================================================

`CNNClassifier` takes the flat rows that other classifiers take, and goes wherever they
go: into cross-validation, searches, pipelines and ensembles. Here it reads the digits
of scikit-learn beside a support vector machine.
"""

# %%
# Two thirds to train and choose on, a third for the end.
import time

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import (
    HalvingGridSearchCV,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

from sktally import CNNClassifier, paper_param_grid, search_results

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=600, stratify=y, random_state=0
)

# %%
# The classifiers that compete, each with three parts taking turns. The network is small
# and trains for a moment.
network = CNNClassifier(
    filters=(16, 32),
    hidden=(32,),
    max_epochs=12,
    learning_rate=0.02,
    batch_size=64,
    schedule="one-cycle",
    random_state=0,
)
models = {
    "network": network,
    "SVC": SVC(gamma="scale"),
    "SVC of 40 components": make_pipeline(PCA(40, random_state=0), SVC(C=10)),
}
folds = {}
for name, model in models.items():
    start = time.perf_counter()
    folds[name] = cross_val_score(model, X_train, y_train, cv=3)
    seconds = time.perf_counter() - start
    print(
        f"{name:22s} {folds[name].mean():.3f} +- {folds[name].std():.3f} in three "
        f"folds, {seconds:.1f} s"
    )

# %%
# A part of the settings that Torres and Cantu (2022) searched, through a Pipeline.
# `GridSearchCV` takes it as well; a halving search gives all settings few epochs, and
# the better half twice as many.
grid = paper_param_grid("cnn", epochs=None)
grid["cnn__filters"] = [(8, 16), (16, 32)]
grid["cnn__dropout"] = [0.0, 0.25]
grid["cnn__hidden"] = [(32,)]
search = HalvingGridSearchCV(
    Pipeline([("scale", MinMaxScaler()), ("cnn", network)]),
    grid,
    resource="cnn__max_epochs",
    min_resources=4,
    max_resources=16,
    factor=2,
    cv=2,
    random_state=0,
)
table = search_results(search.fit(X_train, y_train))
columns = ["cnn__filters", "cnn__dropout", "n_resources", "mean_test_score"]
print(table[[*columns, "std_test_score", "mean_fit_time"]].round(3).to_string())

# %%
# The end: cells that nobody has chosen by. A network may vote with a forest, too; both
# are fitted already, and frozen they are not fitted again.
finalists = {
    "network, by halving": search.best_estimator_,
    "SVC": models["SVC"].fit(X_train, y_train),
    "forest": RandomForestClassifier(random_state=0).fit(X_train, y_train),
}
both = [
    ("cnn", FrozenEstimator(search.best_estimator_)),
    ("forest", FrozenEstimator(finalists["forest"])),
]
voters = VotingClassifier(both, voting="soft").fit(X_train, y_train)
finalists["network and forest, voting"] = voters
scores = pd.Series({n: m.score(X_test, y_test) for n, m in finalists.items()})
print(scores.round(4).to_string())
margin = (scores * (1 - scores) / len(y_test)) ** 0.5
print(f"each with a standard error of about {margin.max():.4f}")

# %%
# On 8 x 8 pixels, clean and centred, a support vector machine is as good and much
# quicker to train. A network pays where images are larger, worn, off centre, or where
# other digits have been learnt before.
_, (ax, shown) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for name, scores in folds.items():
    ax.plot(scores, [name] * len(scores), "o", alpha=0.6)
ax.margins(y=0.4)
ax.locator_params(axis="x", nbins=5)
ax.set_xlabel("accuracy in each of three folds")
ConfusionMatrixDisplay.from_estimator(
    search.best_estimator_, X_test, y_test, ax=shown, colorbar=False, cmap="Blues"
)
shown.set_title("the network on the last third", fontsize="medium")
plt.show()
