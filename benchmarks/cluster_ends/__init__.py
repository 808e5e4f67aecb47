"""The two ends of each way between two hosts that ``benchmarks.cluster`` measures."""
