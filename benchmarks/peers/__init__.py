"""One small module per system under test, each run as a program: `python -m benchmarks.peers.NAME W3`."""
