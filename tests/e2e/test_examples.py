"""Each example, run as its reader would run it, prints what its first lines promise."""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))}
ENVIRONMENT.pop("PYTHONUNBUFFERED", None)  # with it, lines that two processes print at once run into each other

MISSING = [module for module in ("av", "rich", "skimage") if importlib.util.find_spec(module) is None]
needs_video = pytest.mark.skipif(
    bool(MISSING) and not os.environ.get("CI"),
    reason=f'{", ".join(MISSING)} not installed; get it with: pip install "pipert2[examples]"',
)


def run(script: str, *arguments: object, folder: Path, timeout: float = 200.0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout, check=False
    )


# ------------------------------------------------------------------------------------------------ the small examples

PROMISES = {
    "hello.py": [
        "hello 0, made in another process",
        "hello 1, made in another process",
        "hello 2, made in another process",
        "hello 3, made in another process",
        "hello 4, made in another process",
        "all streams ended: 5 sent, 5 shown",
    ],
    "wires.py": [
        "total: 200 results, squares 328350, cubes 24502500",
        "latest: saw the last number, 99",
    ],
    "events.py": [
        "cooled by the guard: 1 times",
        "the old limit was 30, asked for 50",
        "the handler refused: .*ValueError: a limit must not be below zero, as -3 is",
        "no such event: .*SET_LIMITS.*SET_LIMIT.*",
    ],
    "transmitters.py": [
        "private: writeable True, first pixel 7, painted over: 0",
        "shared: writeable False, first pixel 7, painting refused: .*read-only",
    ],
    "lossless.py": [
        "archive: sent 500, received 500, dropped 0",
        r"display: sent 500, received \d+, dropped \d+",
        "nothing is lost without being counted: True",
    ],
    "domain_analysis.py": [
        r"replicas: 201 reports, lengths sum to 3890, done by 2 processes: \d+ and \d+",
        "async: 201 reports, lengths sum to 3890, done by 1 process: 201",
        "20 samples made; when it is done again there are 20",
    ],
    "similarity.py": [
        "every 200 ms, threshold 60",
        "30 programs, 30 relations, 435 comparisons, each pair once: True",
        "each program is similar to the 2 others of its family: True",
    ],
    "tasks.py": [
        "nothing was done before the parameters were there: True",
        "first: 200 of 200 tasks collected, by 2 processes",
        "second: 200 of 200 tasks collected, by 2 processes",
        "the second began when all of the first was collected: True",
    ],
    "loan.py": [
        r"Lender: 300 frames received, \d+ a second",
        r"Maker: 300 frames received, \d+ a second",
    ],
    "pacing.py": [
        r"flat out: \d+ made, \d+ read, 0 missed",
        r"paced: \d+ made, \d+ read, \d+ missed",
        r"25 a second: \d+ made, \d+ read, \d+ missed",
    ],
    "inline_debug.py": [
        r"inline: 3 results in this list: \[0, 1, 4\], all in this process",
        r"flows: 0 results in this list: \[\]",
        "the same 3 messages arrived both times: True",
    ],
}
IN_ANY_ORDER = {"wires.py", "transmitters.py"}
LOGGED = {"events.py": ".*ValueError: a limit must not be below zero, as -3 is\n"}


Runner = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Runs a small example, once however often it is asked for."""

    @functools.cache
    def outcome_of(script: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path_factory.mktemp("small")
        done = run(script, folder=folder)
        assert not list(folder.iterdir()), "it left files behind"
        return done

    return outcome_of


@pytest.mark.parametrize("script", PROMISES)
def test_small_example_prints_what_it_promises(script: str, outcome: Runner) -> None:
    done = outcome(script)

    lines = done.stdout.splitlines()
    if script in IN_ANY_ORDER:
        lines.sort(key=lambda line: [bool(re.fullmatch(promise, line)) for promise in PROMISES[script]], reverse=True)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(LOGGED.get(script, ""), done.stderr, re.DOTALL)
    assert len(lines) == len(PROMISES[script]), done.stdout
    for line, promise in zip(lines, PROMISES[script], strict=True):
        assert re.fullmatch(promise, line)


def numbers_in(text: str, beginning: str) -> list[int]:
    line = next(line for line in text.splitlines() if line.startswith(beginning))
    return [int(number) for number in re.findall(r"\d+", line.removeprefix(beginning))]


def test_real_time_display_misses_numbers_and_counts_each(outcome: Runner) -> None:
    sent, received, dropped = numbers_in(outcome("lossless.py").stdout, "display:")

    assert sent == received + dropped == 500
    assert 0 < received < 500


def test_pacing_holds_the_source_near_its_reader(outcome: Runner) -> None:
    text = outcome("pacing.py").stdout
    flat_out, _, _ = numbers_in(text, "flat out:")
    paced, read, _ = numbers_in(text, "paced:")
    fixed, fixed_read, missed = numbers_in(text, "25 a second:")

    assert 0 < read <= 51
    assert paced < 150 < flat_out
    assert 24 <= fixed + missed <= 26
    assert 0 < fixed_read <= 26


def test_every_example_is_tested_and_says_what_it_shows() -> None:
    scripts = {path.name for path in EXAMPLES.glob("*.py")}

    assert scripts == {*PROMISES, "make_video.py", "face_watch.py", "face_routines.py", "live_view.py", "similar.py"}
    for name in scripts:
        assert ast.get_docstring(ast.parse((EXAMPLES / name).read_text())), f"{name} has no docstring"


# ------------------------------------------------------------------------------------------------------- make_video


@dataclass(frozen=True)
class Decoded:
    pictures: list[np.ndarray[Any, np.dtype[np.uint8]]]
    times: list[float]


def decode(path: Path) -> Decoded:
    import av

    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return Decoded([frame.to_ndarray(format="rgb24") for frame in frames], [float(frame.time or 0) for frame in frames])


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small demo video: 60 frames of 320x180 at 20 a second."""
    folder = tmp_path_factory.mktemp("demo")
    arguments = ("--output", "demo.mp4", "--seconds", 3, "--fps", 20, "--size", "320x180")
    done = run("make_video.py", *arguments, folder=folder)
    assert (done.stderr, done.returncode) == ("", 0)
    assert re.fullmatch(r"demo\.mp4: 60 frames, 320x180, 20 fps, (libx264|mpeg4)\n", done.stdout)
    return folder / "demo.mp4"


@needs_video
def test_made_video_has_the_length_rate_and_size_asked_for(demo: Path) -> None:
    video = decode(demo)

    assert len(video.pictures) == 60
    assert {picture.shape for picture in video.pictures} == {(180, 320, 3)}
    assert video.times == pytest.approx([number / 20 for number in range(60)], abs=1e-3)


@needs_video
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--size", "wide"], "'wide' is not a size; write it like 640x360"),
        (["--size", "4x4"], "'4x4' is not a size between"),
        (["--fps", "0"], "'0' must be above zero"),
        (["--seconds", "ten"], "'ten' is not a number"),
        (["--output", "nowhere/demo.mp4"], "make_video: cannot write nowhere/demo.mp4: "),
        (["--output", "demo.txt"], "make_video: cannot write demo.txt: "),
    ],
)
def test_make_video_refuses_what_it_cannot_do(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    done = run("make_video.py", *arguments, folder=tmp_path)

    assert done.returncode == 2
    assert complaint in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------------- face_watch


@pytest.fixture(scope="module")
def watched(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, dict[str, Any]]:
    """What one run over the demo video printed, its video and its summary."""
    folder = tmp_path_factory.mktemp("watched")
    done = run("face_watch.py", "--input", demo, "--output", "faces.mp4", folder=folder)
    assert (done.stderr, done.returncode) == ("", 0)
    assert sorted(path.name for path in folder.iterdir()) == ["faces.json", "faces.mp4"]
    return done.stdout, folder / "faces.mp4", json.loads((folder / "faces.json").read_text())


Watched = tuple[str, Path, dict[str, Any]]


@needs_video
def test_every_frame_is_in_the_output_at_its_time(watched: Watched, demo: Path) -> None:
    _, output, _ = watched
    before, after = decode(demo), decode(output)

    assert len(after.pictures) == 60
    assert after.times == pytest.approx(before.times, abs=1e-3)
    for was, became in zip(before.pictures, after.pictures, strict=True):
        untouched = np.s_[0:20, :]  # neither boxes nor labels reach up here
        assert np.abs(was[untouched].astype(int) - became[untouched]).mean() < 12


@needs_video
def test_faces_are_found_where_they_are_and_marked(watched: Watched) -> None:
    _, output, summary = watched
    pictures = decode(output).pictures

    assert 35 <= summary["frames_with_faces"] < 60  # she is out of the picture for a second
    for frame in summary["boxes"]:
        for box in frame["boxes"]:
            top_edge = pictures[frame["number"]][box["y"], box["x"] : box["x"] + box["width"]].mean(axis=0)
            assert top_edge[1] > top_edge[0] + 40, "no green line at the top of the box"
    first = summary["boxes"][0]["boxes"][0]
    assert (first["x"] + first["width"] / 2, first["y"] + first["height"] / 2) == pytest.approx((139, 70), abs=12)


@needs_video
def test_summary_agrees_with_itself(watched: Watched) -> None:
    _, _, summary = watched

    assert [frame["number"] for frame in summary["boxes"]] == list(range(60))
    assert summary["frames_read"] == summary["frames"] == 60
    assert summary["frames_with_faces"] == sum(bool(frame["boxes"]) for frame in summary["boxes"])
    assert summary["faces"] == sum(len(frame["boxes"]) for frame in summary["boxes"])
    assert (summary["delivery"], summary["dropped"], summary["missing"]) == ("lossless", 0, 0)
    assert summary["fps"] == pytest.approx(60 / summary["seconds"], rel=0.01)
    counts = {routine["name"]: (routine["received"], routine["sent"]) for routine in summary["routines"]}
    assert counts == {
        "reader": (0, 60),
        "finder-1": (60, 30),
        "finder-2": (60, 30),
        "marker": (60, 60),
        "writer": (60, 0),
    }
    for routine in summary["routines"]:
        assert routine["errors"] == 0
        assert 0 < routine["work"]["p50"] <= routine["work"]["p99"] < 60
        assert routine["rate"] > 0
        if routine["received"]:
            assert 0 < routine["age"]["p50"] <= routine["age"]["p99"] < 60


@needs_video
def test_final_table_has_a_row_for_each_routine(watched: Watched) -> None:
    text, _, _ = watched
    rows = [line.split() for line in text.splitlines()]

    for name, flow in (("reader", "reading"), ("finder-1", "finder-1"), ("marker", "marking"), ("writer", "writing")):
        assert any(row[:2] == [name, flow] for row in rows), text
    assert re.search(r"60 frames \(\d+ with faces\) in faces\.mp4, [\d.]+ frames/s; summary in faces\.json", text)


def coded(number: int, width: int, height: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture whose upper stripe tells its number in eight black or white blocks."""
    picture = np.full((height, width, 3), 90, np.uint8)
    block = width // 8
    for bit in range(8):
        picture[:40, bit * block : (bit + 1) * block] = 255 * (number >> bit & 1)
    return picture


def read_code(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> int:
    block = picture.shape[1] // 8
    return sum((picture[10:30, bit * block + 10 : (bit + 1) * block - 10].mean() > 128) << bit for bit in range(8))


def write_clip(path: Path, times: Sequence[float], size: tuple[int, int], *, sound: bool = False) -> None:
    """Write a Matroska file of numbered pictures at the given times (seconds), any size, with or without sound."""
    from fractions import Fraction

    import av

    with av.open(str(path), "w") as container:
        if sound:
            audio = container.add_stream("pcm_s16le", rate=8000)
        if times:
            video = container.add_stream("ffv1", rate=25)
            video.width, video.height = size
            video.pix_fmt = "yuv444p"
            video.codec_context.time_base = Fraction(1, 1000)
        for number, seconds in enumerate(times):
            frame = av.VideoFrame.from_ndarray(coded(number, *size), format="rgb24")
            frame.pts, frame.time_base = round(seconds * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        if times:
            container.mux(video.encode())
        if sound:
            noise = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
            noise.sample_rate = 8000
            container.mux(audio.encode(noise))
            container.mux(audio.encode())


@needs_video
def test_odd_size_variable_rate_and_sound_are_no_trouble(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.08, 0.5, 0.51, 0.52, *(1 + 0.033 * n for n in range(20)), 4.0]
    write_clip(tmp_path / "clip.mkv", times, (333, 187), sound=True)

    done = run("face_watch.py", "--input", "clip.mkv", "--output", "out.mp4", folder=tmp_path)

    assert (done.stderr, done.returncode) == ("", 0)
    video = decode(tmp_path / "out.mp4")
    assert [read_code(picture) for picture in video.pictures] == list(range(27))
    assert video.times == pytest.approx(times, abs=2e-3)
    assert video.pictures[0].shape == (186, 332, 3)


@needs_video
def test_size_and_duration_are_obeyed(demo: Path, tmp_path: Path) -> None:
    arguments = ("--duration", 0.5, "--size", "160x120", "--output", "out.mkv", "--summary", "deep.json")
    done = run("face_watch.py", "--input", demo, *arguments, folder=tmp_path)

    assert (done.stderr, done.returncode) == ("", 0)
    video = decode(tmp_path / "out.mkv")
    assert [picture.shape for picture in video.pictures] == [(120, 160, 3)] * 10
    assert json.loads((tmp_path / "deep.json").read_text())["frames"] == 10


@needs_video
def test_without_an_input_it_makes_its_own_video(tmp_path: Path) -> None:
    done = run("face_watch.py", "--duration", 0.4, "--size", "320x180", folder=tmp_path)

    assert (done.stderr, done.returncode) == ("", 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["face_watch.json", "face_watch.mp4"]
    assert len(decode(tmp_path / "face_watch.mp4").pictures) == 12


@needs_video
def test_damaged_part_of_a_file_is_counted_and_the_rest_comes_through(demo: Path, tmp_path: Path) -> None:
    damaged = bytearray(demo.read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 3000] = bytes(3000)
    (tmp_path / "damaged.mp4").write_bytes(damaged)

    done = run("face_watch.py", "--input", "damaged.mp4", "--output", "out.mp4", folder=tmp_path)

    summary = json.loads((tmp_path / "out.json").read_text())
    assert done.returncode == 0
    assert summary["frames"] == summary["frames_read"] == len(decode(tmp_path / "out.mp4").pictures)
    assert 30 <= summary["frames"] <= 60


@needs_video
def test_live_input_is_played_at_its_own_speed_and_all_drops_are_counted(demo: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    done = run("face_watch.py", "--input", demo, "--live", "--duration", 1.5, "--output", "out.mp4", folder=tmp_path)

    assert (done.stderr, done.returncode) == ("", 0)
    assert time.monotonic() - begun > 1.45
    summary = json.loads((tmp_path / "out.json").read_text())
    numbers = [frame["number"] for frame in summary["boxes"]]
    assert summary["delivery"] == "real-time"
    assert numbers
    assert numbers == sorted(set(numbers))
    assert [frame["time"] for frame in summary["boxes"]] == pytest.approx([n / 20 for n in numbers], abs=1e-3)
    assert decode(tmp_path / "out.mp4").times == pytest.approx([n / 20 for n in numbers], abs=1e-3)
    for wire in summary["wires"]:
        assert wire["sent"] == wire["received"] + wire["dropped"]


@needs_video
@pytest.mark.parametrize("to_the_whole_group", [False, True], ids=["to the process", "as a terminal sends it"])
def test_ctrl_c_leaves_a_file_that_plays(to_the_whole_group: bool, tmp_path: Path) -> None:
    write_clip(tmp_path / "long.mkv", [n / 25 for n in range(2000)], (320, 180))
    command = [sys.executable, str(EXAMPLES / "face_watch.py"), "--input", "long.mkv", "--output", "out.mp4"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        # The first line of progress in which a frame is done: on a busy machine the first one of all has none.
        while not re.search(r" s  [1-9]\d* done; ", line := process.stdout.readline()):
            assert line, "it ended"
        (os.killpg if to_the_whole_group else os.kill)(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=120)

    assert (err, process.returncode) == ("", 130)
    summary = json.loads((tmp_path / "out.json").read_text())
    assert 0 < summary["frames"] < 2000
    video = decode(tmp_path / "out.mp4")
    assert len(video.pictures) == summary["frames"]
    assert f"{summary['frames']} frames" in out


@needs_video
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--input", "missing.mp4"], "there is no file missing.mp4"),
        (["--input", "."], ". is a folder, not a video"),
        (["--input", "text.mp4"], "text.mp4 is not a video that can be read"),
        (["--input", "empty.mp4"], "empty.mp4 is not a video that can be read"),
        (["--input", "sound.mkv"], "sound.mkv has no video in it, only 1 other stream"),
        (["--input", "/dev/video97"], "there is no camera /dev/video97"),
        (["--input", "97"], "there is no camera /dev/video97"),
        (["--input", "clip.mkv", "--output", "nowhere/out.mp4"], "cannot write nowhere/out.mp4: No such file"),
        (["--input", "clip.mkv", "--output", "out.mp4", "--summary", "nowhere/out.json"], "cannot write nowhere/out.j"),
        (["--input", "clip.mkv", "--output", "out.words"], "cannot write out.words: "),
        (["--input", "clip.mkv", "--output", "clip.mkv"], "clip.mkv is the input; choose another output"),
        (["--output", "same.mp4", "--summary", "same.mp4"], "cannot both be same.mp4"),
        (["--input", "clip.mkv", "--duration", "-1"], "argument --duration: '-1' must be above zero"),
    ],
)
def test_mistakes_are_told_in_one_line_before_anything_starts(
    arguments: list[str], complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("this is no video\n" * 100)
    (tmp_path / "empty.mp4").touch()
    write_clip(tmp_path / "sound.mkv", [], (320, 180), sound=True)
    write_clip(tmp_path / "clip.mkv", [0.0, 0.04], (320, 180))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    done = run("face_watch.py", *arguments, folder=tmp_path)

    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith(("face_watch: ", "face_watch.py: error: "))
    assert complaint in last
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@needs_video
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_live_table(demo: Path, tmp_path: Path) -> None:
    import pty

    command = [sys.executable, str(EXAMPLES / "face_watch.py"), "--input", str(demo), "--output", "out.mp4"]
    master, terminal = pty.openpty()
    environment = {**ENVIRONMENT, "TERM": "xterm-256color", "COLUMNS": "140", "LINES": "40"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
    os.close(master)

    assert process.returncode == 0
    text = shown.decode()
    assert text.count("finder-2") > 4, "the table was drawn again and again"
    assert "\x1b[" in text
    assert "60 frames" in text
