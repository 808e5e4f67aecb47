"""How data moves: slots and rings in shared memory between flows, references within one.

``docs/decisions/0001-slots-and-rings.md`` is the protocol; the words used here are its words.
"""
