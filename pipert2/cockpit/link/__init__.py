"""The pipe's side of the cockpit: shows one pipe there, and lets it be driven from there."""
