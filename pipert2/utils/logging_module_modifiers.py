"""Kept for PipeRT's users."""

from pipert2.runtime.logs import (
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
]
