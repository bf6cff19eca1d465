"""
Are the probabilities true, and how much need nobody look at?
=============================================================

A count comes with a probability of being right. If that is true, a threshold on it
decides what people look at, and a contract says how many of the others are wrong.
"""

# %%
# A reader fitted on few sheets, some others to calibrate it with, and those to check it
# on: three sets that share no page.
import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktally import (
    CellNormalizer,
    ReadingContract,
    ReadRateDisplay,
    ReliabilityDisplay,
    TallyCropper,
    VoteCountAggregator,
    make_tally_pages,
)

made = make_tally_pages(260, degrade="scan", scale=0.4, random_state=0)
cleaner = make_pipeline(TallyCropper("example"), CellNormalizer(size=20))
cells = cleaner.fit_transform(made.pages)
fitted_on, calibrated_on, checked = slice(60), slice(60, 120), slice(120, None)
votes = VoteCountAggregator(LogisticRegression(max_iter=500))
votes.fit(cells[fitted_on], made.boxes[fitted_on])

# %%
# Probabilities of counts before and after calibration, and which counts are right.
raw = votes.predict_count_proba(cells[checked])
votes.calibrate(cells[calibrated_on], made.boxes[calibrated_on])
calibrated = votes.predict_count_proba(cells[checked])
correct = votes.predict(cells[checked]) == made.counts[checked]
print(f"{correct.mean():.3f} of {correct.size} counts right")

# %%
# At most 5 % of what nobody looks at may be wrong, at 95 % confidence. The contract
# goes from sure to unsure as long as that can be proven.
contract = ReadingContract(max_error=0.05).fit(calibrated, correct)
print(f"read rate {contract.read_rate_.estimate:.3f} from {contract.threshold_:.3f} on")

# %%
# Points above the diagonal: the reader is not sure enough; below, it is too sure. Each
# bin holds as many counts, and its bar is an interval by page. To the right, what may
# be accepted: the dashed line has to stay below what was agreed.
_, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
options = {"n_bins": 8, "random_state": 0, "ax": left}
ReliabilityDisplay.from_predictions(correct, raw, name="as fitted", **options)
ReliabilityDisplay.from_predictions(correct, calibrated, name="calibrated", **options)
ReadRateDisplay.from_estimator(contract, ax=right)
plt.show()
