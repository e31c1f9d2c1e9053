"""The face network: detector, 478-point landmarks, and the refiners of lips and eyes.

All are plain convolutional networks on RGB in 0..1, (b, 3, h, w), made small enough for one CPU core. The detector is
anchor-free with a centre heat map (Zhou et al. 2019, *Objects as Points*). The landmark network regresses all points at
once, as MediaPipe's does (Kartynnik et al. 2019, *Real-time Facial Surface Geometry*); patches cut round lips and eyes of the
upright face are looked at once more (Grishchenko et al. 2020, *Attention Mesh*, does so on features; pixels are sharper).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talkinghead.constants import POINTS


class ConvUnit(nn.Sequential):
    """Convolution, batch norm, ReLU. The norm folds into the convolution at export."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """Two 3x3 convolutions with a shortcut (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvUnit(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class FaceDetector(nn.Module):
    """(b, 3, 320, 320) -> (b, 4, 40, 40): centre logit, centre offset x, y in cells, log(face height / stride)."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        w = width
        self.to_8 = nn.Sequential(ConvUnit(3, w, 3, 2), ConvUnit(w, 2 * w, 3, 2), ConvUnit(2 * w, 4 * w, 3, 2), Residual(4 * w))
        self.to_16 = nn.Sequential(ConvUnit(4 * w, 6 * w, 3, 2), Residual(6 * w))
        self.to_32 = nn.Sequential(ConvUnit(6 * w, 8 * w, 3, 2), Residual(8 * w), Residual(8 * w))
        self.up_16 = ConvUnit(8 * w, 6 * w, 1)
        self.up_8 = ConvUnit(6 * w, 4 * w, 1)
        self.head = nn.Sequential(ConvUnit(4 * w, 4 * w), nn.Conv2d(4 * w, 4, 1))
        nn.init.constant_(self.head[1].bias[:1], -4.0)  # type: ignore[index, arg-type]

    def forward(self, image: Tensor) -> Tensor:
        x8 = self.to_8(image - 0.5)
        x16 = self.to_16(x8)
        x32 = self.to_32(x16)
        x16 = x16 + F.interpolate(self.up_16(x32), scale_factor=2.0, mode="nearest")
        x8 = x8 + F.interpolate(self.up_8(x16), scale_factor=2.0, mode="nearest")
        return self.head(x8)


class FaceLandmarks(nn.Module):
    """(b, 3, 128, 128) -> points (b, 478, 3) in input px (z has the scale of x) and a presence logit (b,)."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        w = width
        self.trunk = nn.Sequential(
            ConvUnit(3, w, 5, 2),
            ConvUnit(w, 2 * w, 3, 2),
            Residual(2 * w),
            ConvUnit(2 * w, 4 * w, 3, 2),
            Residual(4 * w),
            Residual(4 * w),
            ConvUnit(4 * w, 6 * w, 3, 2),
            Residual(6 * w),
            Residual(6 * w),
            ConvUnit(6 * w, 8 * w, 3, 2),
            Residual(8 * w),
            ConvUnit(8 * w, 6 * w, 1),
        )
        self.code = nn.Sequential(nn.Linear(6 * w * 16, 320), nn.ReLU(inplace=True))
        self.shape = nn.Linear(320, 96)
        self.points = nn.Linear(96, POINTS * 3)
        self.presence = nn.Linear(320, 1)

    def set_basis(self, mean: Tensor, modes: Tensor) -> None:
        """Begin the last layer at a mean shape (478, 3) and its modes (96, 478, 3), all in input px."""
        with torch.no_grad():
            self.points.bias.copy_(mean.reshape(-1))
            self.points.weight.copy_(modes.reshape(len(modes), -1).T)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.trunk(image - 0.5).flatten(1).float()
        with torch.autocast(x.device.type, enabled=False):
            code = self.code(x)
            return self.points(self.shape(code)).unflatten(1, (POINTS, 3)), self.presence(code)[:, 0]


class PatchRefiner(nn.Module):
    """(b, 3, h, w) of an upright patch -> 2-D points (b, n, 2) in patch px."""

    def __init__(self, points: int, size_px: tuple[int, int], width: int = 24) -> None:
        super().__init__()
        w = width
        self.trunk = nn.Sequential(
            ConvUnit(3, w, 3, 2),
            ConvUnit(w, 2 * w, 3, 2),
            Residual(2 * w),
            ConvUnit(2 * w, 4 * w, 3, 2),
            Residual(4 * w),
            Residual(4 * w),
            ConvUnit(4 * w, 4 * w, 3, 2),
            ConvUnit(4 * w, 2 * w, 1),
        )
        columns, rows = -(-size_px[0] // 16), -(-size_px[1] // 16)
        self.code = nn.Sequential(nn.Linear(2 * w * columns * rows, 192), nn.ReLU(inplace=True))
        self.points = nn.Linear(192, points * 2)
        self.count = points

    def set_mean(self, mean: Tensor) -> None:
        """Begin the last layer at a mean (n, 2) in patch px."""
        with torch.no_grad():
            self.points.bias.copy_(mean.reshape(-1))

    def forward(self, image: Tensor) -> Tensor:
        x = self.trunk(image - 0.5).flatten(1).float()
        with torch.autocast(x.device.type, enabled=False):
            return self.points(self.code(x)).unflatten(1, (self.count, 2))
