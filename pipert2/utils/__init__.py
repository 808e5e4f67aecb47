"""Paths that PipeRT 2.3 documented, kept for its users. New code imports from ``pipert2`` itself."""
