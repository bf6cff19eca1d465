"""
Label fewer cells: ask for those that teach most
================================================

Labels cost a person's time. :func:`sktally.select_queries` chooses which cells of a
pool to label next: those in doubt, spread over what the pool looks like.
"""

# %%
# Real handwritten digits: for each seed 600 to test on, the rest as a pool of which 20
# are labelled at first.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from sktally import CNNClassifier, select_queries

X, y = load_digits(return_X_y=True)
X = X / 16
N_TEST, N_FIRST, N_QUERIES, N_ROUNDS = 600, 20, 20, 8
SEEDS = range(6)
ways = {
    "random": None,
    "most uncertain (diversity=0)": 0.0,
    "uncertain and diverse (0.25)": 0.25,
    "representative only (1)": 1.0,
}

# %%
# Train, ask, label, and train again.


def accuracies(diversity, seed):
    """Return the test accuracy after each round of labelling."""
    rng = np.random.default_rng(seed)
    test, pool = np.split(rng.permutation(len(X)), [N_TEST])
    labelled, rest = pool[:N_FIRST], pool[N_FIRST:]
    found = []
    for _ in range(N_ROUNDS + 1):
        model = LogisticRegression(C=10, tol=1e-2).fit(X[labelled], y[labelled])
        found.append(model.score(X[test], y[test]))
        if diversity is None:
            new = rng.choice(len(rest), N_QUERIES, replace=False)
        else:
            new = select_queries(
                model, X[rest], N_QUERIES, diversity=diversity, random_state=seed
            )
        labelled, rest = np.r_[labelled, rest[new]], np.delete(rest, new)
    return found


curves = {
    name: np.array([accuracies(diversity, seed) for seed in SEEDS])
    for name, diversity in ways.items()
}
n_labels = N_FIRST + N_QUERIES * np.arange(N_ROUNDS + 1)
medians = pd.DataFrame({name: np.median(c, axis=0) for name, c in curves.items()})
medians.index = pd.Index(n_labels, name="labelled")
print(f"median accuracy on {N_TEST} test digits, seeds {SEEDS[0]} to {SEEDS[-1]}")
print(medians.round(3).to_string())

# %%
# How many labels do chosen digits take to be as good as all the random ones?
goal = medians["random"].iloc[-1]
for name in list(ways)[1:]:
    reached = medians.index[medians[name] >= goal]
    needed = f"{reached[0]} labels" if len(reached) else "not reached"
    print(f"{goal:.3f}, as {n_labels[-1]} random labels give: {needed}, {name}")

# %%
# With a network, cells are compared in its last hidden layer. Whole pages are chosen
# where a person labels a page at a time: here "pages" of 24 cells.
network = CNNClassifier(
    filters=(8, 16), hidden=(32,), max_epochs=15, learning_rate=0.01, random_state=0
)
network.fit(X[:100].reshape(-1, 8, 8), y[:100])
cells = X[100:1780].reshape(-1, 8, 8)
pages = np.arange(len(cells)) // 24
chosen = select_queries(network, cells, 5, groups=pages, random_state=0)
print(f"pages to label, best first: {pd.unique(pages[chosen])}, {len(chosen)} cells")

# %%
_, (ax, shown) = plt.subplots(
    1, 2, figsize=(10, 4), width_ratios=[3, 2], layout="constrained"
)
for name, curve in curves.items():
    low, high = np.quantile(curve, [0.25, 0.75], axis=0)
    ax.plot(n_labels, medians[name], marker=".", label=name)
    ax.fill_between(n_labels, low, high, alpha=0.15)
ax.axhline(goal, color="grey", linestyle=":")
ax.set_xlabel("labelled digits")
ax.set_ylabel(f"accuracy on {N_TEST} others")
ax.set_title(f"median and quartiles of {len(SEEDS)} seeds")
ax.legend()

asked = select_queries(network, cells, 20, random_state=0)
grid = np.pad(cells[asked], ((0, 0), (1, 1), (1, 1))).reshape(4, 5, 10, 10)
shown.imshow(grid.swapaxes(1, 2).reshape(40, 50), cmap="gray_r")
shown.set_title("the 20 digits that the network asks for")
shown.set_axis_off()
plt.show()
