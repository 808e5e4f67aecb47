"""Paths that PipeRT 2.3 documented, kept for its users; everything in here is importable from ``pipert2`` itself."""
