"""Verbs: the methods of the control service, with what the faces need to know about each."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, create_model
from pydantic_core import PydanticCustomError, to_jsonable_python

from pipert2.control.problems import control_error
from pipert2.errors import ControlError, nearest

_LONGEST_FIELD = 100
"""Characters of the name of an argument that an error tells: it comes from outside, and may be anything."""


class Scope(str, Enum):
    """What a caller must be allowed to do: look, or change something. ``CONTROL`` includes ``READ``."""

    READ = "read"
    CONTROL = "control"


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb.

    Attributes:
        name: the service's method.
        scope: what its caller must be allowed to do.
        request: a model of its arguments.
        reply: its reply's type.
        help: the first line of its documentation.
    """

    name: str
    scope: Scope
    request: type[BaseModel]
    reply: Any
    help: str
    _method: Callable[..., Any]

    def call(self, service: Any, arguments: Mapping[str, Any]) -> Any:
        """Check the arguments and do it.

        Args:
            service: the control service.
            arguments: by name, of JSON's types; texts are read as numbers or true/false where these are meant.

        Raises:
            ControlError: whatever goes wrong.
        """
        checked = self.check(arguments)
        try:
            return self._method(service, **checked)
        except Exception as error:
            raise control_error(error) from error

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the method takes them.

        Raises:
            ControlError: ``bad_argument``; *field* names the first one that is wrong, the message all of them.
        """
        try:
            model = self.request.model_validate(dict(arguments))
        except ValidationError as error:
            raise bad_argument(error, self.name, tuple(self.request.model_fields)) from None
        return {name: getattr(model, name) for name in type(model).model_fields}


def bad_argument(error: ValidationError, what: str, known: Sequence[str] = ()) -> ControlError:
    """The error for arguments that do not fit the *known* ones: says of each what is wrong with it."""
    wrong = []
    near = None
    for one in error.errors(include_input=False):
        field, message = ".".join(str(part) for part in one["loc"])[:_LONGEST_FIELD], one["msg"]
        if one["type"] == "extra_forbidden":
            found = nearest(field, known)
            hint = f", did you mean {found!r}?" if found else f"; there are {', '.join(known)}" if known else ""
            message = f"there is no such argument{hint}"
            near = near or found
        wrong.append((field, message))
    text = "; ".join(f"{field}: {message}" if field else message for field, message in wrong[:10])
    return ControlError("bad_argument", f"{what}: {text}", field=wrong[0][0] or None, nearest=near)


_Function = typing.TypeVar("_Function", bound=Callable[..., Any])


def verb(scope: Scope) -> Callable[[_Function], _Function]:
    """Mark a method of the service as a verb."""

    def mark(function: _Function) -> _Function:
        function.__verb_scope__ = scope  # type: ignore[attr-defined]
        return function

    return mark


def verbs_of(service: type) -> dict[str, Verb]:
    """The verbs of a service's class, by name, in the order in which they stand there."""
    return {
        name: _make(name, function)
        for name, function in vars(service).items()
        if getattr(function, "__verb_scope__", None) is not None
    }


def _make(name: str, function: Callable[..., Any]) -> Verb:
    hints = typing.get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        hint = hints[parameter.name]
        fields[parameter.name] = (Annotated[hint, BeforeValidator(_no_truth)] if _is_number(hint) else hint, default)
    title = "".join(part.capitalize() for part in name.split("_"))
    request = create_model(f"{title}Request", __config__=ConfigDict(extra="forbid", regex_engine="python-re"), **fields)
    help_text = (inspect.getdoc(function) or "").split("\n", 1)[0]
    scope: Scope = function.__verb_scope__  # type: ignore[attr-defined]
    return Verb(name, scope, request, hints["return"], help_text, function)


def _is_number(hint: Any) -> bool:
    """Whether an argument is a number, or none."""
    inner = typing.get_args(hint)
    return hint in (int, float) or (bool(inner) and _is_number(inner[0]))


def _no_truth(value: Any) -> Any:
    """Python takes true for 1; who says ``"wait": true`` means something else."""
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "Input should be a number, not true or false")
    return value


def plain(value: Any) -> Any:
    """A reply as JSON's types; what a user's handler returned and is none of them becomes its ``repr``."""
    return to_jsonable_python(value, fallback=_fallback, inf_nan_mode="null", bytes_mode="base64")


def _fallback(value: Any) -> Any:
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:  # a numpy scalar
        return item()
    return repr(value)[:10_000]
