"""A cockpit beside one pipe, in the same program."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from pipert2.errors import ControlError

if TYPE_CHECKING:
    from pipert2.cockpit.settings import CockpitSettings
    from pipert2.control.service import ControlService
    from pipert2.pipe import Pipe

logger = logging.getLogger(__name__)


@contextmanager
def cockpit_beside(
    pipe: Pipe, settings: CockpitSettings | None = None, *, service: ControlService | None = None
) -> Iterator[str]:
    """Serve a cockpit that shows *pipe*; gives the address of the page that does.

    If its port is taken, a cockpit is expected to be there already, and the pipe is shown in that one.

    Args:
        pipe: the pipe.
        settings: how the cockpit is run; left out: as the environment and ``.env`` say.
        service: the pipe's control service, if it has one already.

    Raises:
        ControlError: the cockpit cannot be served, or a certificate cannot be read.
    """
    # The web server takes half a second to import: a script that can show a cockpit does not pay for it until it does.
    from pipert2.cockpit.link.link import CockpitLink
    from pipert2.cockpit.link.tls import trusting, trusting_only
    from pipert2.cockpit.server.server import CockpitServer
    from pipert2.cockpit.settings import settings_from

    wanted = settings if settings is not None else settings_from({})
    with ExitStack() as stack:
        server = CockpitServer(wanted, yielding=True)
        try:
            stack.enter_context(server)
        except ControlError as error:
            if error.field != "port":
                raise
            logger.info("port %d is taken: pipe %s goes to the cockpit that is there", wanted.port, pipe.name)
        trust = None
        if wanted.certificate is not None:
            trust = trusting(wanted.ca) if wanted.ca is not None else trusting_only(wanted.certificate)
        stack.enter_context(CockpitLink(pipe, server.url, wanted.token, service=service, trust=trust))
        yield f"{server.url}/?pipe={quote(pipe.name)}"
