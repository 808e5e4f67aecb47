"""What :class:`pipert2.HttpGet` answers for one URL."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was fetched, or why it could not be.

    Attributes:
        asked: the URL that was asked for. url: where it was found in the end.
        status: the HTTP status, 404 for instance; 0 if there was no answer at all.
        content: the body, unpacked.
        headers: names in lower case, in the order of the answer; a name may be there several times.
        cookies: those that were set on the way.
        history: the URLs that led there by redirects.
        charset: what the answer says its text is encoded in, if it does.
        error: why there is no page; None if there is one, whatever its status.
    """

    asked: str
    url: str
    status: int = 0
    content: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    cookies: dict[str, str] = field(default_factory=dict)
    history: tuple[str, ...] = ()
    charset: str | None = None
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a page: an answer with a status below 400."""
        return self.error is None and self.status < 400

    @property
    def text(self) -> str:
        """The body as text, in the charset that it names if that is known, else in UTF-8; replaces what does not fit.

        >>> Page("http://a", "http://a", 200, b"caf\\xe9", charset="iso-8859-1").text
        'café'
        """
        try:
            charset = codecs.lookup(self.charset or "utf-8").name
            return self.content.decode(charset, "replace")
        except (LookupError, UnicodeError):  # no such charset, or a codec that is not one of text
            return self.content.decode("utf-8", "replace")

    def header(self, name: str) -> str | None:
        """The first header of this name, in whatever case; None if there is none.

        >>> Page("http://a", "http://a", headers=(("content-type", "text/html"),)).header("Content-Type")
        'text/html'
        """
        return next((value for known, value in self.headers if known == name.lower()), None)
