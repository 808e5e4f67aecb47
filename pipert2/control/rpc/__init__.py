"""The zerorpc face: a hardened server, what its clients can call, and a command line for it."""
