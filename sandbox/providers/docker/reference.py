"""Image references, by the grammar of https://github.com/distribution/reference."""

import re
from dataclasses import dataclass

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_HOST_LABEL}(?:\.{_HOST_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?:(?P<domain>{_DOMAIN})/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>[a-z0-9]+:[a-fA-F0-9]{32,}))?",
    re.ASCII,
)
DEFAULT_DOMAIN = "docker.io"


@dataclass(frozen=True)
class Reference:
    """``domain``, ``tag`` and ``digest`` are empty where the name has none; no domain is Docker Hub."""

    domain: str
    path: str
    tag: str
    digest: str

    @property
    def repository(self) -> str:
        """Name without tag and digest."""
        return f"{self.domain}/{self.path}" if self.domain else self.path

    @property
    def tagged(self) -> str:
        """Name with the tag that the engine uses."""
        return f"{self.repository}:{self.tag or 'latest'}"


def parse(text: str) -> Reference:
    """Raises ValueError with the reason, in one line, when ``text`` is no image reference."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        if text != text.lower() and _REFERENCE.fullmatch(text.lower()):
            raise ValueError(f"{text!r} is no image name: a repository must be in lower case")
        raise ValueError(
            f"{text!r} is no image name: "
            "expected [registry[:port]/]repository[:tag], like 'host.example:5000/app:1.0'"
        )
    domain, path = found["domain"] or "", found["path"]
    # A first part without dot, colon or capital is an organisation on the hub, not a host.
    if domain and not (set(domain) & set(".:") or domain == "localhost" or domain != domain.lower()):
        domain, path = "", f"{domain}/{path}"
    return Reference(domain, path, found["tag"] or "", found["digest"] or "")
