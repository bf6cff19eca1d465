"""Networks with the layers and parameter names of published weights.

`VGG16` and `ResNet18` have the tensors of torchvision's ``vgg16`` and ``resnet18``, so
that their state dicts load by name. They see three channels; grey images are repeated.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from sktally.digits._layers import ExactLinear, SteppingConv2d, draw_weights

__all__ = ["ResNet18", "VGG16"]

_SMALLEST = 32  # pixels: both networks halve the image five times


def _three_channels(x: torch.Tensor) -> torch.Tensor:
    """Return colour images of at least 32 x 32, padded with background."""
    missing = [max(_SMALLEST - side, 0) for side in x.shape[2:]]
    if any(missing):
        (up, left) = (gap // 2 for gap in missing)
        x = functional.pad(x, (left, missing[1] - left, up, missing[0] - up))
    return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x


class VGG16(nn.Module):
    """Thirteen convolutions of 3 x 3 and three fully connected layers.

    Parameters
    ----------
    n_classes : int
        Number of logits.

    Notes
    -----
    134 million weights, 102 million of them between the last convolution and the
    first fully connected layer, whatever the size of the images: fit for transfer
    with frozen layers on a GPU rather than for training from nothing on a CPU.

    References
    ----------
    K. Simonyan and A. Zisserman, Very deep convolutional networks for large-scale
    image recognition, arXiv:1409.1556 (configuration D).
    """

    stages = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
    dense = 4096
    dropout = 0.5

    def __init__(self, *, n_classes: int):
        super().__init__()
        layers: list[nn.Module] = []
        width = 3
        for stage in self.stages:
            for count in stage:
                layers += [nn.Conv2d(width, count, 3, padding=1), nn.ReLU()]
                width = count
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(width * 49, self.dense),
            nn.ReLU(),
            nn.Dropout(self.dropout),
            nn.Linear(self.dense, self.dense),
            nn.ReLU(),
            nn.Dropout(self.dropout),
            ExactLinear(self.dense, n_classes),
        )
        draw_weights(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``(n, n_classes)`` of images ``(n, channels, h, w)``."""
        x = self.avgpool(self.features(_three_channels(x)))
        return self.classifier(x.flatten(1))


class _Residual(nn.Module):
    """Two convolutions of 3 x 3, added to what came in."""

    def __init__(self, before: int, count: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(before, count, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(count)
        self.conv2 = nn.Conv2d(count, count, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(count)
        self.downsample = None
        if stride > 1 or before != count:
            shortcut = SteppingConv2d(before, count, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return images of half the size where the stride is 2."""
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet18(nn.Module):
    """Eight residual blocks of two convolutions each, with batch norm.

    Parameters
    ----------
    n_classes : int
        Number of logits.

    Notes
    -----
    11 million weights; 21 weight layers, as the three shortcuts count.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, Deep residual learning for image recognition,
    CVPR 2016.
    """

    widths = (64, 128, 256, 512)

    def __init__(self, *, n_classes: int):
        super().__init__()
        width = self.widths[0]
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        for i, count in enumerate(self.widths, 1):
            first = _Residual(width, count, 1 if i == 1 else 2)
            second = _Residual(count, count, 1)
            self.add_module(f"layer{i}", nn.Sequential(first, second))
            width = count
        self.fc = ExactLinear(width, n_classes)
        draw_weights(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``(n, n_classes)`` of images ``(n, channels, h, w)``."""
        x = self.bn1(self.conv1(_three_channels(x))).relu()
        x = functional.max_pool2d(x, 3, 2, 1)
        for i in range(1, len(self.widths) + 1):
            x = getattr(self, f"layer{i}")(x)
        return self.fc(x.mean((2, 3)))
