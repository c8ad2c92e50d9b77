# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From a camera's image to the square that the vision model sees, as NVIDIA's evaluation transforms make it.

Read in NVIDIA/Isaac-GR00T: ``gr00t/data/transform/video.py`` (N1.5), ``gr00t/data/transform/augmentations.py`` and the
processors of N1.6 and N1.7. Images go through 8 bits wherever theirs do.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class ImageRecipe:
    """How an image becomes the square that the vision model sees. Must be what the checkpoint was fine-tuned with."""

    size: tuple[int, int]
    """Height and width in pixels of what the vision model takes, a square in every published checkpoint."""

    interpolation: str = "bilinear"
    """"bilinear" or "bicubic", antialiased, or "area", the mean over the area that a pixel covers: OpenCV's
    INTER_AREA."""

    crop_scale: float | None = None
    """Side of the centre crop relative to the image, in (0, 1]; None: no crop."""

    crop_pixels: int | None = None
    """Side of the centre crop in pixels, in place of ``crop_scale``."""

    letterbox: bool = False
    """Whether images that are not square are padded with black to squares, instead of stretched."""

    edge: int | None = None
    """Side in pixels to which squares are resized before the crop, and again after it. None: the crop is resized to
    ``size`` at once."""

    truncates: bool = False
    """Whether colours are truncated to 8 bits in the end, instead of rounded after each step; neither ``letterbox`` nor
    ``edge`` is read then."""


class ImageTransform:
    """Applies a recipe.

    Args:
        recipe: The recipe.
    """

    def __init__(self, recipe: ImageRecipe) -> None:
        self.recipe = recipe
        # of its own, since tensors of torch's fake mode must not outlive it
        self._weights = functools.lru_cache(maxsize=16)(area_weights)
        self._taps = functools.lru_cache(maxsize=16)(area_taps)

    def __call__(self, images: Tensor) -> Tensor:
        """Images uint8 (N, H, W, 3) -> (N, 3, *size) in [0, 1], float32, multiples of 1 / 255."""
        recipe = self.recipe
        x = images.permute(0, 3, 1, 2).float()
        if recipe.truncates:
            # in this order, since a colour that is a little less than 51 after it becomes 50 there as well
            return (self._resize(self._crop(x / 255), recipe.size) * 255).trunc() / 255
        if recipe.letterbox:
            x = _letterbox(x)
        if recipe.edge is not None:
            x = self._resize(x, (recipe.edge, recipe.edge)).round()
        x = self._crop(x)
        if recipe.edge is not None:
            x = self._resize(x, (recipe.edge, recipe.edge)).round()
        # of another size only in N1.6, whose vision model wants whole patches
        x = self._resize(x, recipe.size, "bicubic" if recipe.edge is not None else recipe.interpolation)
        return x.round() / 255

    def _crop(self, x: Tensor) -> Tensor:
        recipe = self.recipe
        if recipe.crop_pixels is not None:
            sides = (recipe.crop_pixels, recipe.crop_pixels)
        elif recipe.crop_scale is not None:
            sides = tuple(int(side * recipe.crop_scale) for side in x.shape[-2:])
        else:
            return x
        # half a pixel is rounded as by the libraries that GR00T uses: albumentations, which has "area", rounds down
        half = (lambda rest: rest // 2) if recipe.interpolation == "area" else (lambda rest: round(rest / 2))
        top, left = (half(full - part) for full, part in zip(x.shape[-2:], sides, strict=True))
        return x[..., top : top + sides[0], left : left + sides[1]]

    def _resize(self, x: Tensor, size: tuple[int, int], interpolation: str | None = None) -> Tensor:
        """Images (N, C, H, W) -> (N, C, *size)."""
        interpolation = interpolation or self.recipe.interpolation
        if tuple(x.shape[-2:]) == size:
            return x
        if interpolation == "area":
            return self._resize_area(x, size)
        # resizing 8 bits to 8 bits, Pillow and torchvision round after the rows as well
        is_rounded = self.recipe.edge is not None
        for step in [(x.shape[-2], size[1]), size] if is_rounded else [size]:
            x = F.interpolate(x, step, mode=interpolation, align_corners=False, antialias=True)
            x = x.clamp(0, 255).round() if is_rounded else x  # bicubic weights overshoot
        return x

    def _resize_area(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Images (N, C, H, W) in whole numbers -> (N, C, *size), as OpenCV's ``INTER_AREA`` computes 8 bits."""
        height, width = x.shape[-2:]
        if size[0] > height or size[1] > width:
            return self._enlarge_area(x, size)
        rows, columns = (self._weights(*sides, x.device) for sides in zip((height, width), size, strict=True))
        mean = rows @ x @ columns.T
        # of 2 x 2 pixels it rounds one half up, else to the even number
        return (mean + 0.5).floor() if (height, width) == (2 * size[0], 2 * size[1]) else mean

    def _enlarge_area(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """``INTER_AREA`` where it enlarges: between two pixels, in whole numbers of 11 bits that OpenCV cuts off."""
        (above, below, top, bottom), (left, right, near, far) = (
            self._taps(*sides, x.device) for sides in zip(x.shape[-2:], size, strict=True)
        )
        x = x.int()
        rows = (x[..., left] * near + x[..., right] * far) >> 4
        upper, lower = rows[..., above, :] * top[:, None], rows[..., below, :] * bottom[:, None]
        return (((upper >> 16) + (lower >> 16) + 2) >> 2).float()


def _letterbox(x: Tensor) -> Tensor:
    """Images (N, C, H, W) padded with black to squares; of an odd number of rows, the larger part comes last."""
    height, width = x.shape[-2:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return F.pad(x, (left, side - width - left, top, side - height - top))


def area_taps(length: int, size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The two of ``length`` pixels that each of ``size`` new ones lies between, and their weights in 1 / 2048.

    New pixel i takes pixel j = floor(i length / size), and of the next one what of it lies beyond pixel j.
    """
    inverse = size / length
    index = torch.arange(size, dtype=torch.float64)
    # its own order of operations, since the next double below a whole number is floored to another pixel
    pixel = (index * (1 / inverse)).floor()
    share = ((index + 1) - (pixel + 1) * inverse).float()
    share = torch.where((share <= 0) | (pixel >= length - 1), 0.0, share - share.floor())
    pixel = pixel.long().clamp(max=length - 1)
    weights = [(part * 2048).round().int() for part in (1 - share, share)]
    near, far = pixel.to(device), (pixel + 1).clamp(max=length - 1).to(device)
    return near, far, weights[0].to(device), weights[1].to(device)


def area_weights(length: int, size: int, device: torch.device) -> Tensor:
    """Share of each of ``length`` pixels in each of ``size`` new ones, (size, length): OpenCV's ``INTER_AREA``.

    New pixel i covers [i s, (i + 1) s] with s = length / size, and takes the mean over that interval.
    """
    scale = length / size
    left = torch.arange(size, dtype=torch.float64)[:, None] * scale
    pixel = torch.arange(length, dtype=torch.float64)
    overlap = torch.minimum(left + scale, pixel + 1) - torch.maximum(left, pixel)
    return (overlap.clamp(min=0) / scale).to(device, torch.float32)
