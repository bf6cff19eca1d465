"""Make tally sheets and digit cells with known answers, and read digit sets.

Synthetic handwriting is drawn from pen strokes: nothing is downloaded, any number of
samples in any form, the same `random_state` gives the same pixels, and the truth is
returned with them. `load_mnist` reads a local copy of MNIST and `embed_digits` pastes
such digits into tally-like boxes.
"""

from sktally.datasets._cells import make_digit_cells
from sktally.datasets._embed import embed_digits
from sktally.datasets._mnist import load_mnist
from sktally.datasets._pages import make_tally_pages

__all__ = ["embed_digits", "load_mnist", "make_digit_cells", "make_tally_pages"]
