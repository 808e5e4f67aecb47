"""What a reducer publishes, as others see it: over HTTP as an HDF5 file, and in the cockpit."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from pipert2.patterns.results.hdf_rest import HdfRest
from pipert2.patterns.results.hdf_server import HdfServer
from pipert2.patterns.results.shown_tree import shown_values

_SHOW_SECONDS = 0.2

Tree = Callable[[], Mapping[str, Any]]
Show = Callable[[str, Any], None]


class Published:
    """Shows what *tree* gives, now and then.

    Args:
        tree: what is published now.
        show: takes a value and its name, for the cockpit.
        port: of this machine, where the tree can be read as an HDF5 file; 0 for any free one, None for nowhere.
        lock: held while it is read there.
        logger: the routine's.

    Raises:
        PipertError: the port is taken.
    """

    def __init__(
        self,
        tree: Tree,
        show: Show,
        port: int | None,
        lock: contextlib.AbstractContextManager[Any],
        logger: logging.Logger,
    ) -> None:
        self._tree, self._show, self._logger = tree, show, logger
        self._server: HdfServer | None = None
        self._due = 0.0
        self.behind = False
        """Whether something has changed since it was shown."""
        if port is not None:
            self._server = HdfServer(HdfRest(tree, lock), port)
            logger.info("results at %s", self._server.url)

    def changed(self) -> bool:
        """There may be something new, which is shown if that was not done just now; whether it is left for later."""
        if monotonic() >= self._due:
            self.show_now()
            return False
        was_behind, self.behind = self.behind, True
        return not was_behind

    def show_now(self) -> None:
        """Show all of it."""
        self._due, self.behind = monotonic() + _SHOW_SECONDS, False
        try:
            for name, value in shown_values(self._tree()):
                self._show(name, value)
        except Exception:  # whatever the user's dict does when it is looked at
            self._logger.debug("what the reducer publishes cannot be shown", exc_info=True)

    def close(self) -> None:
        """Be seen no more over HTTP. Closes twice without complaint."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
