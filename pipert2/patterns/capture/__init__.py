"""Captures: what goes over a wire, recorded, read and played again, as MCAP or as dranspose's ``.cbors``."""
