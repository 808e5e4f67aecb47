"""Control from outside: one service that knows every verb, its faces (HTTP, zerorpc), its rights, its client."""
