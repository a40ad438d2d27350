"""URLs of indexes in PostgreSQL: `postgresql://user@host:port/database#name`.

The part before the `#` is libpq's; user and password may come from the environment and from libpq's password file as usual.
The part after it names the index, which is a schema of that name; by default "halluc".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

from retrieval.errors import InvalidQuery

__all__ = ["PostgresAddress", "parse_address"]

_NAME = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,47}")
_HOST = re.compile(r"(\[[^]]*\]|[^:\[\]]*)(:\d*)?")
_SECRET_OPTIONS = frozenset({"password", "sslpassword"})


@dataclass(frozen=True)
class PostgresAddress:
    """Where an index is.

    Attributes:
        conninfo: for libpq, with the password; never shown.
        name: of the index, a schema of the database.
        location: the URL without the password, to show.
    """

    conninfo: str = field(repr=False)
    name: str
    location: str

    def __str__(self) -> str:
        return self.location


def parse_address(url: str) -> PostgresAddress:
    """Parse the URL of an index in PostgreSQL.

    Raises:
        InvalidQuery: it is no such URL, or the name cannot be that of an index.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    conninfo, _, name = url.partition("#")
    if "@" in name:
        raise InvalidQuery("the postgresql URL has a # before its @; write a # in a user name or password as %23")
    name = name or "halluc"
    if not _NAME.fullmatch(name):
        raise InvalidQuery(
            f"{name!r} cannot name an index in PostgreSQL; use at most 48 small letters, digits and _, such as "
            "postgresql://host/database#manuals"
        )
    unreadable = InvalidQuery(
        "the postgresql URL cannot be read; write postgresql://user@host:port/database#name, with % codes for special "
        "characters in its parts"
    )
    try:
        parts = urlsplit(conninfo)
        conninfo_to_dict(conninfo)
    except (ProgrammingError, ValueError):
        # Both quote the part that they do not understand, which may be the password.
        raise unreadable from None
    user, at, host = parts.netloc.rpartition("@")
    if not all(_HOST.fullmatch(one) for one in host.split(",")):
        raise unreadable
    options = urlencode([(key, value) for key, value in parse_qsl(parts.query) if key not in _SECRET_OPTIONS])
    shown = f"{parts.scheme}://{user.partition(':')[0]}{at}{host}{parts.path}{'?' * bool(options)}{options}#{name}"
    return PostgresAddress(conninfo, name, shown)
