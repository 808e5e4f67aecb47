"""Which frames of several streams belong together in an event, from the start of a scan to its end."""
