"""What bubbles beside the boxes say, and what heeding them is worth.

indonesia-2024 has ten bubbles under each box, of which clerks fill one. Printed, first
for pages 1-250, by which the constants of `sktally.cells._bubbles` were chosen, then
for pages 251-500:

- of boxes with a digit, and of crossed ones, how many have a bubble that is plainly
  filled, and how many of these are that of another digit (a clerk's slip, or ours);
- log loss of digits by bubbles alone, for the constants in use and others (1-250 only);
- counts and pages right by the bundled model `handwriting`, which never saw a real
  tally, with bubbles heeded and not; how many counts are "ambiguous", and how many of
  the others are wrong.

Pages on which the form is not found are left out. --quick reads made pages.
"""

from __future__ import annotations

import numpy as np
from common import arguments, clustered_share, load_boxes, print_versions

from sktally import load_reader, make_tally_pages, read_page
from sktally.cells import _bubbles

FORM = "indonesia-2024"
OTHERS = {
    "_FILLED": (0.3, 0.5),
    "_STEEP": (8.0, 16.0),
    "_FAINTEST": (0.1, 0.2),
    "_ASIDE": (0.2, 0.6),
    "_DISC": (0.5, 0.9),
}


def said_digits(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the characters of boxes, and the digits they stand for."""
    characters = np.array([[list(b or "   ") for b in row] for row in boxes])
    digits = np.where(np.char.isdigit(characters), characters, "0").astype(int)
    return characters, digits


def plainly(bubbles, characters, digits, page) -> None:
    """Print how many bubbles are plainly filled, and how many of those are wrong."""
    plain = bubbles.max(axis=-1) > 0.5
    right = bubbles.argmax(axis=-1) == digits
    for name, wanted in (("digits", [*"0123456789"]), ("crossed", ["x"])):
        some = np.isin(characters, wanted)
        print(f"  {name}: plain  {clustered_share(plain[some], page[some])}")
        some &= plain
        print(f"  {name}: right if plain  {clustered_share(right[some], page[some])}")


def log_loss(bubbles, characters, digits) -> float:
    """Return the mean log loss of digits, in nats."""
    some = np.char.isdigit(characters)
    at = np.take_along_axis(bubbles, digits[..., None], axis=-1)[..., 0][some]
    return float(-np.log(at).mean())


def compare(form, pages, reports, characters, digits) -> None:
    """Print the log loss with one constant at a time changed."""

    def loss() -> float:
        found = [
            _bubbles.read_bubbles(page, form, at.homography, at.quads)
            for page, at in zip(pages, reports)
        ]
        return log_loss(np.stack(found), characters, digits)

    print(f"  log loss of digits, as used: {loss():.4f}")
    for name, values in OTHERS.items():
        before = getattr(_bubbles, name)
        for value in values:
            setattr(_bubbles, name, value)
            print(f"  {name} {value:g}: {loss():.4f}")
        setattr(_bubbles, name, before)


def worth(votes, cells, counts, page) -> None:
    """Print counts and pages right with bubbles heeded and not."""
    known = counts >= 0
    for heeded in (False, True):
        read = votes.set_params(bubbles=heeded).predict_tallies(cells)
        exact = (read.counts == counts) | ~known
        print(f"  bubbles {'heeded' if heeded else 'not heeded'}:")
        print(f"    counts  {clustered_share(exact[known], page[known])}")
        print(f"    pages   {clustered_share(exact.all(axis=1), page[:, 0])}")
        doubtful = (read.status != "ok") & known
        wrong = known & ~exact
        print(
            f"    ambiguous {doubtful.sum()} of {known.sum()}; wrong {wrong.sum()}, "
            f"of them not ambiguous {(wrong & ~doubtful).sum()}"
        )


def main() -> None:
    args = arguments(
        __doc__.splitlines()[0],
        quick={"action": "store_true", "help": "a few made pages"},
    )
    print_versions(args.seed)
    reader = load_reader(FORM, model="handwriting")
    if args.quick:
        made = make_tally_pages(10, form=FORM, random_state=args.seed)
        halves = {"made": (made.pages, made.boxes, made.counts)}
    else:
        paths, boxes, counts, _ = load_boxes(args.data / FORM)
        parts = {"pages 1-250": slice(250), "pages 251-500": slice(250, 500)}
        halves = {k: (paths[at], boxes[at], counts[at]) for k, at in parts.items()}
    for name, (pages, boxes, counts) in halves.items():
        cells, reports = reader[0].crop(pages)
        found = np.array([report.status == "ok" for report in reports])
        print(f"\n{name}: form found on {found.sum()} of {len(found)}")
        cells, boxes, counts = cells[found], boxes[found], counts[found]
        characters, digits = said_digits(boxes)
        page = np.broadcast_to(np.arange(len(boxes))[:, None, None], digits.shape)
        plainly(cells.bubbles, characters, digits, page)
        if name != "pages 251-500":
            seen = [
                p if args.quick else read_page(p)
                for p, kept in zip(pages, found)
                if kept
            ]
            where = [report.registration for report in reports if report.registration]
            compare(reader[0].form_, seen, where, characters, digits)
        worth(reader[-1], reader[1].transform(cells), counts, page[..., 0])


if __name__ == "__main__":
    main()
