"""Events: named calls on routines, from anywhere in the pipe to exactly the routines they are for."""
