"""How an error looks in HTTP: its status, its body, and the error that a body was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pipert2.errors import ControlError

Code = Literal[
    "unknown_name",
    "bad_argument",
    "bad_state",
    "no_room",
    "handler_failed",
    "timeout",
    "failed",
    "unauthorized",
    "forbidden",
    "too_large",
    "unreachable",
    "internal",
]

HTTP_STATUS: Mapping[str, int] = {
    "unknown_name": 404,
    "bad_argument": 422,
    "bad_state": 409,
    "no_room": 507,
    "handler_failed": 502,
    "timeout": 504,
    "failed": 500,
    "unauthorized": 401,
    "forbidden": 403,
    "too_large": 413,
    "unreachable": 502,
    "internal": 500,
}


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """What went wrong.

    Attributes:
        code: of which kind it is.
        message: one sentence or two for people.
        field: the argument that is wrong.
        nearest: the known name that looks most like an unknown one.
        traceback: where the code of a routine that was called failed; left out of all other errors.
    """

    code: Code
    message: str
    field: str | None
    nearest: str | None
    traceback: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """The body of every answer that is an error."""

    error: ErrorDetail


def http_status(error: ControlError) -> int:
    """The HTTP status of an error."""
    return HTTP_STATUS.get(error.code, 500)


def error_body(error: ControlError) -> dict[str, Any]:
    """The JSON body that says what *error* says."""
    code: Any = error.code if error.code in HTTP_STATUS else "internal"
    body = asdict(ErrorReply(ErrorDetail(code, error.message, error.field, error.nearest, error.traceback)))
    if error.traceback is None:
        del body["error"]["traceback"]
    return body


def error_in(body: object) -> ControlError | None:
    """The error that a JSON body was made of, None if it is not the body of a pipert2 error."""
    detail = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(detail, Mapping) or detail.get("code") not in get_args(Code):
        return None
    texts = [
        value if isinstance(value := detail.get(name), str) else None for name in ("field", "nearest", "traceback")
    ]
    return ControlError(str(detail["code"]), str(detail.get("message", "")), *texts)
