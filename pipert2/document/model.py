"""The parts of a document, their keys and types. The JSON Schema for editors is made from these."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from pipert2.graph.spec import MOST_REPLICAS
from pipert2.graph.wire import QueueNetwork
from pipert2.runtime.supervision.restart import Restart

Name = Annotated[str, Field(min_length=1, max_length=200)]
Options = dict[str, Any]


class Part(BaseModel):
    """A part of a document: no keys but these, no conversion of types; a key without a value is one left out."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data


class _ShortPart(Part):
    """A part that may be written as one value, that of its first key, when it has no other."""

    @model_validator(mode="before")
    @classmethod
    def _from_short(cls, data: Any) -> Any:
        if isinstance(data, dict | cls):
            return data
        return {_first_key(cls): data}

    @model_serializer(mode="wrap")
    def _to_short(self, handler: SerializerFunctionWrapHandler) -> Any:
        full = handler(self)
        return full[_first_key(type(self))] if list(full) == [_first_key(type(self))] else full

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        full = handler(schema)
        short = {
            key: value
            for key, value in handler.resolve_ref_schema(full)["properties"][_first_key(cls)].items()
            if key != "default"
        }
        return {"anyOf": [short, full]}


def _first_key(part: type[BaseModel]) -> str:
    name, field = next(iter(part.model_fields.items()))
    return field.alias or name


class TransmitterDocument(_ShortPart):
    """How the data of wires is placed."""

    class_: Annotated[Name, Field(alias="class")]
    """``basic``, ``shared_memory``, or a class of one's own as ``module:Class``."""
    options: Options = {}
    """The arguments of its constructor, such as ``data_size_threshold`` for ``shared_memory``."""


class RestartDocument(_ShortPart):
    """How a flow that dies is restarted."""

    times: Annotated[int, Field(ge=0)] = 3
    """Restarts within *window*; one death more and the flow stays dead. 0: never."""
    window: Annotated[float, Field(gt=0)] = 60.0
    """Seconds."""
    backoff: Annotated[float, Field(ge=0)] = 0.1
    """Seconds before the first restart, doubled for each further one."""


class NetworkDocument(Part):
    """The delivery rule of wires that do not name their own."""

    max_queue_sizes: Annotated[int, Field(ge=1)] = 1
    """Messages that may wait on each wire."""
    put_block: bool = False
    """Whether wires are lossless: the source waits for room."""
    get_block: bool = True
    """Accepted for PipeRT's sake."""
    timeout: Annotated[float, Field(gt=0)] = 1.0
    """Seconds after which a source that waits says so in the log."""


class RoutineDocument(Part):
    """A routine of a flow."""

    class_: Annotated[Name, Field(alias="class")]
    """``module:Class``, ``./file.py:Class`` (from the document's folder), or the name that a plugin gives it."""
    name: Name | None = None
    """Unique within the pipe; left out, the class's or function's own."""
    options: Options = {}
    """The arguments of its constructor."""
    parameters: Options = {}
    """Values of its declared parameters."""
    concurrency: Annotated[int, Field(ge=1)] | None = None
    """How many messages it works on at once; left out, as its class says. The same holds for the keys that follow."""
    retries: Annotated[int, Field(ge=0)] | None = None
    """How often a message on a lossless way is tried again before it becomes a dead letter."""
    max_in_flight: Annotated[int, Field(ge=1)] | None = None
    """Of a source: how many of its messages may be unacknowledged."""
    trigger: Annotated[Any, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}]})] = None
    """Of a source: when it runs, such as ``every 10 s``, ``cron 0 * * * *``, ``daily after 10:00``, or seconds."""
    timeout: Annotated[float, Field(gt=0)] | None = None
    """Of a source with a trigger: seconds that a run may take."""
    service: bool | None = None
    """Whether it is there to be called, and needs no wires."""


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class _Names:
    """Says in the JSON Schema that one name may stand for a list of one."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        full = handler(schema)
        return {"anyOf": [full["items"], full]}


class FlowDocument(Part):
    """Routines that share a process."""

    auto_wire: bool = True
    """Whether the routines are wired to one another in the order given."""
    data_transmitter: TransmitterDocument | None = None
    """For these wires."""
    replicas: Annotated[int, Field(ge=1, le=MOST_REPLICAS)] | None = None
    """Processes of this flow that compete for its input; also 1, if there may be more while the pipe runs."""
    depends_on: Annotated[list[Name], BeforeValidator(_listed), _Names] = []
    """The name or names of flows that must be done before this one starts."""
    resources: dict[Name, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = {}
    """On a cluster: what each replica needs of its host, by name."""
    host: Annotated[str, Field(min_length=1)] | None = None
    """On a cluster: a host's name or address, a label of it as in rack=3, or driver."""
    routines: Annotated[list[RoutineDocument], Field(min_length=1)]
    """The flow's routines."""


class WireDocument(Part):
    """From one routine to others."""

    source: Name
    """The name of the routine whose results travel."""
    destinations: Annotated[list[Name], Field(min_length=1), BeforeValidator(_listed), _Names]
    """The name or names of the routines that get them."""
    lossless: bool | None = None
    """true: the source waits for room. false: the newest message wins. Left out: as the pipe says."""
    capacity: Annotated[int, Field(ge=1)] | None = None
    """Messages that may wait for each destination."""
    data_transmitter: TransmitterDocument | None = None
    """How data is placed; left out, as the pipe says."""
    where: Name | None = None
    """``module:function`` or ``./file.py:function``: called with the data, it says whether that travels here."""
    feedback: bool = False
    """Whether it leads back to where its data came from."""


class PipeDocument(Part):
    """A pipe: its options, flows of routines, and the wires that do not come from ``auto_wire``."""

    name: Name | None = None
    """Shown in logs and status; left out, the name of the file."""
    lossless: bool = False
    """Make wires lossless that do not say."""
    auto_pacing: bool = False
    """Hold sources near the rate at which their data can be used."""
    restart: RestartDocument = RestartDocument()
    """How often a flow that dies is restarted within a minute, or in full: times, window, backoff."""
    hang_timeout: Annotated[float, Field(gt=0)] | None = None
    """Kill and restart a flow in which one call of the user's code takes longer (seconds)."""
    kill_timeout: Annotated[float, Field(ge=0)] = 2.0
    """Seconds that routines have to clean up when killed."""
    drain_timeout: Annotated[float, Field(ge=0)] = 5.0
    """Seconds that a lossless pipe may take, when it is stopped as a whole, for what its sources have sent."""
    store: Name | None = None
    """The file of its store, an SQLite database, from the document's folder on."""
    config: Name | None = None
    """The folder of the routines' configuration files, from the document's folder on."""
    requires: Annotated[list[Name], BeforeValidator(_listed), _Names] = []
    """Names of parameters of the pipe as a whole without which no routine starts."""
    parameters: Options = {}
    """Values of parameters of the pipe as a whole."""
    network: NetworkDocument = NetworkDocument()
    """The delivery rule of wires that do not name their own."""
    data_transmitter: TransmitterDocument | None = None
    """How data is placed on wires that do not say."""
    flows: Annotated[dict[Name, FlowDocument], Field(min_length=1)]
    """By name."""
    wires: list[WireDocument] = []
    """In addition to those from ``auto_wire``."""

    @property
    def queue_network(self) -> QueueNetwork:
        """The network as the pipe takes it."""
        return QueueNetwork(**self.network.model_dump())

    @property
    def restart_rule(self) -> Restart:
        """The restart rule as the pipe takes it."""
        return Restart(self.restart.times, self.restart.window, self.restart.backoff)


def document_schema() -> dict[str, Any]:
    """The JSON Schema of documents, for editors.

    >>> sorted(document_schema()["properties"])[:3]
    ['auto_pacing', 'config', 'data_transmitter']
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **PipeDocument.model_json_schema()}
