"""Authorities that this machine trusts beyond its distribution's own, such as a TLS-inspecting proxy's."""

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

BUNDLE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
SYSTEM_BUNDLES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))
DISTRIBUTION = Path("/usr/share/ca-certificates")

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s*(.+?)\s*-----END CERTIFICATE-----", re.DOTALL)


def parse_bundle(text: str) -> dict[str, str]:
    """Certificates of a PEM bundle by the SHA-256 of their DER form; what isn't base64 is left out."""
    found = {}
    for match in _PEM.finditer(text):
        body = "".join(match.group(1).split())
        try:
            der = base64.b64decode(body, validate=True)
        except binascii.Error:
            continue
        lines = "\n".join(body[i : i + 64] for i in range(0, len(body), 64))
        pem = f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"
        found[hashlib.sha256(der).hexdigest()] = pem
    return found


def read_bundles(files: Iterable[Path]) -> dict[str, str]:
    """The certificates of all these files together; missing files are none."""
    found: dict[str, str] = {}
    for file in files:
        if file.is_file():
            found |= parse_bundle(file.read_text(errors="replace"))
    return found


def host_extras(
    environment: Mapping[str, str] | None = None, distribution: Path = DISTRIBUTION
) -> dict[str, str]:
    """What an administrator added to this machine's trust, by SHA-256, in a fixed order.

    The distribution's own authorities are left out: a new image has its release's own list, and should not
    get back authorities that its release has dropped.
    """
    env = os.environ if environment is None else environment
    bundles = [Path(env[name]) for name in BUNDLE_VARIABLES if env.get(name)]
    trusted = read_bundles([*bundles, *SYSTEM_BUNDLES])
    known = read_bundles(distribution.rglob("*.crt")) if distribution.is_dir() else {}
    return {key: trusted[key] for key in sorted(trusted) if key not in known}


def fingerprint(certificates: Mapping[str, str]) -> str:
    """One hash over a set of certificates, whatever their order."""
    return hashlib.sha256("\n".join(sorted(certificates)).encode()).hexdigest()
