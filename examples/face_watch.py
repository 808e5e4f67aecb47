"""Find faces in a real video: frames in, an annotated video and a JSON summary out.

Five flows, each a process of its own. A frame is written once, by the reader, straight into shared memory; the
detectors look at it there and pass it on without copying it:

                  +-> finder-1 -+
    reader (file) |             +-> marker -> writer
                  +-> finder-2 -+

Both finders see every frame and take turns by frame number. For a file all wires are lossless: each frame of the
input is in the output, in its place, and the reader waits for the slowest. A camera cannot be made to wait: its wires
are real-time, the newest frame wins, what is dropped is counted, and the output plays at the speed of the camera.
`--live` treats a file like a camera. Sound is not copied.

    python examples/face_watch.py                                            makes a video of its own first
    python examples/face_watch.py --input holiday.mp4 --output faces.mp4     writes faces.json beside it
    python examples/face_watch.py --input /dev/video0 --duration 20          or 0, 1, ... or rtsp://...
    python examples/face_watch.py --live --cockpit                           prints the address of a page that shows it
    python examples/face_watch.py --engine ray://10.0.0.1:6379               finders on hosts that have `detects`

Ctrl-C ends it early and leaves a file that plays. Exit codes: 0 done, 1 something failed on the way, 2 it could not
begin (one line says why), 130 a file was not worked through because of Ctrl-C.
Needs `pip install "pipert2[examples]"`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from face_routines import Finder, Marker, Reader, Video, Writer
from live_view import LiveView, make_console, print_table
from make_video import add_video_stream, make_video, parse_size, positive
from rich.console import Console

from pipert2 import Pipe, PipertError, RunSummary, SharedMemoryTransmitter, Wire
from pipert2.cockpit.beside import cockpit_beside

FINDERS = 2


class CannotBeginError(Exception):
    """What the user has to change; shown as one line, exit code 2."""


def camera_url(text: str) -> tuple[str, str] | None:
    """The address and the PyAV format of a camera, None if `text` names none."""
    if sys.platform == "darwin":
        return (text, "avfoundation") if text.isdigit() else None
    if sys.platform == "win32":
        return (text, "dshow") if text.startswith("video=") else None
    if text.isdigit() and not Path(text).exists():
        return f"/dev/video{text}", "v4l2"
    return (text, "v4l2") if text.startswith("/dev/video") else None


def find_video(text: str, live: bool) -> Video:
    """Look at the input before anything is started.

    Raises:
        CannotBeginError: it is not there, is no video, or has no picture in it.
    """
    camera = camera_url(text)
    stream = text.startswith(("rtsp://", "rtmp://", "rtsps://", "srt://", "udp://", "tcp://"))
    if camera:
        video = Video(*camera, live=True)
    else:
        video = Video(text, live=live or stream, paced=live and not stream)
    try:
        with video.open() as container:
            if not container.streams.video:
                raise CannotBeginError(f"{text} has no video in it, only {len(container.streams)} other streams")
            pictures = container.streams.video[0]
            if next(container.decode(pictures), None) is None:
                raise CannotBeginError(f"{text} has a video stream, but no picture in it")
            return replace(
                video,
                frames=pictures.frames or None,
                fps=float(pictures.average_rate) if pictures.average_rate else None,
            )
    except FileNotFoundError:
        raise CannotBeginError(f"there is no {'camera' if camera else 'file'} {video.url}") from None
    except IsADirectoryError:
        raise CannotBeginError(f"{text} is a folder, not a video") from None
    except av.error.InvalidDataError:
        raise CannotBeginError(f"{text} is not a video that can be read") from None
    except av.error.ExitError:
        raise CannotBeginError(f"nothing came from {text} within 10 s") from None
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise CannotBeginError(f"cannot read {text}: {getattr(error, 'strerror', None) or error}") from None


def check_outputs(source: str | None, output: Path, summary: Path) -> None:
    """Find out now whether the results can be written later.

    Raises:
        CannotBeginError: they cannot, or would overwrite the input.
    """
    if summary == output:
        raise CannotBeginError(f"the video and its summary cannot both be {output}")
    for path in (output, summary):
        if source is not None and path.exists() and Path(source).exists() and path.samefile(Path(source)):
            raise CannotBeginError(f"{path} is the input; choose another output")
        existed = path.exists()
        try:
            path.open("ab").close()
        except OSError as error:
            raise CannotBeginError(f"cannot write {path}: {error.strerror}") from None
        if not existed:
            path.unlink()
    try:
        with av.open(str(output), "w") as container:
            add_video_stream(container, Fraction(25), (64, 64))
    except ValueError as error:
        raise CannotBeginError(f"cannot write {output}: {error}; try a name that ends in .mp4") from None


def make_pipe(video: Video, options: argparse.Namespace, notes: Path) -> Pipe:
    """Five flows; lossless wires for what can wait, real-time ones for what cannot."""
    reader = Reader(video, options.size, options.duration)
    finders = [Finder(turn, FINDERS) for turn in range(FINDERS)]
    marker = Marker()
    # Lossless wires of 4 keep one finder at most 5 frames ahead of the other: what 16 frames overtook is lost for good.
    writer = Writer(options.output, notes, video.fps, patience=2 if video.live else 16)

    transmitter = SharedMemoryTransmitter()
    pipe = Pipe("face_watch", data_transmitter=transmitter, lossless=not video.live, engine=options.engine)
    pipe.create_flow("reading", False, reader)
    for finder in finders:
        pipe.create_flow(finder.name, False, finder, resources={"detects": 1})  # without an engine: here
    pipe.create_flow("marking", False, marker)
    pipe.create_flow("writing", False, writer)
    capacity = None if video.live else 4
    pipe.link(
        Wire(source=reader, destinations=tuple(finders), capacity=capacity),
        *(Wire(source=finder, destinations=(marker,), capacity=capacity) for finder in finders),
        Wire(source=marker, destinations=(writer,), capacity=capacity),
    )
    return pipe


def summarise(run: RunSummary, video: Video, options: argparse.Namespace, notes: Path) -> dict[str, Any]:
    """Everything worth keeping about the run, ready for JSON. Times are in seconds, rates per second."""
    boxes = [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []
    frames_read = next(routine.sent for routine in run.routines if routine.name == "reader")
    if any(flow.restarts for flow in run.flows if flow.name == "reading"):
        frames_read = boxes[-1]["number"] + 1 if boxes else 0  # it died and began anew: some were read twice
    return {
        "input": options.input or "(made by make_video.py)",
        "output": str(options.output),
        "delivery": "real-time" if video.live else "lossless",
        "ended": run.reason,
        "seconds": round(run.elapsed, 3),
        "frames_read": frames_read,
        "frames": len(boxes),
        "missing": frames_read - len(boxes),
        "frames_with_faces": sum(bool(frame["boxes"]) for frame in boxes),
        "faces": sum(len(frame["boxes"]) for frame in boxes),
        "fps": round(len(boxes) / run.elapsed, 2),
        "video_seconds": boxes[-1]["time"] if boxes else 0.0,
        "dropped": sum(wire.dropped for wire in run.wires),
        "hosts": {flow.name: flow.host for flow in run.flows if flow.host is not None},
        "routines": [
            {
                "name": routine.name,
                "flow": routine.flow,
                "received": routine.received,
                "sent": routine.sent,
                "rate": round(max(routine.received, routine.sent) / run.elapsed, 2),
                "work": asdict(routine.logic_time),
                "age": asdict(routine.age),
                "errors": routine.errors,
                "last_error": routine.last_error,
            }
            for routine in run.routines
        ],
        "wires": [
            {
                "source": wire.source,
                "destination": wire.destination,
                "sent": wire.sent,
                "received": wire.received,
                "dropped": wire.dropped,
            }
            for wire in run.wires
        ],
        "boxes": boxes,
    }


def failure(run: RunSummary, report: dict[str, Any]) -> str | None:
    """What went wrong in a sentence, None if nothing did."""
    if not run.ok and not run.reason.startswith("interrupted"):
        return run.reason
    writer = next(routine for routine in run.routines if routine.name == "writer")
    if writer.errors:
        return f"writing failed {writer.errors} times, the last time with {writer.last_error}"
    if run.ok and report["delivery"] == "lossless" and report["missing"]:
        return f"{report['missing']} frames are missing in the output"
    return None


def watch(video: Video, options: argparse.Namespace, folder: Path, console: Console) -> int:
    """Run the pipe to its end and report; returns the exit code."""
    notes = folder / "notes.jsonl"
    pipe = make_pipe(video, options, notes)
    total = video.frames
    if total and options.duration and video.fps:
        total = min(total, round(options.duration * video.fps))
    with ExitStack() as stack:
        if options.cockpit:
            page = stack.enter_context(cockpit_beside(pipe))
            console.print(f"cockpit: {page}&routine=marker", highlight=False, soft_wrap=True)
        stack.enter_context(LiveView(pipe, counted="writer", total=total, console=console))
        run = pipe.run()
    report = summarise(run, video, options, notes)
    options.summary.write_text(json.dumps(report, indent=1) + "\n")
    print_table(run, console)
    console.print(
        f"{report['frames']} frames ({report['frames_with_faces']} with faces) in {options.output}, "
        f"{report['fps']} frames/s; summary in {options.summary}",
        highlight=False,
        soft_wrap=True,
    )
    problem = failure(run, report)
    if problem is not None:
        print(f"face_watch: {problem}", file=sys.stderr)
        return 1
    return 130 if run.reason.startswith("interrupted") and not video.live else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Find faces in a video; write an annotated video and a JSON summary.")
    parser.add_argument("--input", metavar="FILE_OR_CAMERA", help="left out, a video is made first")
    parser.add_argument(
        "--output", type=Path, default=Path("face_watch.mp4"), metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--summary", type=Path, metavar="FILE", help="default: the output's name with .json")
    parser.add_argument("--duration", type=positive, metavar="SECONDS", help="stop after so many seconds of video")
    parser.add_argument("--size", type=parse_size, metavar="WxH", help="scale to this size, such as 640x360")
    parser.add_argument("--live", action="store_true", help="play a file at its own speed, like a camera")
    parser.add_argument("--cockpit", action="store_true", help="see and drive it in a browser while it runs")
    parser.add_argument("--engine", metavar="ADDRESS", help="a Ray cluster, some of whose hosts have detects=1 or more")
    options = parser.parse_args()
    if options.summary is None:
        options.summary = options.output.with_suffix(".json")
    return options


def main() -> int:
    options = parse_arguments()
    console = make_console()
    with tempfile.TemporaryDirectory(prefix="face_watch-") as folder:
        try:
            check_outputs(options.input, options.output, options.summary)
            source = options.input
            if source is None:
                made = Path(folder) / "made.mp4"
                console.print(make_video(made, options.duration or 10.0, size=options.size or (640, 360)))
                source = str(made)
            video = find_video(source, options.live)
        except CannotBeginError as error:
            print(f"face_watch: {error}", file=sys.stderr)
            return 2
        try:
            return watch(video, options, Path(folder), console)
        except KeyboardInterrupt:  # while the processes were being started; later on the pipe sees to it
            print("face_watch: interrupted before the first frame", file=sys.stderr)
            return 130
        except PipertError as error:
            print(f"face_watch: {error}", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
