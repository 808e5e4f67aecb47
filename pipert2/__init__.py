"""pipert2: a real-time pipe runtime for Python.

Routines in plain Python, wired into a pipe; each flow is a process of its own; frames travel through shared memory.
"""

import typing as _typing

from pipert2.errors import (
    CallError,
    CallTimeoutError,
    CaptureError,
    ConfigError,
    ControlError,
    EventHandlerError,
    EventTimeoutError,
    FlowStartError,
    LinkError,
    ParameterError,
    PipeBuildError,
    PipertError,
    PipeStateError,
    SharedMemoryFullError,
    StoreError,
    UnknownDeadLetterError,
    UnknownEventError,
    UnknownFlowError,
    UnknownNameError,
    UnknownParameterError,
    UnknownRoutineError,
    UnknownWireError,
    UnreadableDataError,
    UnsendableDataError,
)
from pipert2.events.bus import EventResult
from pipert2.events.notices import Notice, NoticePage
from pipert2.graph.data import Data, FrameData
from pipert2.graph.functions import destination, middle, source
from pipert2.graph.handlers import KILL_EVENT_NAME, START_EVENT_NAME, STOP_EVENT_NAME, events
from pipert2.graph.job import Job
from pipert2.graph.parameter import Parameter
from pipert2.graph.routine import (
    DestinationRoutine,
    EndOfStream,
    FPSRoutine,
    MessageInfo,
    MiddleRoutine,
    Routine,
    SourceRoutine,
)
from pipert2.graph.transmitter import BasicTransmitter, DataTransmitter, SharedMemoryTransmitter
from pipert2.graph.wire import QueueNetwork, Wire
from pipert2.observe.snapshot import (
    FlowStatus,
    Latency,
    ParameterChange,
    ParameterStatus,
    PipeState,
    PipeStatus,
    RoutineStatus,
    RunSummary,
    SiteStatus,
    TriggerStatus,
    WireStatus,
)
from pipert2.pipe import Pipe
from pipert2.runtime.configuration.configuration import Configuration
from pipert2.runtime.routine.preview import PreviewFrame
from pipert2.runtime.routine.shown import Sketches
from pipert2.runtime.routine.sketch import ShownValue
from pipert2.runtime.supervision.dead_letter_results import DeadLetterStatus, RequeueResult
from pipert2.runtime.supervision.restart import Restart
from pipert2.runtime.triggers.triggers import AtLeast, AtStart, Calendar, Cron, Every, TimeOfDay, Trigger
from pipert2.store import Store, StoreReader

if _typing.TYPE_CHECKING:
    from pipert2.control.client.client import PipeClient
    from pipert2.control.http.api_wrapper import APIWrapper
    from pipert2.control.rpc.wrapper import RPCPipeWrapper
    from pipert2.document import DocumentError, load_pipe
    from pipert2.engine.ray_engine import RayEngine
    from pipert2.patterns.capture.reading import CaptureMessage
    from pipert2.patterns.capture.recorder import Recorder
    from pipert2.patterns.capture.replay import Replay
    from pipert2.patterns.http_get.http_get import HttpGet
    from pipert2.patterns.http_get.page import Page

__version__ = "0.1.0"

_LATER = {
    "APIWrapper": "pipert2.control.http.api_wrapper",
    "CaptureMessage": "pipert2.patterns.capture.reading",
    "DocumentError": "pipert2.document",
    "HttpGet": "pipert2.patterns.http_get.http_get",
    "Page": "pipert2.patterns.http_get.page",
    "PipeClient": "pipert2.control.client.client",
    "RPCPipeWrapper": "pipert2.control.rpc.wrapper",
    "RayEngine": "pipert2.engine.ray_engine",
    "Recorder": "pipert2.patterns.capture.recorder",
    "Replay": "pipert2.patterns.capture.replay",
    "load_pipe": "pipert2.document",
}
"""What is imported when it is first used: servers, clients and documents, which a flow's process has no use for."""


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LATER[name]), name)


__all__ = [
    "KILL_EVENT_NAME",
    "START_EVENT_NAME",
    "STOP_EVENT_NAME",
    "APIWrapper",
    "AtLeast",
    "AtStart",
    "BasicTransmitter",
    "Calendar",
    "CallError",
    "CallTimeoutError",
    "CaptureError",
    "CaptureMessage",
    "ConfigError",
    "Configuration",
    "ControlError",
    "Cron",
    "Data",
    "DataTransmitter",
    "DeadLetterStatus",
    "DestinationRoutine",
    "DocumentError",
    "EndOfStream",
    "EventHandlerError",
    "EventResult",
    "EventTimeoutError",
    "Every",
    "FPSRoutine",
    "FlowStartError",
    "FlowStatus",
    "FrameData",
    "HttpGet",
    "Job",
    "Latency",
    "LinkError",
    "MessageInfo",
    "MiddleRoutine",
    "Notice",
    "NoticePage",
    "Page",
    "Parameter",
    "ParameterChange",
    "ParameterError",
    "ParameterStatus",
    "Pipe",
    "PipeBuildError",
    "PipeClient",
    "PipeState",
    "PipeStateError",
    "PipeStatus",
    "PipertError",
    "PreviewFrame",
    "QueueNetwork",
    "RPCPipeWrapper",
    "RayEngine",
    "Recorder",
    "Replay",
    "RequeueResult",
    "Restart",
    "Routine",
    "RoutineStatus",
    "RunSummary",
    "SharedMemoryFullError",
    "SharedMemoryTransmitter",
    "ShownValue",
    "SiteStatus",
    "Sketches",
    "SourceRoutine",
    "Store",
    "StoreError",
    "StoreReader",
    "TimeOfDay",
    "Trigger",
    "TriggerStatus",
    "UnknownDeadLetterError",
    "UnknownEventError",
    "UnknownFlowError",
    "UnknownNameError",
    "UnknownParameterError",
    "UnknownRoutineError",
    "UnknownWireError",
    "UnreadableDataError",
    "UnsendableDataError",
    "Wire",
    "WireStatus",
    "destination",
    "events",
    "load_pipe",
    "middle",
    "source",
]
