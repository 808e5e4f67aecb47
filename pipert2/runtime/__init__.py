"""How a pipe runs on one machine: flow processes, routine loops, supervision, restart, pacing."""
