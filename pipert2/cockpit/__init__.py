"""The cockpit: sees and drives running pipes in a browser. Its server, its store, and the pipe's side of it."""
