"""Kept for PipeRT's users."""

from __future__ import annotations

import logging

from pipert2.runtime.flow.logs import (
    PIPE_INFRASTRUCTURE_LOG_LEVEL,
    PIPE_INFRASTRUCTURE_LOG_LEVEL_NAME,
    add_pipe_log_level,
    get_default_print_logger,
)

__all__ = [
    "PIPE_INFRASTRUCTURE_LOG_LEVEL",
    "PIPE_INFRASTRUCTURE_LOG_LEVEL_NAME",
    "add_pipe_log_level",
    "get_default_print_logger",
    "get_socket_logger",
]


def get_socket_logger(logger_name: str, level: int | str) -> logging.Logger:
    """A logger for :class:`~pipert2.Pipe`: the pipe that gets it appears in the cockpit, with its log and all else.

    Where the cockpit is says ``SOCKET_LOGGER_URL``, what it wants from pipes ``PIPERT2_COCKPIT_TOKEN``, and, if it is
    served over TLS with a certificate that nobody knows, ``PIPERT2_COCKPIT_CA`` which file holds the one that signed
    it; in the environment or in ``.env`` of the working directory. A cockpit that is not there, or goes away, harms
    nothing.

    Args:
        logger_name: the logger's name; also the pipe's in the cockpit, if the pipe has none of its own.
        level: log records of this level and above are sent.

    Raises:
        ControlError: the address is none, or ``.env`` or the certificate cannot be read.
    """
    from pipert2.cockpit.link.socket_handler import URL_NAME, SocketHandler
    from pipert2.cockpit.link.tls import CA_NAME
    from pipert2.cockpit.settings import TOKEN_NAME
    from pipert2.control.environment import environment_and_file

    logger = logging.getLogger(logger_name)
    logger.setLevel(level)
    written = environment_and_file()
    url = (written.get(URL_NAME) or "").strip()
    if not url:
        text = "%s is not set, so %r is a logger as any other: name the cockpit's address in .env or the environment"
        logging.getLogger(__name__).warning(text, URL_NAME, logger_name)
    elif not any(isinstance(handler, SocketHandler) for handler in logger.handlers):
        token = (written.get(TOKEN_NAME) or "").strip() or None
        ca = (written.get(CA_NAME) or "").strip() or None
        logger.addHandler(SocketHandler(url, token, logger_name, ca))
    return logger
