"""Patterns: what is built from routines, wires and flows alone. Captures are recorded and replayed here."""
