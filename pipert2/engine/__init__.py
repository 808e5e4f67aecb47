"""WHERE flows run: on this machine, which needs nothing of this folder, or on a cluster."""
