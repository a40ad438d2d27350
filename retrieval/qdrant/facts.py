"""The facts of an index in Qdrant, its lock, and the commit of changes, which Qdrant itself does not have.

The facts are the payload of one point of the collection NAME.facts. A writer takes the lock by a conditional change of that
point, which the server makes as one. New passages are written as points that searches leave out. One change of the facts,
the record of the commit, then decides: from there on whoever finds the record finishes it, and without it nothing of the
change ever counts. Not covered: passages as points (points.py) and reading them (contents.py).
"""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict, dataclass
from typing import Any

from retrieval.errors import IndexLocked, IndexNotFound, IndexVersion
from retrieval.qdrant.connection import Connection
from retrieval.served_store import Facts, checked_facts
from retrieval.terms import TERMS_VERSION

__all__ = [
    "FORMAT_VERSION",
    "Lock",
    "QdrantFacts",
    "clear_lock",
    "finish_commit",
    "lease",
    "now",
    "read_facts",
    "read_payload",
    "record_commit",
    "write_facts",
    "write_payload",
]

FORMAT_VERSION = 1
_POINT = 1
_LEASE_SECONDS = 60
_WAIT_SECONDS = 600


@dataclass(frozen=True)
class QdrantFacts(Facts):
    """The payload of the point of facts.

    Attributes:
        mean_words: mean length of the passages when the index was built, by which BM25 measures length.
        next: id of the next point.
        commit: the record of a commit that is not finished: the change, the points to remove, and the facts afterwards.
    """

    mean_words: float
    next: int
    commit: dict[str, Any] | None


def lease() -> float:
    """The time until which a lock or a build that starts now holds."""
    return time.time() + _LEASE_SECONDS


def now() -> float:
    """The time with which `lease` is compared."""
    return time.time()


def read_facts(connection: Connection) -> QdrantFacts:
    """Read the facts of an index.

    Raises:
        IndexNotFound: there is no index, or it is still being built.
        IndexVersion: it has another format, or its words were counted in another way.
        IndexDamaged: a fact is missing.
    """
    address = connection.address
    payload = read_payload(connection)
    if payload is None or "format_version" not in payload:
        raise IndexNotFound(f"there is no index at {address}; build one with 'halluc index build'")
    facts = checked_facts(QdrantFacts, {"commit": None, **payload}, address, FORMAT_VERSION)
    if facts.terms_version != TERMS_VERSION:
        raise IndexVersion(f"the words of {address} were counted by another version of halluc; build the index again")
    return facts


def read_payload(connection: Connection) -> dict[str, Any] | None:
    """Read the point of the facts; None if it or its collection is not there."""
    from qdrant_client.http.exceptions import UnexpectedResponse

    try:
        points = connection.call("retrieve", connection.address.facts, ids=[_POINT], with_payload=True)
    except (UnexpectedResponse, ValueError) as error:
        # The embedded mode raises a ValueError of which only the text says why.
        is_missing = "not found" in str(error) if isinstance(error, ValueError) else error.status_code == 404
        if not is_missing:
            raise
        return None
    return dict(points[0].payload or {}) if points else None


def write_facts(connection: Connection, facts: QdrantFacts) -> None:
    """Write the point of the facts, whatever it was before."""
    write_payload(connection, asdict(facts))


def write_payload(connection: Connection, payload: dict[str, Any]) -> None:
    """Write the point of the facts with any payload."""
    from qdrant_client import models

    point = models.PointStruct(id=_POINT, vector={}, payload=payload)
    connection.call("upsert", connection.address.facts, points=[point], wait=True)


class Lock:
    """The lock of the writers of an index, a lease that its holder renews.

    Args:
        connection: where the index is.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.owner = secrets.token_hex(16)
        self._until = 0.0

    def acquire(self) -> None:
        """Wait for the lock.

        Raises:
            IndexLocked: others have held it for ten minutes.
        """
        from qdrant_client import models

        start, pause = time.monotonic(), 0.01
        while True:
            free = models.IsEmptyCondition(is_empty=models.PayloadField(key="owner"))
            expired = models.FieldCondition(key="until", range=models.Range(lt=time.time()))
            if self._take(models.Filter(must=[_the_point()], should=[free, expired])):
                return
            if time.monotonic() - start > _WAIT_SECONDS:
                raise IndexLocked(
                    f"others have been writing to {self.connection.address} for {_WAIT_SECONDS} seconds; try again when "
                    "they are done"
                )
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def renew(self) -> None:
        """Keep the lock for another minute, if half of this one is over.

        Raises:
            IndexLocked: it was lost, since this process slept for longer than that.
        """
        if time.time() > self._until - _LEASE_SECONDS / 2 and not self._take(_held_by(self.owner)):
            raise IndexLocked(f"this process lost the lock of {self.connection.address}; nothing was changed, try again")

    def release(self) -> None:
        """Let the next writer in."""
        self.connection.call(
            "delete_payload",
            self.connection.address.facts,
            keys=["owner", "until"],
            points=_held_by(self.owner),
            wait=True,
        )

    def _take(self, condition: Any) -> bool:
        name = self.connection.address.facts
        until = time.time() + _LEASE_SECONDS
        payload = {"owner": self.owner, "until": until}
        self.connection.call("set_payload", name, payload=payload, points=condition, wait=True)
        self._until = until
        return (read_payload(self.connection) or {}).get("owner") == self.owner


def clear_lock(connection: Connection) -> None:
    """Release the lock of a process that is gone, which is known of a folder that serves one process at a time."""
    if read_payload(connection) is not None:
        connection.call("delete_payload", connection.address.facts, keys=["owner", "until"], points=[_POINT], wait=True)


def record_commit(connection: Connection, lock: Lock, commit: dict[str, Any]) -> None:
    """Write the record of a commit, from which on the change counts.

    Raises:
        IndexLocked: the lock was lost before; the change does not count.
    """
    name = connection.address.facts
    connection.call("set_payload", name, payload={"commit": commit}, points=_held_by(lock.owner), wait=True)
    if ((read_payload(connection) or {}).get("commit") or {}).get("change") != commit["change"]:
        raise IndexLocked(f"this process lost the lock of {connection.address}; nothing was changed, try again")


def finish_commit(connection: Connection, facts: QdrantFacts) -> QdrantFacts:
    """Do what the record of a commit says, as often as it is asked for, and remove points that no commit names."""
    from qdrant_client import models

    address = connection.address
    pending = models.IsEmptyCondition(is_empty=models.PayloadField(key="change"))
    if facts.commit is not None:
        change, removed, after = (facts.commit[name] for name in ("change", "removed", "after"))
        written = models.Filter(must=[models.FieldCondition(key="change", match=models.MatchValue(value=change))])
        for start in range(0, len(removed), 1000):
            connection.call("delete", address.name, points_selector=removed[start : start + 1000], wait=True)
        connection.call("delete_payload", address.name, keys=["change"], points=written, wait=True)
        connection.call("set_payload", address.facts, payload={**after, "commit": None}, points=[_POINT], wait=True)
        facts = read_facts(connection)
    connection.call("delete", address.name, points_selector=models.Filter(must_not=[pending]), wait=True)
    return facts


def _the_point() -> Any:
    from qdrant_client import models

    return models.HasIdCondition(has_id=[_POINT])


def _held_by(owner: str) -> Any:
    from qdrant_client import models

    return models.Filter(must=[models.FieldCondition(key="owner", match=models.MatchValue(value=owner))])
