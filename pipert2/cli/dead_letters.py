"""``pipert2 dead-letters``: the messages that a running pipe has given up, and what is to become of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipert2.cli.connect import connected
from pipert2.cli.exit_codes import FAILED, CommandError
from pipert2.cli.options import Json, PipeName, RoutineOption, Token, Url

if TYPE_CHECKING:
    from pipert2.control.client.client import PipeClient
    from pipert2.control.records import DeadLetterReply, DeadLettersReply, DropReply, RequeueReply


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("dead-letters")(dead_letters)


def dead_letters(
    action: Annotated[
        Literal["list", "requeue", "drop"],
        typer.Argument(metavar="ACTION", help="Show them, give them to their routines again, or forget them."),
    ] = "list",
    numbers: Annotated[
        list[int] | None,
        typer.Argument(metavar="NUMBER", min=1, help="Which ones; list shows all about them.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them, or all of the routine.")] = False,
    routine: RoutineOption = None,
    after: Annotated[int, typer.Option("--after", metavar="NUMBER", min=0, help="List those with higher numbers.")] = 0,
    limit: Annotated[int, typer.Option("--limit", metavar="COUNT", min=1, max=1000, help="List so many.")] = 100,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0.0, max=3600.0, help="How long a requeue may take.")
    ] = 30.0,
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Show the messages that were given up after all their attempts; try them again, or forget them.

    Exits with 1 if one that was tried again has failed again; it is kept then.
    """
    wanted = list(dict.fromkeys(numbers or ()))
    _check(action, wanted, every, routine)
    with connected(url, pipe, token) as client:
        if action == "requeue":
            _show_requeued(_requeue(client, wanted, routine, wait), as_json)
        elif action == "drop":
            _show_dropped(_drop(client, wanted, routine), as_json)
        elif wanted:
            _show_each([client.dead_letter(number) for number in wanted], as_json)
        else:
            _show_page(client.dead_letters(routine, after=after, limit=limit), routine, as_json)


def _check(action: str, numbers: Sequence[int], every: bool, routine: str | None) -> None:
    """Refuse what is not clear; nothing is forgotten by mistake."""
    if numbers and (every or routine is not None):
        raise CommandError("name either NUMBERs, or --all and --routine")
    if action != "list" and not numbers and not every:
        which = f"--all --routine {routine}" if routine is not None else "--all"
        raise CommandError(f"which dead letters? As in: pipert2 dead-letters {action} 3, or {action} {which}")


def _requeue(client: PipeClient, numbers: Sequence[int], routine: str | None, wait: float) -> RequeueReply:
    if not numbers:
        return client.requeue_dead_letters(routine, wait=wait)
    if len(numbers) == 1:
        return client.requeue_dead_letter(numbers[0], wait=wait)
    from pipert2.control.records import DeadLetterFailure, RequeueReply

    failed = _tried(numbers, lambda number: client.requeue_dead_letter(number, wait=wait))
    failures = tuple(DeadLetterFailure(number, reason) for number, reason in failed.items())
    return RequeueReply(len(numbers) - len(failed), failures, 0, not failed)


def _drop(client: PipeClient, numbers: Sequence[int], routine: str | None) -> DropReply:
    if not numbers:
        return client.drop_dead_letters(routine)
    from pipert2.control.records import DropReply

    for number in numbers:
        client.drop_dead_letter(number)
    return DropReply(len(numbers))


def _tried(numbers: Sequence[int], do: Callable[[int], object]) -> dict[int, str]:
    """Do it with each; why some could not be done. What would go wrong with all of them ends it at once."""
    from pipert2.errors import ControlError

    failed = {}
    for number in numbers:
        try:
            do(number)
        except ControlError as error:
            if error.code not in ("handler_failed", "bad_state", "unknown_name"):
                raise
            failed[number] = error.message
    return failed


def _show_requeued(reply: RequeueReply, as_json: bool) -> None:
    from pipert2.cli.printing import output, print_json, printable

    if as_json:
        print_json(reply)
    else:
        console = output()
        console.print(f"{reply.requeued} requeued" + (f", {reply.left} left for another time" if reply.left else ""))
        for one in reply.failed:
            console.print(printable(f"{one.number}: failed: {one.reason}"), style="red", soft_wrap=True)
    if not reply.ok:
        raise typer.Exit(FAILED)


def _show_dropped(reply: DropReply, as_json: bool) -> None:
    from pipert2.cli.printing import output, print_json

    if as_json:
        print_json(reply)
    else:
        output().print(f"{reply.dropped} dropped")


def _show_page(reply: DeadLettersReply, routine: str | None, as_json: bool) -> None:
    from pipert2.cli.printing import output, print_json, printable, say
    from pipert2.cli.tables import clock, plain_table

    if as_json:
        print_json(reply)
        return
    if not reply.letters:
        say("there are no dead letters" + (f" of {routine}" if routine is not None else ""))
        return
    table = plain_table("number", "routine", "given up", "attempts", "why", "data", right=("number", "attempts"))
    for one in reply.letters:
        why = one.reason.splitlines()[0] if one.reason else ""
        when = clock(one.time) + (" (earlier run)" if one.earlier else "")
        cells = (str(one.number), one.routine, when, str(one.attempts), why[:60], _text(one.data)[:40])
        table.add_row(*(printable(cell) for cell in cells))
    output().print(table)
    if len(reply.letters) < reply.total:
        last = reply.letters[-1].number
        say(f"{len(reply.letters)} of {reply.total}; those behind them: pipert2 dead-letters --after {last}")


def _show_each(letters: Sequence[DeadLetterReply], as_json: bool) -> None:
    from pipert2.cli.printing import output, print_json, printable
    from pipert2.cli.tables import clock

    if as_json:
        print_json(letters[0] if len(letters) == 1 else letters)
        return
    for one in letters:
        attempts = "1 attempt" if one.attempts == 1 else f"{one.attempts} attempts"
        earlier = ", by an earlier run" if one.earlier else ""
        lines = [
            f"dead letter {one.number} of {one.routine}, given up at {clock(one.time)} after {attempts}{earlier}",
            f"why: {one.reason}",
            f"data: {_text(one.data)}",
            *one.traceback.splitlines(),
        ]
        for line in lines:
            output().print(printable(line), soft_wrap=True)


def _text(data: object) -> str:
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
