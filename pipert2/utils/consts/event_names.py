"""Kept for PipeRT's users."""

from pipert2.graph.handlers import KILL_EVENT_NAME, START_EVENT_NAME, STOP_EVENT_NAME
from pipert2.graph.handlers import UNLINK_EVENT_NAME as UNLINK

__all__ = ["KILL_EVENT_NAME", "START_EVENT_NAME", "STOP_EVENT_NAME", "UNLINK"]
