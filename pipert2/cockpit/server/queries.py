"""What the cockpit's routes take from the query."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipert2.cockpit.store.log_filter import LogFilter
from pipert2.cockpit.store.metrics_row import Thing
from pipert2.control.verbs import bad_argument
from pipert2.errors import ControlError

Time = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=200)]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class FilterQuery(_Query):
    """Which records fit."""

    level: Name | None = None
    flow: Name | None = None
    routine: Name | None = None
    text: Name | None = None
    start: Time | None = Field(None, alias="from")
    end: Time | None = Field(None, alias="to")

    def filter(self) -> LogFilter:
        """The same as a filter."""
        return LogFilter(self.level or None, self.flow, self.routine, self.text or None)


class LogsQuery(FilterQuery):
    """A page of records."""

    before: int | None = Field(None, ge=0)
    after: int | None = Field(None, ge=0)
    limit: int = Field(200, ge=1, le=2_000)


class ExportQuery(FilterQuery):
    """All records that fit, as a file."""

    format: Literal["jsonl", "csv"] = "jsonl"


class HistogramQuery(FilterQuery):
    """How many records there were."""

    buckets: int = Field(60, ge=1, le=1_000)


class MetricsQuery(_Query):
    """A chart of one thing's values."""

    routine: Name | None = None
    wire: Annotated[str, Field(max_length=410)] | None = None
    flow: Name | None = None
    start: Time | None = Field(None, alias="from")
    end: Time | None = Field(None, alias="to")
    points: int = Field(300, ge=1, le=2_000)

    def thing(self) -> Thing:
        """The routine, wire or flow."""
        found = [(kind, name) for kind in ("routine", "wire", "flow") if (name := getattr(self, kind)) is not None]
        if len(found) != 1:
            raise ControlError("bad_argument", "metrics: name one of routine, wire, flow", field="routine")
        return found[0]


class AuditQuery(_Query):
    """A page of the audit trail."""

    before: int | None = Field(None, ge=0)
    limit: int = Field(100, ge=1, le=1_000)


class LoginBody(BaseModel):
    """Who wants to log in."""

    model_config = ConfigDict(extra="forbid")

    user: str = Field(max_length=200)
    password: str = Field(max_length=1_000)


_Model = TypeVar("_Model", bound=BaseModel)


def read_query(model: type[_Model], given: Any, what: str) -> _Model:
    """Check what was given.

    Raises:
        ControlError: something is wrong with it.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise bad_argument(error, what) from None


def span(start: float | None, end: float | None, now: float, seconds: float) -> tuple[float, float]:
    """From when to when: the last *seconds* if nothing is said.

    Raises:
        ControlError: the end is before the start.
    """
    until = end if end is not None else now
    since = start if start is not None else until - seconds
    if since >= until:
        raise ControlError("bad_argument", "from: is not before to", field="from")
    return since, until
