"""Is this machine fit for pipes? Each check measures one thing and says what to do about it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import psutil

from pipert2.cli.leftover_runs import Leftovers, find_leftovers
from pipert2.errors import readable_size

MIB = 1 << 20


class Verdict(str, Enum):
    """How grave a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: *text* says it, *advice* what to do about it."""

    check: str
    verdict: Verdict
    text: str
    advice: str = ""


def examine() -> list[Finding]:
    """All checks; one that fails itself is a warning."""
    found = []
    for check in CHECKS:
        try:
            found.append(check())
        except Exception as error:
            name = check.__name__.strip("_").replace("_", " ")
            found.append(Finding(name, Verdict.WARNING, f"could not be checked: {type(error).__name__}: {error}"))
    return found


def judge_python(version: tuple[int, int], bits: int, system: str) -> Finding:
    """Python's version and platform."""
    text = f"{platform.python_implementation()} {platform.python_version()}, {bits} bits, {system} {platform.release()}"
    if version < (3, 10):
        return Finding("python", Verdict.PROBLEM, text, "install Python 3.10 or later")
    if bits < 64:
        return Finding("python", Verdict.WARNING, text, "use a 64-bit Python: large frames need its addresses")
    if system != "Linux":
        return Finding("python", Verdict.WARNING, text, "only Linux is tested; elsewhere use Pipe(inline=True)")
    return Finding("python", Verdict.OK, text)


def judge_shared_memory(total: int, free: int) -> Finding:
    """The size of /dev/shm, and what of it is free."""
    text = f"/dev/shm has {readable_size(total)}, {readable_size(free)} free"
    larger = "make it larger: mount -o remount,size=1G /dev/shm, or docker run --shm-size=1g"
    if free < 32 * MIB:
        return Finding("shared memory", Verdict.PROBLEM, text, larger)
    if free < 256 * MIB:
        return Finding("shared memory", Verdict.WARNING, text, f"enough for small frames; for video {larger}")
    return Finding("shared memory", Verdict.OK, text)


def judge_descriptors(soft: int, hard: int) -> Finding:
    """How many files this process may open; each flow, wire and client takes some."""
    unlimited = soft < 0
    text = (
        "no limit" if unlimited else f"{soft} at once (the most that can be asked for: {hard if hard >= 0 else 'any'})"
    )
    advice = "raise it before the run: ulimit -n 4096"
    if not unlimited and soft < 128:
        return Finding("open files", Verdict.PROBLEM, text, advice)
    if not unlimited and soft < 1024:
        return Finding("open files", Verdict.WARNING, text, advice)
    return Finding("open files", Verdict.OK, text)


def judge_cpus(usable: int, present: int) -> Finding:
    """How many processors flows can share."""
    text = f"{usable} usable" + (f" of {present}" if usable < present else "")
    if usable < 2:
        return Finding(
            "processors", Verdict.WARNING, text, "flows take turns on one processor: they will not run at once"
        )
    return Finding("processors", Verdict.OK, text)


def judge_memory(total: int, available: int) -> Finding:
    """The machine's memory."""
    text = f"{readable_size(available)} available of {readable_size(total)}"
    if available < 256 * MIB:
        return Finding("memory", Verdict.WARNING, text, "each flow's process takes 30 MiB and what its libraries need")
    return Finding("memory", Verdict.OK, text)


def judge_clock(source: str | None, resolution: float, sleep: float) -> Finding:
    """The clock that latencies are measured with, and how late a sleep of 1 ms ends."""
    text = f"{source or 'unknown'}, resolution {resolution * 1e9:.0f} ns, a sleep of 1 ms takes {sleep * 1e3:.1f} ms"
    if resolution > 1e-3:
        return Finding("clock", Verdict.WARNING, text, "latencies below that cannot be seen")
    if source in ("hpet", "acpi_pm", "jiffies"):
        return Finding("clock", Verdict.WARNING, text, "reading it is slow: see whether the machine can use tsc")
    if sleep > 5e-3:
        return Finding(
            "clock", Verdict.WARNING, text, "rates above 100/s will be uneven: the machine is busy or throttled"
        )
    return Finding("clock", Verdict.OK, text)


_MOST_RUNS = 4


def judge_leftovers(found: Leftovers) -> Finding:
    """What runs that were killed have left."""
    if not found.runs and not found.files:
        return Finding("leftovers", Verdict.OK, "none of dead runs")
    text = f"{len(found.runs)} dead runs" if found.runs else "no dead runs"
    text += f", {len(found.files)} files in /dev/shm ({readable_size(found.size)})" if found.files else ""
    if found.runs:
        advice = "the next run clears them, or now: pipert2 doctor --clear"
    else:
        runs = list(dict.fromkeys(file.removeprefix("sem.").partition(".")[0] for file in found.files))
        advice = f"of processes that are gone: rm {' '.join(f'/dev/shm/*{run}.*' for run in runs[:_MOST_RUNS])}"
        advice += f", and {len(runs) - _MOST_RUNS} more runs" if len(runs) > _MOST_RUNS else ""
    return Finding("leftovers", Verdict.WARNING, text, advice)


def _python() -> Finding:
    return judge_python(sys.version_info[:2], 64 if sys.maxsize > 2**32 else 32, platform.system())


_NEEDED = ("numpy", "posix_ipc", "psutil", "cloudpickle", "pydantic", "flask", "uvicorn", "httpx", "typer", "rich")
_EXTRA = ("zerorpc", "pyzmq", "gevent")


def _libraries() -> Finding:
    versions = {name: _version(name) for name in (*_NEEDED, *_EXTRA)}
    text = ", ".join(f"{name} {version}" for name, version in versions.items() if version is not None)
    missing = [name for name in _NEEDED if versions[name] is None]
    if missing:
        advice = "install it again: pip install --force-reinstall pipert2"
        return Finding("libraries", Verdict.PROBLEM, f"missing: {', '.join(missing)}; {text}", advice)
    if any(versions[name] is None for name in _EXTRA):
        return Finding("libraries", Verdict.OK, text, 'for zerorpc: pip install "pipert2[rpc]"')
    return Finding("libraries", Verdict.OK, text)


def _version(name: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return None


def _shared_memory() -> Finding:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        advice = "mount a tmpfs there; without it use Pipe(inline=True)"
        return Finding("shared memory", Verdict.PROBLEM, "there is no /dev/shm", advice)
    usage = psutil.disk_usage(str(folder))
    return judge_shared_memory(usage.total, usage.free)


def _semaphores() -> Finding:
    import posix_ipc

    name = f"/pipert2-doctor-{os.getpid():x}"
    try:
        memory = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, size=4096)
        memory.close_fd()
        posix_ipc.unlink_shared_memory(name)
        semaphore = posix_ipc.Semaphore(name, posix_ipc.O_CREX, initial_value=1)
        semaphore.acquire(0)
        semaphore.close()
        posix_ipc.unlink_semaphore(name)
    except (posix_ipc.Error, OSError) as error:
        advice = "see that /dev/shm is mounted and writable (mode 1777)"
        return Finding("semaphores", Verdict.PROBLEM, f"shared memory or a semaphore cannot be made: {error}", advice)
    return Finding("semaphores", Verdict.OK, "shared memory and semaphores can be made")


def _open_files() -> Finding:
    import resource

    return judge_descriptors(*resource.getrlimit(resource.RLIMIT_NOFILE))


def _processors() -> Finding:
    present = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else present
    return judge_cpus(min(usable, _quota() or usable), present)


def _quota() -> int | None:
    """How many processors' time a container may use, None without a limit."""
    with contextlib.suppress(OSError, ValueError):
        most, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
        if most != "max":
            return max(1, int(most) // int(period))
    return None


def _memory() -> Finding:
    found = psutil.virtual_memory()
    return judge_memory(found.total, found.available)


def _clock() -> Finding:
    source = None
    with contextlib.suppress(OSError):
        source = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource").read_text("ascii").strip()
    slept = []
    for _ in range(11):
        began = time.perf_counter()
        time.sleep(1e-3)
        slept.append(time.perf_counter() - began)
    return judge_clock(source, time.get_clock_info("monotonic").resolution, sorted(slept)[5])


def _processes() -> Finding:
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    with tempfile.TemporaryDirectory(prefix="pipert2-doctor-"):
        return Finding(
            "processes", Verdict.OK, f"flows are started by {method}; {tempfile.gettempdir()} can be written"
        )


def _leftovers() -> Finding:
    return judge_leftovers(find_leftovers())


CHECKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _libraries,
    _shared_memory,
    _semaphores,
    _open_files,
    _processors,
    _memory,
    _clock,
    _processes,
    _leftovers,
)
