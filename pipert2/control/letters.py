"""Dead letters as the control service tells of them."""

from __future__ import annotations

from pipert2.control.records import DeadLetterFailure, DeadLetterReply, RequeueReply
from pipert2.control.sketch import sketch
from pipert2.observe.snapshot import PipeStatus
from pipert2.pipe import Pipe
from pipert2.runtime.supervision.dead_letter_results import DeadLetterStatus, RequeueResult

_LONGEST_REASON = 2_000
_LONGEST_TRACEBACK = 20_000
_STEP = 10


def letter_page(pipe: Pipe, routine: str | None, after: int, limit: int) -> tuple[DeadLetterReply, ...]:
    """Letters behind a number, a few at a time: what they are about may be large."""
    found: list[DeadLetterReply] = []
    while (step := min(_STEP, limit - len(found))) > 0:
        letters = pipe.dead_letters(routine, after=after, limit=step)
        found += [letter_reply(one) for one in letters]
        if len(letters) < step:
            break
        after = letters[-1].number
    return tuple(found)


def letter_reply(letter: DeadLetterStatus) -> DeadLetterReply:
    """A letter, with no more of its data and texts than a reply should carry."""
    trace = letter.traceback
    return DeadLetterReply(
        letter.number,
        letter.routine,
        letter.reason[:_LONGEST_REASON],
        trace if len(trace) <= _LONGEST_TRACEBACK else f"...{trace[-_LONGEST_TRACEBACK:]}",  # its end says most
        letter.attempts,
        letter.time,
        letter.earlier,
        sketch(letter.data),
    )


def requeue_reply(result: RequeueResult) -> RequeueReply:
    """What came of all of them."""
    failed = tuple(DeadLetterFailure(number, reason[:_LONGEST_REASON]) for number, reason in result.failed.items())
    return RequeueReply(len(result.done), failed, len(result.left), result.ok)


def total_of(pipe: Pipe, routine: str | None) -> int:
    """How many letters there are, of a routine or of all."""
    status = pipe.status()
    if routine is None:
        return status.dead_letters
    known = [one.dead_letters for one in status.routines if one.name == routine]
    return known[0] if known else len(pipe.dead_letters(routine))


def letter_problems(status: PipeStatus) -> list[str]:
    """A sentence for each routine that has given messages up."""
    found = [
        f"routine {one.name!r} has given up {_messages(one.dead_letters)}: requeue or drop its dead letters"
        for one in status.routines
        if one.dead_letters
    ]
    others = status.dead_letters - sum(one.dead_letters for one in status.routines)
    if others:
        found.append(f"earlier runs have left dead letters of routines that are gone, {_messages(others)}: drop them")
    return found


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"
