"""
Fit on your own labels, search, cross-validate by polling station
=================================================================

The reader is a stock Pipeline whose sample is the page: `GridSearchCV` and
`cross_val_score` work on it as on anything else, and `GroupKFold` keeps the pages of
one station, written by one hand, on one side of every split.
"""

# %%
# Twenty-four pages with known boxes, two from each of twelve stations.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC

from sktally import (
    CellNormalizer,
    TallyCropper,
    VoteCountAggregator,
    count_accuracy,
    digit_accuracy,
    make_tally_pages,
)

made = make_tally_pages(24, form="example", degrade=0.2, random_state=0)
stations = np.repeat(np.arange(12), 2)

# %%
# Any classifier goes inside `VoteCountAggregator`; here a support vector machine on
# principal components. Labels are the boxes as written, such as "x23".
reader = Pipeline(
    [
        ("crop", TallyCropper("example")),
        ("normalize", CellNormalizer()),
        ("votes", VoteCountAggregator(make_pipeline(PCA(40), SVC(C=10)))),
    ]
)
scores = cross_val_score(
    reader,
    made.pages,
    made.boxes,
    groups=stations,
    cv=GroupKFold(3),
    scoring=digit_accuracy,
)
print(f"boxes right in each fold: {scores.round(3)}")

# %%
# Search parameters of every step at once: how cells are squared, and the machine.
search = GridSearchCV(
    reader,
    {
        "normalize__square": ["squash", "pad"],
        "votes__classifier__svc__C": [1, 10],
    },
    cv=GroupKFold(3),
    scoring=count_accuracy,
)
search.fit(made.pages, made.boxes, groups=stations)
results = pd.DataFrame(search.cv_results_)[
    [
        "param_normalize__square",
        "param_votes__classifier__svc__C",
        "mean_test_score",
        "std_test_score",
    ]
]
print(results.to_string())

# %%
ax = results.plot.barh(y="mean_test_score", xerr="std_test_score", legend=False)
ax.set_yticklabels(
    [f"{square}, C={c}" for square, c in results.iloc[:, :2].itertuples(index=False)]
)
ax.set_xlabel("share of counts exactly right, by station (three folds)")
plt.tight_layout()
plt.show()
