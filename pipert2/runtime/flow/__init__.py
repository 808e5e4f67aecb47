"""One flow's process: how it is handed over, what runs in it, its way to the main process."""
