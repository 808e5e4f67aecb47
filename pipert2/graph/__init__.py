"""What a pipe is: routines, flows, wires and their rules. Knows no process, socket, clock or file."""
