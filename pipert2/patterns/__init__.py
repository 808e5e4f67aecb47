"""Patterns: what is built from routines, wires and flows alone: captures, map-reduce, ready-made routines."""

from pipert2.patterns.streams import stins

__all__ = ["stins"]
