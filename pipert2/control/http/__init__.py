"""The HTTP face: a Flask app made from the table of routes, behind a guard, on uvicorn."""
