"""The browser's app: files that were built when pipert2 was, and a page that says so when they were not."""

from __future__ import annotations

import html
import mimetypes
from pathlib import Path

import flask

FOLDER = Path(__file__).parents[1] / "static"
REASON = "not-built.txt"
"""In the folder: why there is no app. What builds it may leave this."""
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_FOR_EVER = "public, max-age=31536000, immutable"
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Bundle:
    """Serves the app's files. Nothing in them is secret, so everybody may have them, before a login too."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder.absolute()

    def page(self) -> flask.Response:
        """The app's one page; the view is in its query."""
        index = self._folder / "index.html"
        if not index.is_file():
            return _with_policy(flask.Response(self._missing(), 503, mimetype="text/html"))
        response = flask.Response(index.read_bytes(), mimetype="text/html")
        response.headers["Cache-Control"] = "no-store"
        return _with_policy(response)

    def file(self, path: str) -> flask.Response | None:
        """A file of the app, None if there is none of this name."""
        found = (self._folder / path).resolve()
        if not found.is_relative_to(self._folder.resolve()) or not found.is_file() or found.name == REASON:
            return None
        kind = _TYPES.get(found.suffix) or mimetypes.guess_type(found.name)[0] or "application/octet-stream"
        response = flask.Response(found.read_bytes(), content_type=kind)
        if kind.startswith("text/"):
            response.headers["Content-Type"] = f"{kind}; charset=utf-8"
        response.headers["Cache-Control"] = _FOR_EVER if path.startswith("assets/") else "no-cache"
        return _with_policy(response)

    def _missing(self) -> str:
        try:
            reason = (self._folder / REASON).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            reason = "pipert2 was installed without it."
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>pipert2 cockpit</title>'
            "<h1>The cockpit's page was not built</h1>"
            f"<p>{html.escape(reason)}</p>"
            "<p>The server works: pipes can connect, and their records are kept. To get the page, install pipert2 "
            "again where Node 20 or newer and its package registry can be reached, with "
            "<code>PIPERT2_COCKPIT=require</code> in the environment, which tells what goes wrong.</p></html>"
        )


def _with_policy(response: flask.Response) -> flask.Response:
    response.headers["Content-Security-Policy"] = CSP
    return response
