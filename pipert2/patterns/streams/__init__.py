"""Streams from detectors: their protocols, and the sources that speak them."""
