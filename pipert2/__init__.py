"""pipert2: a real-time pipe runtime for Python.

Routines in plain Python, wired into a pipe; each flow is a process of its own; frames travel through shared memory.
"""

from pipert2.errors import (
    EventHandlerError,
    EventTimeoutError,
    FlowStartError,
    PipeBuildError,
    PipertError,
    PipeStateError,
    SharedMemoryFullError,
    UnknownEventError,
    UnknownFlowError,
    UnknownNameError,
    UnknownRoutineError,
    UnknownWireError,
    UnreadableDataError,
    UnsendableDataError,
)
from pipert2.events.bus import EventResult
from pipert2.graph.data import Data, FrameData
from pipert2.graph.functions import destination, middle, source
from pipert2.graph.handlers import KILL_EVENT_NAME, START_EVENT_NAME, STOP_EVENT_NAME, events
from pipert2.graph.routine import (
    DestinationRoutine,
    EndOfStream,
    FPSRoutine,
    MiddleRoutine,
    Routine,
    SourceRoutine,
)
from pipert2.graph.transmitter import BasicTransmitter, DataTransmitter, SharedMemoryTransmitter
from pipert2.graph.wire import QueueNetwork, Wire
from pipert2.observe.snapshot import (
    FlowStatus,
    Latency,
    PipeState,
    PipeStatus,
    RoutineStatus,
    RunSummary,
    WireStatus,
)
from pipert2.pipe import Pipe
from pipert2.runtime.restart import Restart

__version__ = "0.1.0"

__all__ = [
    "KILL_EVENT_NAME",
    "START_EVENT_NAME",
    "STOP_EVENT_NAME",
    "BasicTransmitter",
    "Data",
    "DataTransmitter",
    "DestinationRoutine",
    "EndOfStream",
    "EventHandlerError",
    "EventResult",
    "EventTimeoutError",
    "FPSRoutine",
    "FlowStartError",
    "FlowStatus",
    "FrameData",
    "Latency",
    "MiddleRoutine",
    "Pipe",
    "PipeBuildError",
    "PipeState",
    "PipeStateError",
    "PipeStatus",
    "PipertError",
    "QueueNetwork",
    "Restart",
    "Routine",
    "RoutineStatus",
    "RunSummary",
    "SharedMemoryFullError",
    "SharedMemoryTransmitter",
    "SourceRoutine",
    "UnknownEventError",
    "UnknownFlowError",
    "UnknownNameError",
    "UnknownRoutineError",
    "UnknownWireError",
    "UnreadableDataError",
    "UnsendableDataError",
    "Wire",
    "WireStatus",
    "destination",
    "events",
    "middle",
    "source",
]
