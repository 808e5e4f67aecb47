"""Make a demo video from a real photograph: the astronaut of scikit-image, panned and zoomed.

The face of Eileen Collins wanders through the picture, comes closer, leaves it for a second and comes back, as it
would in front of a camera. The video is encoded with a real codec (H.264 where PyAV has it, otherwise MPEG-4), so
that what reads it has the same work as with any other file. The same arguments always give the same pictures.

    python examples/make_video.py --output demo.mp4 --seconds 10 --fps 30 --size 640x360

It prints one line, such as `demo.mp4: 300 frames, 640x360, 30 fps, libx264`. Needs `av` and `scikit-image`.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream
from PIL import Image
from skimage import data

FACE_CENTER = (222.0, 117.0)  # column and row of the face in the photograph, pixels
SECONDS_PER_ROUND = 6.0  # after so long the camera has been everywhere and begins anew


def parse_size(text: str) -> tuple[int, int]:
    """Turn `"640x360"` into `(640, 360)`; both are made even, since H.264 cannot store odd sizes."""
    try:
        width, height = (int(part) & ~1 for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write it like 640x360") from None
    if not (16 <= width <= 7680 and 16 <= height <= 4320):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size between 16x16 and 7680x4320")
    return width, height


def positive(text: str) -> float:
    """Turn `"2.5"` into `2.5`, and refuse what is not a number above zero."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not (0 < value < math.inf):
        raise argparse.ArgumentTypeError(f"{text!r} must be above zero")
    return value


def choose_encoder(container: av.container.OutputContainer) -> str | None:
    """Name the encoder to use for `container`: H.264 first, then MPEG-4, then VP9; None if none fits."""
    for codec, encoder in (("h264", "libx264"), ("mpeg4", "mpeg4"), ("vp9", "libvpx-vp9")):
        if codec in container.supported_codecs and encoder in av.codecs_available:
            return encoder
    return None


def add_video_stream(container: av.container.OutputContainer, rate: Fraction, size: tuple[int, int]) -> VideoStream:
    """Add a stream for pictures of `size` to `container`, with the best encoder it can hold.

    Raises:
        ValueError: the container holds no codec that PyAV can encode here.
    """
    encoder = choose_encoder(container)
    if encoder is None:
        raise ValueError(f"{container.format.name} files hold neither H.264, MPEG-4 nor VP9")
    stream = cast(VideoStream, container.add_stream(encoder, rate=rate))
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    if encoder == "libx264":
        stream.options = {"preset": "veryfast", "crf": "20"}
    else:
        stream.bit_rate = 4_000_000
    return stream


def pictures(frames: int, fps: float, size: tuple[int, int]) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield `frames` RGB pictures (height, width, 3) of the photograph, seen through a moving window."""
    photograph = Image.fromarray(data.astronaut())  # type: ignore[no-untyped-call]
    width, height = size
    widest = min(photograph.width, photograph.height * width / height)
    for number in range(frames):
        turn = 2 * math.pi * number / fps / SECONDS_PER_ROUND
        window_width = widest * (0.85 + 0.15 * math.cos(turn))  # 70 % to 100 % of the photograph
        window_height = window_width * height / width
        left = FACE_CENTER[0] - window_width * (0.5 + 0.15 * math.sin(turn))
        look_down = 500 * max(0.0, math.sin(turn) - 0.6)  # the face leaves the picture for a while
        top = FACE_CENTER[1] - window_height / 2 + look_down
        left = min(max(left, 0.0), photograph.width - window_width)
        top = min(max(top, 0.0), photograph.height - window_height)
        window = (left, top, left + window_width, top + window_height)
        yield np.asarray(photograph.resize(size, Image.Resampling.BILINEAR, box=window))


def make_video(output: Path, seconds: float = 10.0, fps: float = 30.0, size: tuple[int, int] = (640, 360)) -> str:
    """Write the demo video to `output` and return the line that describes it.

    Args:
        output: the file to write; its extension decides on the container.
        seconds: how long the video lasts; at least one frame is written.
        fps: frames per second.
        size: width and height in pixels, both even.

    Raises:
        OSError: the file cannot be written.
        ValueError: the extension names no container that can hold the video.
    """
    frames = max(1, round(seconds * fps))
    with av.open(str(output), "w") as container:
        stream = add_video_stream(container, Fraction(fps).limit_denominator(1001), size)
        for picture in pictures(frames, fps, size):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return f"{output}: {frames} frames, {size[0]}x{size[1]}, {fps:g} fps, {stream.codec_context.name}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Make a demo video with a moving face from a real photograph.")
    parser.add_argument("--output", type=Path, default=Path("demo.mp4"), metavar="FILE", help="default: %(default)s")
    parser.add_argument("--seconds", type=positive, default=10.0, help="length of the video, default: %(default)s")
    parser.add_argument("--fps", type=positive, default=30.0, help="frames per second, default: %(default)s")
    parser.add_argument("--size", type=parse_size, default=(640, 360), metavar="WxH", help="default: 640x360")
    options = parser.parse_args()
    try:
        print(make_video(options.output, options.seconds, options.fps, options.size))
    except (OSError, ValueError) as error:
        print(f"make_video: cannot write {options.output}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
