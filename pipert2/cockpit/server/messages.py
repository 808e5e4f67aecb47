"""What pipes and browsers send: checked before anything is done with it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from pipert2.cockpit.link.records import MOST_RECORDS
from pipert2.cockpit.store.log_filter import LogFilter
from pipert2.cockpit.store.pipe_store import PipeRun
from pipert2.control.verbs import bad_argument
from pipert2.errors import ControlError

LARGEST_MESSAGE = 4 * 1024 * 1024
"""Bytes, of anything that is sent to the cockpit."""
MOST_FRAMES = 16
"""Pictures that one browser watches at a time."""
_TEXT = 60_000
_NUMBERS = 1 << 40

Short = Annotated[str, Field(max_length=200)]
Place = Annotated[str, Field(max_length=200)] | None
Count = Annotated[int, Field(ge=0, lt=_NUMBERS)]
Time = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]


class _Run(TypedDict):
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    host: Short
    pid: Count
    started: Time
    pipert2: Short


class _Hello(TypedDict, total=False):
    pipe: _Run
    token: Annotated[str, Field(max_length=1000)] | None


class Record(TypedDict):
    """A log record, as :class:`pipert2.LogRecord`."""

    number: Annotated[int, Field(ge=1, lt=_NUMBERS)]
    time: Time
    level: Annotated[str, Field(max_length=80)]
    logger: Annotated[str, Field(max_length=500)]
    flow: Place
    routine: Place
    message: Annotated[str, Field(max_length=_TEXT)]
    traceback: Annotated[str, Field(max_length=_TEXT)] | None
    extra: dict[str, Any]


class Batch(TypedDict):
    """Log records of a pipe, oldest first; *dropped* is how many it had to drop before them."""

    records: Annotated[list[Record], Field(max_length=MOST_RECORDS)]
    dropped: Count


class Frame(TypedDict):
    """A picture of a routine's data."""

    routine: Short
    side: Annotated[str, Field(pattern="^(input|output)$")]
    jpeg: bytes


class _Filter(TypedDict, total=False):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    level: Annotated[str, Field(max_length=80)] | None
    flow: Place
    routine: Place
    text: Annotated[str, Field(max_length=200)] | None


class Watch(TypedDict, total=False):
    """What a browser wants to be shown."""

    pipe: Short | None
    logs: _Filter | None
    frames: Annotated[
        list[tuple[Short, Annotated[str, Field(pattern="^(input|output)$")]]], Field(max_length=MOST_FRAMES)
    ]


class Command(TypedDict, total=False):
    """A verb for a pipe."""

    pipe: Short
    verb: Short
    arguments: dict[str, Any]


_hello, _batch = TypeAdapter(_Hello), TypeAdapter(Batch)
_frame, _watch, _command = TypeAdapter(Frame), TypeAdapter(Watch), TypeAdapter(Command)


def read_hello(data: object) -> tuple[PipeRun, str | None]:
    """Which run of a pipe it is that connects, and the token that it shows."""
    found = _checked(_hello, data, "connect")
    if "pipe" not in found:
        raise ControlError("bad_argument", "connect: no pipe is named", field="pipe")
    return PipeRun(**found["pipe"]), found.get("token")


def read_batch(data: object) -> Batch:
    """Log records."""
    batch: Batch = _checked(_batch, data, "logs")
    return batch


def read_frame(data: object) -> dict[str, Any]:
    """A picture with all that is said about it."""
    _checked(_frame, data, "frame")
    assert isinstance(data, dict)
    return data


def read_watch(data: object) -> tuple[str | None, LogFilter | None, frozenset[tuple[str, str]]]:
    """The pipe, the log records and the pictures that a browser wants."""
    found = _checked(_watch, data, "watch")
    logs = found.get("logs")
    wanted = LogFilter(**logs) if logs is not None else None
    return found.get("pipe"), wanted, frozenset(found.get("frames", ()))


def read_command(data: object) -> tuple[str, str, dict[str, Any]]:
    """The pipe, the verb and its arguments."""
    found = _checked(_command, data, "command")
    for name in ("pipe", "verb"):
        if name not in found:
            raise ControlError("bad_argument", f"command: {name}: is missing", field=name)
    return found["pipe"], found["verb"], found.get("arguments", {})


def read_dict(data: object, what: str, *names: str) -> dict[str, Any]:
    """A dict with at least these dicts in it."""
    if not isinstance(data, dict) or not all(isinstance(data.get(name), dict) for name in names):
        raise ControlError("bad_argument", f"{what}: is not what it should be")
    return data


def _checked(adapter: TypeAdapter[Any], data: object, what: str) -> Any:
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        raise bad_argument(error, what) from None
