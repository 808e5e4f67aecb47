"""Triggers: values that say when a source runs, and what is kept of its runs."""
