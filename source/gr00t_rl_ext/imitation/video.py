# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Images of an episode <-> mp4, through PyAV; and images in parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from PIL import Image

from gr00t_rl_ext.imitation.layout import DatasetError

CODEC, PIXEL_FORMAT = "libx264", "yuv420p"
QUALITY = "18"
"""x264's constant rate factor: without visible loss. Chroma has half the resolution, as in GR00T's own data."""
KEY_FRAME_EVERY = "2"
"""A reader that jumps to a frame decodes two frames at most; LeRobot's choice."""
B_FRAMES = "0"
"""Frames that are stored before others that come earlier. With such frames LeRobot's converter to its version 3 cannot
join an episode of one step to others: its video begins at another time."""


def write_video(file: Path, images: np.ndarray, fps: int) -> None:
    """Encode images as H.264.

    Args:
        file: File to write, whatever its suffix.
        images: Shape (T, H, W, 3), uint8; height and width even, T at least 1.
        fps: Frames per second.
    """
    with av.open(str(file), "w", format="mp4") as container:
        options = {"crf": QUALITY, "g": KEY_FRAME_EVERY, "bf": B_FRAMES}
        stream = container.add_stream(CODEC, rate=fps, options=options)
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = PIXEL_FORMAT
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode())


def probe_video(file: Path, length: int | None = None) -> tuple[int, int]:
    """Look at a video without decoding it.

    Args:
        file: The video.
        length: Number of frames that are expected; None: any.

    Returns:
        Height and width [px].

    Raises:
        DatasetError: It is missing, cannot be decoded, has other frames, or is a depth map.
    """
    with _opened(file) as (_, stream):
        pixel = stream.codec_context.format
        if len(pixel.components) == 1 and pixel.components[0].bits > 8:
            raise DatasetError(
                f"The video {str(file)!r} has the pixel format {pixel.name}, as depth maps have; GR00T sees colours of"
                " 8 bits. Take the camera out of meta/modality.json."
            )
        # 0 where the file does not tell
        if length is not None and stream.frames:
            _check_frames(file, stream.frames, length)
        return stream.height, stream.width


def read_video(file: Path, length: int, start: float | None = None, fps: float = 1.0) -> np.ndarray:
    """Decode the frames of an episode.

    Args:
        file: The video.
        length: Number of frames that are expected.
        start: Where the episode begins in a video of several [s]. None: the video is of this episode alone.
        fps: Frames per second, of a video of several episodes.

    Returns:
        Shape (length, H, W, 3), uint8.

    Raises:
        DatasetError: The file is missing, cannot be decoded, or has other frames.
    """
    frames, time = [], 0.0
    with _opened(file) as (container, stream):
        # FFmpeg would make up what it cannot decode
        stream.codec_context.options = {"err_detect": "explode"}
        if start is not None:
            # to the key frame before
            container.seek(max(round(start / stream.time_base) - 1, 0), stream=stream)
        for frame in container.decode(stream):
            if start is not None and frame.time < start - 0.5 / fps:
                continue
            frames.append(frame.to_ndarray(format="rgb24"))
            time = frame.time
            if start is not None and len(frames) == length:
                break
    _check_frames(file, len(frames), length)
    if start is not None and abs(time - start - (length - 1) / fps) > 0.5 / fps:
        raise DatasetError(
            f"The video {str(file)!r} has another frame rate than {fps:g} fps: {length} frames from {start:g} s on"
            f" end at {time:g} s. Correct fps in meta/info.json, or from_timestamp in the list of episodes."
        )
    return np.stack(frames)


def _check_frames(file: Path, found: int, length: int) -> None:
    if found != length:
        raise DatasetError(
            f"The video {str(file)!r} has {found} frames, but its episode has {length} steps. It is truncated, or"
            " belongs to another episode."
        )


@contextmanager
def _opened(file: Path) -> Iterator[tuple[Any, Any]]:
    """Container and video stream of a file."""
    try:
        with av.open(str(file)) as container:
            yield container, container.streams.video[0]
    except FileNotFoundError:
        raise DatasetError(f"The video {str(file)!r} is missing.") from None
    except (av.error.FFmpegError, IndexError, OSError) as error:
        raise DatasetError(
            f"The video {str(file)!r} cannot be decoded ({error}). Copy or record the episode again."
        ) from error


class EncodedImages:
    """Images as LeRobot keeps them in parquet files: ``{"bytes": PNG or JPEG, "path": ...}`` per row.

    Args:
        rows: The column's values.
        name: Column, file and episode, for messages.

    Raises:
        DatasetError: One of them is no colour image of 8 bits, or they differ in size.
    """

    def __init__(self, rows: Sequence[Any], name: str) -> None:
        self._name = name
        self._images = [self._open(row, step) for step, row in enumerate(rows)]
        width, height = self._images[0].size
        self.size = height, width
        for step, image in enumerate(self._images):
            if image.size != (width, height):
                raise DatasetError(
                    f"{name} holds {image.size[0]} x {image.size[1]} px in step {step}, but {width} x {height} px in"
                    " step 0. Scale the images to one size."
                )

    def decode(self) -> np.ndarray:
        """The images, (T, H, W, 3), uint8."""
        try:
            return np.stack([np.asarray(image.convert("RGB")) for image in self._images])
        except (OSError, SyntaxError, ValueError) as error:
            raise DatasetError(
                f"{self._name} cannot be decoded ({error}). Copy or record the episode again."
            ) from error

    def _open(self, row: Any, step: int) -> Image.Image:
        content = row.get("bytes") if isinstance(row, dict) else row
        if not isinstance(content, bytes):
            raise DatasetError(f"{self._name} holds no image in step {step}, but {content!r:.40}; expected its bytes.")
        try:
            image = Image.open(BytesIO(content))
        except (OSError, SyntaxError, ValueError) as error:
            raise DatasetError(f"{self._name} holds no image in step {step}: {error}.") from error
        if image.mode not in ("RGB", "L", "P"):
            raise DatasetError(
                f"{self._name} holds an image of mode {image.mode} in step {step}; expected colours of 8 bits without"
                " alpha (RGB). Take a depth camera out of meta/modality.json."
            )
        return image
