"""Where flows run: on a cluster, beside this machine."""
