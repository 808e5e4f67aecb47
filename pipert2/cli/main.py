"""The command itself: its verbs, and how every error becomes one clear line and an exit code."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Any, TextIO

import typer

import pipert2
from pipert2.cli import (
    call,
    capture,
    cockpit,
    config,
    dead_letters,
    demo,
    doctor,
    event,
    graph,
    level,
    life,
    list_pipes,
    logs,
    params,
    record,
    replay,
    run,
    status,
    top,
    validate,
    wires,
)
from pipert2.cli.exit_codes import EPILOG, FAILED, INTERRUPTED, TERMINATED, USAGE, exit_code_of
from pipert2.cli.printing import complain
from pipert2.errors import ControlError, PipertError, nearest

_VERBS = (
    run, demo, cockpit, list_pipes, status, top, life, event, call, params, logs, level, wires, dead_letters, graph,
    validate, config, record, replay, capture, doctor,
)  # fmt: skip

# Typer brings its own copy of click, or uses click itself, depending on its version: their errors are found from the
# one that both show.
_UsageError: Any = typer.BadParameter.__mro__[1]
_DEBUG = "--debug"


def make_app() -> typer.Typer:
    """The command with all its verbs."""
    app = typer.Typer(
        name="pipert2",
        help="Run pipes, and look at and drive the ones that run.",
        epilog=EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_common)
    for module in _VERBS:
        module.register(app)
    return app


def _common(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version and exit.", callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option(_DEBUG, help="Show the traceback of an error; may stand anywhere.")] = False,
) -> None:
    pass


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"pipert2 {pipert2.__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: those of the process if left out.

    Returns:
        The exit code.
    """
    if arguments is None:  # nothing runs behind this, and to look through all that was imported for garbage takes long
        atexit.register(gc.freeze)
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    debug = _DEBUG in options
    _end_cleanly_on_sigterm()
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    try:
        code = _run([one for one in options if one != _DEBUG] + given[len(options) :])
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return FAILED
    except Exception as error:
        if debug:
            _show_traceback_of_routine(error)
            raise
        complain(_line_of(error))
        return _code_of(error)


def _run(arguments: list[str]) -> int:
    command = typer.main.get_command(_needed(make_app(), arguments))
    try:
        result = command.main(arguments, prog_name="pipert2", standalone_mode=False)
    except typer.Abort:
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def _needed(app: typer.Typer, arguments: list[str]) -> typer.Typer:
    """The command with the one verb that is asked for; to build the options of all of them takes ten times as long.

    With all of them if the first word is none of them: then they are listed, completed or suggested.
    """
    verb = arguments[0] if arguments else ""
    commands = [one for one in app.registered_commands if one.name == verb]
    groups = [one for one in app.registered_groups if one.name == verb]
    if commands or groups:
        app.registered_commands, app.registered_groups = commands, groups
    return app


def _line_of(error: Exception) -> str:
    if isinstance(error, _UsageError):
        return _usage_line(error)
    if isinstance(error, PipertError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error} (this should not happen; --debug shows where)"


def _usage_line(error: Any) -> str:
    """What click says, with the nearest option, and where to read more."""
    context = getattr(error, "ctx", None)
    text = error.format_message().rstrip(".")
    wrong = getattr(error, "option_name", None)
    if wrong is not None and hasattr(error, "possibilities") and context is not None:
        text = f"no such option {wrong}{_option_hint(wrong, context)}"
    text = text.replace("Value error, ", "")  # pydantic's own word in front of what a check of ours says
    path = context.command_path if context is not None else "pipert2"
    return f"{text} (see {path} --help)"


def _option_hint(wrong: str, context: Any) -> str:
    """Which option was meant, or that it is one of the verbs'."""
    known = _options_of(context.command, context)
    near = nearest(wrong.lstrip("-"), [name.lstrip("-") for name in known])  # the dashes alone make none alike
    if near is not None:
        return f", did you mean {next(name for name in known if name.lstrip('-') == near)}?"
    verbs = getattr(context.command, "commands", {})
    owner = next((name for name, verb in verbs.items() if wrong in _options_of(verb, context)), None)
    return f": it stands behind a command, as in pipert2 {owner} {wrong}" if owner is not None else ""


def _options_of(command: Any, context: Any) -> list[str]:
    return [name for one in command.get_params(context) for name in getattr(one, "opts", ()) if name[:1] == "-"]


def _show_traceback_of_routine(error: Exception) -> None:
    """Where the code of a routine that was called failed, which is in another process."""
    if isinstance(error, ControlError) and error.traceback:
        sys.stderr.write(f"in the routine:\n{error.traceback}\n")


def _code_of(error: Exception) -> int:
    return USAGE if isinstance(error, _UsageError) else exit_code_of(error)


def _end_cleanly_on_sigterm() -> None:
    """Let SIGTERM unwind what is open (a terminal in another mode, a pipe), as Ctrl-C does."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _exit)


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


def _nowhere() -> TextIO:
    """In place of a stream that the caller has closed (`>&-`), which is None: nothing that prints expects that."""
    stream = open(os.devnull, "w")  # noqa: SIM115 - open as long as the process
    atexit.register(stream.close)
    return stream


def _forget_output() -> None:
    """Nobody reads the output any more; without this the interpreter complains about it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
