"""The main process of a pipe: starts flows, keeps them alive, carries their messages."""
