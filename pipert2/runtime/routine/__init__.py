"""One routine at work in its flow's process: how it takes, runs, sends, and what it shows of itself."""
