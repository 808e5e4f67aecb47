"""What is happening: one frozen, typed snapshot that every face of a pipe reads."""
