"""Exit codes, the same for all verbs, and which error leads to which."""

from __future__ import annotations

from pipert2.errors import ConfigError, ControlError, ParameterError, PipertError, UnknownNameError

OK = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
DENIED = 4
INTERRUPTED = 130
TERMINATED = 143

EPILOG = (
    "Exit codes: 0 done; 1 the pipe failed, or would not do it; 2 wrong usage, an unknown name, or a target that "
    "cannot be loaded; 3 no running pipe was found or reached; 4 the pipe asks for another token; 130 after Ctrl-C; "
    "143 after SIGTERM."
)

_OF_CODES = {
    "unknown_name": USAGE,
    "bad_argument": USAGE,
    "unreachable": UNREACHABLE,
    "unauthorized": DENIED,
    "forbidden": DENIED,
}


class CommandError(PipertError):
    """The command cannot go on; *code* is what it exits with."""

    def __init__(self, message: str, code: int = USAGE) -> None:
        self.message = message
        self.code = code

    def __str__(self) -> str:
        return self.message


def exit_code_of(error: Exception) -> int:
    """What the command exits with after *error*."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, ControlError):
        return _OF_CODES.get(error.code, FAILED)
    return USAGE if isinstance(error, UnknownNameError | ParameterError | ConfigError) else FAILED
