"""The log level of pipert2's own doings."""

from __future__ import annotations

import logging
import sys
from typing import Any

PIPE_INFRASTRUCTURE_LOG_LEVEL = 5
PIPE_INFRASTRUCTURE_LOG_LEVEL_NAME = "PIPE_INFRASTRUCTURE"


def add_pipe_log_level() -> None:
    """Add the level ``PIPE_INFRASTRUCTURE`` (5, below DEBUG) to the logging module, and ``plog`` for it to all loggers.

    >>> add_pipe_log_level()
    >>> logging.getLevelName(PIPE_INFRASTRUCTURE_LOG_LEVEL)
    'PIPE_INFRASTRUCTURE'
    """
    logging.addLevelName(PIPE_INFRASTRUCTURE_LOG_LEVEL, PIPE_INFRASTRUCTURE_LOG_LEVEL_NAME)

    def plog(self: logging.Logger, message: object, *args: Any, **kwargs: Any) -> None:
        if self.isEnabledFor(PIPE_INFRASTRUCTURE_LOG_LEVEL):
            kwargs.setdefault("stacklevel", 2)
            self.log(PIPE_INFRASTRUCTURE_LOG_LEVEL, message, *args, **kwargs)

    logging.Logger.plog = plog  # type: ignore[attr-defined]


def get_default_print_logger(name: str) -> logging.Logger:
    """A logger that prints INFO and above to standard output, as PipeRT's pipes do where no logger is given."""
    logger = logging.getLogger(name)
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
        )
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return logger
