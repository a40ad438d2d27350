"""URLs of indexes in PostgreSQL: `postgresql://user@host:port/database#name`.

The part before the `#` is libpq's. A password in it is refused, since URLs end up in saved settings, in logs and on screens:
it comes from PGPASSWORD or from libpq's password file. The part after the `#` names the index, which is a schema of that
name; by default "halluc".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from retrieval.errors import InvalidQuery

__all__ = ["PostgresAddress", "parse_address"]

_NAME = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,47}")
_HOST = re.compile(r"(\[[^]]*\]|[^:\[\]]*)(:\d*)?")
_SECRETS = ("password", "sslpassword")


@dataclass(frozen=True)
class PostgresAddress:
    """Where an index is.

    Attributes:
        conninfo: for libpq.
        name: of the index, a schema of the database.
    """

    conninfo: str
    name: str

    def __str__(self) -> str:
        return f"{self.conninfo}#{self.name}"


def parse_address(url: str) -> PostgresAddress:
    """Parse the URL of an index in PostgreSQL.

    Raises:
        InvalidQuery: it is no such URL, it has a password, or the name cannot be that of an index.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    conninfo, _, name = url.partition("#")
    if "@" in name:
        raise InvalidQuery("the postgresql URL has a # before its @; write a # in a user name as %23")
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
        options = conninfo_to_dict(conninfo)
    except (ProgrammingError, ValueError):
        # Both quote the part that they do not understand, which may be a password.
        raise unreadable from None
    if any(options.get(secret) for secret in _SECRETS):
        raise InvalidQuery(
            "the postgresql URL has a password, which would end up in saved settings and logs; leave it out of the URL, and "
            "set PGPASSWORD or write it in the password file of libpq"
        )
    hosts = parts.netloc.rpartition("@")[2]
    if "@" in parts.path or not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise unreadable
    return PostgresAddress(conninfo, name)
