"""Which certificates a pipe trusts when it dials a cockpit that is served over TLS."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from pipert2.errors import ControlError

CA_NAME = "PIPERT2_COCKPIT_CA"
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def trusting(ca: str | os.PathLike[str] | None = None) -> ssl.SSLContext:
    """Trusts servers whose certificate was signed by one in the file *ca*; None: those that this machine trusts.

    Raises:
        ControlError: no certificates can be read from the file.
    """
    try:
        return ssl.create_default_context(cafile=None if ca is None else os.fspath(ca))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise _unreadable(ca, error) from None


def trusting_only(certificate: Path) -> ssl.SSLContext:
    """Trusts the server that has this very certificate, by whatever name it is called. For one's own.

    Raises:
        ControlError: the file holds no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        text = certificate.read_text("ascii", "replace")
        first = text[text.index(_BEGIN) : text.index(_END) + len(_END)]  # the server's own stands before its chain
        context.load_verify_locations(cadata=first)
    except (OSError, ValueError) as error:
        raise _unreadable(certificate, error) from None
    return context


def tls_problem(error: BaseException, url: str) -> str | None:
    """What to say of a failed connection if TLS was the cause, else None."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, ssl.SSLError):
        seen = seen.__cause__ or seen.__context__
    if isinstance(seen, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {url} is not trusted ({seen.verify_message}): name the file with the certificate "
            f"that signed it in {CA_NAME}"
        )
    if seen is not None:
        return f"{url} does not speak TLS as it should ({seen.reason or seen}): is it http:// instead?"
    return None


def _unreadable(path: object, error: Exception) -> ControlError:
    reason = getattr(error, "strerror", None) or "there is none in it"
    return ControlError("bad_argument", f"no certificates can be read from {str(path)!r}: {reason}", field="ca")
