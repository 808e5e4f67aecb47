"""Results that can be read while they grow: in HDF5 files, over HTTP, in the cockpit."""
