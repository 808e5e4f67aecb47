"""A client of the control API for Python programs and the command line, and how pipes are found."""
