"""Who may call the cockpit: the control API's rules, but a link from anywhere may open the page."""

from __future__ import annotations

from dataclasses import replace

from pipert2.control.http.answers import Answer, Message
from pipert2.control.http.rules import Caller, HttpRules


class CockpitRules(HttpRules):
    """As :class:`HttpRules`, save that somebody who follows a link on another site gets to the page.

    The page by itself shows nothing and does nothing; the session's cookie does not come with such a request.
    """

    def judge(self, scope: Message, caller: Caller) -> Answer | None:
        """The answer for a request that is refused; None: go on."""
        if caller.site is not None and caller.origin is None and _opens_page(scope):
            caller = replace(caller, site="none")
        return super().judge(scope, caller)


def _opens_page(scope: Message) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
        return False
    headers = dict(scope["headers"])
    return headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"
