"""Which pipe a command speaks to: the one named, the one the environment says, or the one that runs here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipert2.cli.exit_codes import UNREACHABLE, CommandError
from pipert2.errors import nearest

if TYPE_CHECKING:
    from pipert2.control.client.client import PipeClient
    from pipert2.control.client.discovery import Announcement

URL_VARIABLE = "PIPERT2_URL"
TOKEN_VARIABLE = "PIPERT2_TOKEN"
READ_TOKEN_VARIABLE = "PIPERT2_READ_TOKEN"
CA_VARIABLE = "PIPERT2_CA"
ANSWER_SECONDS = 10.0
"""How long a pipe may take to answer."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a pipe is: its API's *url*, the *token* to show, and its *name* if it was found by that on this machine.

    *ca* is the file with the certificate that signed its own; None: one that the world trusts did.
    """

    url: str
    token: str | None
    name: str | None = None
    ca: str | None = None

    def client(self, timeout: float) -> PipeClient:
        """A client of this pipe, whose requests may take so many seconds."""
        from pipert2.control.client.client import PipeClient

        return PipeClient(self.url, self.token, timeout=timeout, verify=self.ca or True)


def find_address(url: str | None, pipe: str | None, token: str | None) -> Address:
    """The address of the pipe that is meant.

    Args:
        url, pipe, token: as given on the command line.

    Raises:
        CommandError: it is not clear which one, or there is none.
    """
    if url is not None and pipe is not None:
        raise CommandError("--url and --pipe both say which pipe: give one of them")
    from pipert2.control.environment import environment_and_file

    around = environment_and_file()
    if token is None:
        token = around.get(TOKEN_VARIABLE) or around.get(READ_TOKEN_VARIABLE) or None
    ca = around.get(CA_VARIABLE) or None
    if url is None and pipe is None:
        url = around.get(URL_VARIABLE) or None
    if url is not None:
        return Address(_checked(url), token, ca=ca)
    from pipert2.control.client.discovery import running_pipes

    found = choose(running_pipes(), pipe)
    return Address(found.url, token, found.pipe, ca)


def _checked(url: str) -> str:
    """*url* with its scheme; people leave that out."""
    full = url if "://" in url else f"http://{url}"
    scheme, _, rest = full.partition("://")
    if scheme not in ("http", "https") or not rest.strip("/") or any(one.isspace() for one in rest):
        raise CommandError(f"{url!r} is not the address of a pipe's API; write it like http://127.0.0.1:8320")
    return full


def choose(found: Sequence[Announcement], name: str | None) -> Announcement:
    """The pipe of this name or process id; without one, the only pipe there is.

    Raises:
        CommandError: there is none, or several.
    """
    if not found:
        raise CommandError(
            "no pipe of yours runs on this machine: start one with `pipert2 run`, or name one elsewhere with --url",
            UNREACHABLE,
        )
    fitting = [one for one in found if name is None or name in (one.pipe, str(one.pid))]
    if len(fitting) == 1:
        return fitting[0]
    several = ", ".join(f"{one.pipe} (process {one.pid}, {one.url})" for one in fitting or found)
    if not fitting:
        near = nearest(name or "", [one.pipe for one in found])
        hint = f"did you mean {near!r}?" if near is not None else f"there is {several}"
        raise CommandError(f"no pipe {name!r} runs on this machine: {hint}")
    if name is None:
        raise CommandError(f"{len(fitting)} pipes run on this machine, choose one with --pipe NAME: {several}")
    raise CommandError(f"{len(fitting)} pipes are called {name!r}, choose one with --pipe PROCESS_ID: {several}")


@contextmanager
def connected(
    url: str | None, pipe: str | None, token: str | None, timeout: float = ANSWER_SECONDS
) -> Iterator[PipeClient]:
    """A client of the pipe that is meant."""
    with find_address(url, pipe, token).client(timeout) as client:
        yield client
