"""Kept for PipeRT's users."""
