"""What can be set about a server.

Not covered: the options of answers, which belong to the `GroundedModel`, and the command's options (halluc/cli/serve.py).
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from halluc.errors import InvalidInput, check_integer, check_text
from halluc.grounding.sentence_gate import REPLACEMENT, OnUnsupported, check_on_unsupported

__all__ = ["ServerOptions", "Wording", "is_loopback"]


@dataclass(frozen=True)
class Wording:
    """What people read where there is no answer; the field `halluc` of a reply has the reason.

    Attributes:
        not_found: no passage is near the question.
        unsure: there is an answer, but too little support or confidence to show it.
        replacement: in place of a sentence that the evidence does not support.
    """

    not_found: str = "I could not find this in the documents."
    unsure: str = "I am not sure enough of the answer to give it."
    replacement: str = REPLACEMENT

    def __post_init__(self) -> None:
        """Check that there is something to read."""
        for name in ("not_found", "unsure", "replacement"):
            check_text(name, getattr(self, name))


@dataclass(frozen=True)
class ServerOptions:
    """Options of `create_app`.

    Attributes:
        aliases: further names of the model; requests may name any of them, or none.
        api_key: the key that requests must send as "Authorization: Bearer KEY"; None for no key.
        hosts: names in the Host header that are answered besides those of this machine (localhost and its addresses);
            ("*",) for any name.
        origins: web pages (https://example.com) whose scripts may use the server.
        on_unsupported: what happens to sentences that the evidence does not support, unless a request says otherwise.
        wording: what people read where there is no answer.
        uploads: folder in which uploaded documents are kept; None to take none.
        max_body: maximum size of a request, in bytes.
        max_upload: maximum size of an uploaded document, in bytes.
        max_queue: maximum number of requests that wait; further ones get status 429.
        max_rows: maximum number of completions that are worked on together.
        max_tokens: greatest `max_tokens` of a request.
        max_characters: maximum length of answer and context of a /check together.
        max_claims: maximum number of claims of an answer that is checked.
        body_seconds: time that a client has for sending a request.
    """

    aliases: tuple[str, ...] = ()
    api_key: str | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    on_unsupported: OnUnsupported | None = None
    wording: Wording = field(default_factory=Wording)
    uploads: Path | None = None
    max_body: int = 1_000_000
    max_upload: int = 20_000_000
    max_queue: int = 128
    max_rows: int = 32
    max_tokens: int = 4096
    max_characters: int = 100_000
    max_claims: int = 64
    body_seconds: float = 30.0

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("max_body", "max_upload", "max_queue", "max_rows", "max_tokens", "max_characters", "max_claims"):
            check_integer(name, getattr(self, name), 1)
        check_on_unsupported(self.on_unsupported)
        if self.api_key is not None and not (self.api_key.strip() and self.api_key.isascii() and self.api_key.isprintable()):
            # The value is a secret, and is not shown.
            raise InvalidInput(
                "the API key is empty or has characters that no HTTP header can have; pass letters and digits"
            )
        for origin in self.origins:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query:
                raise InvalidInput(f"{origin!r} is no origin; pass scheme and host, such as https://example.com")

    def answers_host(self, host: str) -> bool:
        """Whether a request that calls the server by this name (of the Host header, without port) is answered.

        An address is always answered: a web page can make a name of its own point to this machine (DNS rebinding), but not
        an address.
        """
        name = host.lower().rstrip(".")
        if "*" in self.hosts or name in {"localhost", *map(str.lower, self.hosts)}:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(str(address).split("%")[0]).is_loopback for address in addresses)
