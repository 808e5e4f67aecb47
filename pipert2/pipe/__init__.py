"""Pipe: the object people hold."""

from pipert2.pipe.pipe import Pipe

__all__ = ["Pipe"]
