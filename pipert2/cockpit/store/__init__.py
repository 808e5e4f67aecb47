"""What the cockpit keeps: records, metrics, runs and accounts, in one SQLite file."""
