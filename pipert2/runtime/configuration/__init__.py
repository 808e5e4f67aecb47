"""Configuration: a routine's settings from declarations, files, the environment and events."""
