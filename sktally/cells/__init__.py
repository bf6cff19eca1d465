"""Turn a registered page into cells, and cells into clean digit images.

`TallyCropper` samples the boxes of a form straight from the scans;
`CellNormalizer` flattens the paper, takes out box frames and guide dots, and
centres and scales what the pen left.
"""

from sktally.cells._bubbled import BubbledCells
from sktally.cells._crop import TallyCropper
from sktally.cells._normalize import CellNormalizer
from sktally.cells._report import PageReport
from sktally.cells._sample import sample_cells

__all__ = [
    "BubbledCells",
    "CellNormalizer",
    "PageReport",
    "TallyCropper",
    "sample_cells",
]
