"""Certificates of a certificate authority that only the tests know; made by ``openssl``."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: the authority's certificate; a server's for 127.0.0.1 and localhost, with its key in another file; one
    for another name, with its key in the same file."""

    ca: Path
    certificate: Path
    key: Path
    other: Path


def make_certificates(folder: Path) -> Certificates:
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    _openssl("req", "-x509", *_KEY, "-keyout", ca_key, "-out", ca, "-days", "2", "-subj", "/CN=Tests' authority")
    certificate, key = _signed(folder, "server", "IP:127.0.0.1,DNS:localhost", ca, ca_key)
    other, other_key = _signed(folder, "other", "DNS:robot.example", ca, ca_key)
    both = folder / "both.pem"
    both.write_text(other.read_text() + other_key.read_text())
    return Certificates(ca, certificate, key, both)


def _signed(folder: Path, name: str, names: str, ca: Path, ca_key: Path) -> tuple[Path, Path]:
    request, key, made = folder / f"{name}.csr", folder / f"{name}.key", folder / f"{name}.pem"
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\n")
    _openssl("req", *_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
    signing = ("-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile", extensions)
    _openssl("x509", "-req", "-in", request, "-out", made, *signing)
    return made, key


def _openssl(*arguments: object) -> None:
    command = ["openssl", *(str(one) for one in arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
