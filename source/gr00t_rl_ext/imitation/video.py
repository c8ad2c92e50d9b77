# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Images of an episode <-> mp4, through PyAV."""

from __future__ import annotations

from pathlib import Path

import av
import av.error
import numpy as np

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


def read_video(file: Path, length: int) -> np.ndarray:
    """Decode all frames.

    Args:
        file: The video.
        length: Number of frames that are expected.

    Returns:
        Shape (length, H, W, 3), uint8.

    Raises:
        DatasetError: The file is missing, cannot be decoded, or has another number of frames.
    """
    try:
        with av.open(str(file)) as container:
            # FFmpeg would make up what it cannot decode
            container.streams.video[0].codec_context.options = {"err_detect": "explode"}
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    except FileNotFoundError:
        raise DatasetError(f"The video {str(file)!r} is missing.") from None
    except (av.error.FFmpegError, IndexError, OSError) as error:
        raise DatasetError(
            f"The video {str(file)!r} cannot be decoded ({error}). Copy or record the episode again."
        ) from error
    if len(frames) != length:
        raise DatasetError(
            f"The video {str(file)!r} has {len(frames)} frames, but its episode has {length} steps. It is truncated,"
            " or belongs to another episode."
        )
    return np.stack(frames)
