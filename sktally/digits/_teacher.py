"""Learn from what a fitted network answers, besides the labels."""

from __future__ import annotations

import torch
from torch.nn import functional

from sktally._validate import check_range
from sktally.exceptions import TallyError

__all__ = ["TEMPERATURE", "Teacher", "make_teacher"]

#: Logits of both networks are divided by it before they are compared, which shows
#: which wrong classes the teacher finds likely.
TEMPERATURE = 2.0


class Teacher:
    """What a fitted net says of each training batch, as it was augmented.

    Parameters
    ----------
    net : DigitNet
        The fitted net.
    share : float
        Of the teacher in the loss, in [0, 1].

    References
    ----------
    .. [1] G. Hinton, O. Vinyals and J. Dean (2015). "Distilling the knowledge in a
       neural network". arXiv:1503.02531.
    .. [2] L. Beyer et al. (2022). "Knowledge distillation: a good teacher is patient
       and consistent". CVPR. Why teacher and student see the same augmented images.
    """

    def __init__(self, net, share: float):
        self.net = net
        self.share = share
        self.answers: torch.Tensor | None = None

    def see(self, x: torch.Tensor, offset: float, scale: float) -> None:
        """Answer a batch ``(n, channels, height, width)`` that a student is shown."""
        pixels = x.permute(0, 2, 3, 1) * scale + offset
        self.net.module_.eval()
        with torch.no_grad():
            self.answers = self.net.infer(pixels).to(x.device)

    def each(self, logits: torch.Tensor) -> torch.Tensor:
        """Return how far each answer of a student is from the teacher's.

        It is the Kullback-Leibler divergence of the softened probabilities, times the
        square of the temperature, which keeps its gradient in scale with that of the
        labels [1]_.
        """
        told, said = (
            functional.log_softmax(answers / TEMPERATURE, 1)
            for answers in (self.answers.to(logits.dtype), logits)
        )
        apart = functional.kl_div(said, told, reduction="none", log_target=True)
        return apart.sum(1) * TEMPERATURE**2


def make_teacher(teacher, share, classifier) -> Teacher | None:
    """Return the teacher of a classifier that knows its classes and images, or None.

    Raises
    ------
    TallyError
        If `teacher` is not fitted, knows other classes or images of another shape, or
        if `share` is not from 0 to 1.
    """
    check_range("teacher_share", share, 0, 1)
    if teacher is None:
        return None
    if not hasattr(teacher, "net_"):
        raise TallyError(
            "teacher: expected a fitted CNNClassifier, got "
            f"{type(teacher).__name__}; fit it, or take the last step of a Pipeline "
            "such as load_model('default')[-1]"
        )
    for name, theirs, ours in (
        ("classes", teacher.classes_.tolist(), classifier.classes_.tolist()),
        ("images", tuple(teacher.image_shape_), tuple(classifier.image_shape_)),
    ):
        if theirs != ours:
            advice = {
                "classes": "give both the same parameter `classes`",
                "images": "teacher and student must see the same cells",
            }[name]
            raise TallyError(f"teacher: expected {name} {ours}, got {theirs}; {advice}")
    return Teacher(teacher.net_, share)
