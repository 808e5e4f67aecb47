"""The cockpit's server: pipes on one side, browsers on the other."""
