"""What only a server can do wrong: connections, passwords, versions, transactions."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import postgres_server
import pytest

from retrieval import Passage, build_store, create_store, open_store
from retrieval.errors import (
    IndexClosed,
    IndexExists,
    IndexNotFound,
    IndexReplaced,
    IndexVersion,
    IndexWriteFailed,
    InvalidPassage,
    InvalidQuery,
    StoreUnavailable,
)
from retrieval.locations import checked_location, copy_store
from retrieval.postgres import rows, schema
from retrieval.postgres.address import parse_address


def unit(rows, dimension=8, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Fixed:
    """An embedder whose vectors depend on the length of the text alone."""

    name, fingerprint, dimension, max_tokens = "fixed", "f", 8, 100

    def encode(self, texts):
        return np.concatenate([unit(1, seed=len(text)) for text in texts])


PASSAGES = [Passage(f"p{i}", f"the passage of number {i}") for i in range(5)]


@pytest.fixture
def url(postgres):
    return postgres.url(postgres.new_name())


@pytest.fixture
def store(url):
    with build_store(url, PASSAGES, embedder=Fixed())[0] as opened:
        yield opened


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda url, port: url.replace(f":{port}", ":1"), "cannot be reached: Connection refused; check the URL"),
        (lambda url, port: url.replace("/postgres#", "/none#"), 'cannot be reached: database "none" does not exist'),
        (lambda url, port: url.replace("127.0.0.1", "no-such-host.invalid"), "cannot be reached: failed to resolve host"),
        (lambda url, port: url.replace("halluc@", "nobody@"), "refused the password"),
    ],
)
def test_a_server_that_cannot_be_used_is_one_sentence_without_the_password(postgres, store, url, change, message):
    changed = change(url, postgres.port)
    for use in (open_store, lambda place: create_store(place, embedder=Fixed())):
        with pytest.raises(StoreUnavailable, match=message) as error:
            use(changed)
        assert "s3cret" not in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("password", "message"),
    [("wr0ng", "refused the password; correct it in PGPASSWORD"), (None, "asks for a password; set PGPASSWORD")],
)
def test_a_wrong_or_missing_password_is_one_sentence_without_it(postgres, url, monkeypatch, password, message):
    monkeypatch.delenv("PGPASSWORD")
    if password is not None:
        monkeypatch.setenv("PGPASSWORD", password)
    for use in (open_store, lambda place: create_store(place, embedder=Fixed())):
        with pytest.raises(StoreUnavailable, match=message) as error:
            use(url)
        assert "wr0ng" not in str(error.value)


def test_the_password_may_come_from_the_password_file(postgres, store, url, monkeypatch, tmp_path):
    passwords = tmp_path / "passwords"
    passwords.write_text("127.0.0.1:*:*:halluc:s3cret/pass\n")
    passwords.chmod(0o600)
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    with open_store(url) as other:
        assert len(other) == 5


@pytest.mark.parametrize(
    "bad",
    [
        "postgresql://u:s3cret@host/db",
        "postgresql://u:s3cret@host/db#name",
        "postgresql://u@host/db?password=s3cret",
        "postgresql://u@host/db?sslmode=require&sslpassword=s3cret#name",
        "postgresql://u:12/s3cret@host/db",
        "postgresql://u:s3cret#x@host/db",
        "postgresql://u:s3cret/x@host/db",
        "postgresql://u:s3cret@host:port/db",
        "postgresql://u:s3cret@[::1/db",
        "postgresql://u:s3cret@host/db?nonsense=1",
        "postgresql://u:s3cret%@host/db",
        "postgresql://u:s3cret@host/db#Upper",
        "postgresql://u:s3cret@host/db#pg_toast",
        "postgresql://u:s3cret@host/db#" + "x" * 49,
    ],
)
def test_a_url_with_a_password_is_refused_without_it(bad):
    """So that it is in no saved settings, no log and no message."""
    for use in (open_store, create_store, checked_location, lambda place: copy_store(place, "x.index")):
        with pytest.raises(InvalidQuery) as error:
            use(bad)
        assert "s3cret" not in str(error.value)
        assert error.value.__cause__ is None


@pytest.mark.parametrize("name", ["postgres://u@[::1]:5432,b:1/db?sslmode=require#name", "postgresql:///db"])
def test_a_url_is_shown_with_the_name_of_the_index(name):
    assert checked_location(name) == (name if "#" in name else f"{name}#halluc")


def test_tables_of_another_version_are_refused(postgres, store, url):
    for version, remedy in ((0, "build the index again"), (99, "upgrade halluc")):
        postgres.execute(f'update "{store.address.name}".facts set format_version = {version}')
        with pytest.raises(IndexVersion, match=f"has format {version}, but this halluc reads format 1; {remedy}"):
            open_store(url)


def test_words_that_were_counted_in_another_way_are_counted_again(postgres, store, url):
    name = store.address.name
    postgres.execute(f"update \"{name}\".passages set terms = '{{}}', counts = '{{}}', words = 0")
    postgres.execute(f'update "{name}".facts set words = 0, terms_version = 1')
    with open_store(url) as other:
        hits = other.search("number 3", 1, "sparse")
        assert hits[0].passage.id == "p3"
    assert postgres.execute(f'select words from "{name}".facts') == [(15,)]


def test_a_connection_that_is_lost_in_the_middle_of_an_add_leaves_nothing_of_it(postgres, store, url, monkeypatch):
    """The rows that were sent already are not there, and the same call succeeds afterwards."""
    count, counted = rows.counted, []

    def count_until_the_server_ends_the_connection(text):
        counted.append(text)
        if len(counted) == 400:
            ended = postgres.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and state = 'active' "
                "and query like 'copy%'"
            )
            assert ended == [(True,)]
        return count(text)

    passages = [Passage(f"n{i}", f"new {i} " + "word " * 400) for i in range(800)]
    monkeypatch.setattr(rows, "counted", count_until_the_server_ends_the_connection)
    with pytest.raises(IndexWriteFailed, match="was lost during the change, of which nothing was written; make it again"):
        store.add(passages, vectors=unit(800))
    assert sorted(p.id for p in open_store(url)) == sorted(p.id for p in PASSAGES)
    assert len(store) == 5
    assert store.info().generation == 1
    assert store.add(passages, vectors=unit(800)).added == 800
    assert len(open_store(url)) == 805


def test_a_connection_that_is_lost_while_it_commits_says_that_the_outcome_is_open(postgres, store, monkeypatch):
    import psycopg

    execute = psycopg.Connection.execute

    def lose(connection, query, *rest, **options):
        if query == "commit":
            status = execute(
                connection, "select count(*) from pg_locks where pid = pg_backend_pid() and mode = 'RowShareLock'"
            )
            if status.fetchone()[0]:
                connection.pgconn.finish()
        return execute(connection, query, *rest, **options)

    monkeypatch.setattr(psycopg.Connection, "execute", lose)
    with pytest.raises(IndexWriteFailed, match="either all of it or nothing was written; make it again, which does no harm"):
        store.add([Passage("new", "a new text")])
    monkeypatch.undo()
    store.add([Passage("new", "a new text")])
    assert len(store) == 6


def test_a_server_that_restarts_is_used_again(postgres, store):
    assert len(store) == 5
    postgres.stop()
    with pytest.raises(StoreUnavailable, match="cannot be reached: Connection refused"):
        store.search("number", mode="sparse")
    postgres.start()
    assert len(store.search("number", mode="sparse")) == 5


def test_what_postgresql_cannot_store_is_named_before_anything_is_written(store):
    for passage, part in (
        (Passage("a", "nul \x00"), "its text has a NUL"),
        (Passage("a\x00", "text"), "its id has a NUL"),
        (Passage("a", "text", None, {"x": ["\x00"]}), "its metadata have a NUL"),
        (Passage("a", "text", "\x00"), "its title has a NUL"),
    ):
        for change in (store.add, lambda p: store.update(p, on_missing="add")):
            with pytest.raises(InvalidPassage, match=part):
                change([Passage("fine", "a fine text"), passage])
    assert len(store) == 5


def test_an_index_that_is_removed_or_replaced_is_noticed(postgres, store, url):
    postgres.execute(f'drop schema "{store.address.name}" cascade')
    with pytest.raises(IndexNotFound, match="there is no index at postgresql://halluc@127"):
        store.search("number")
    create_store(url, embedder=Fixed()).close()
    for use in (len, lambda s: s.add([Passage("a", "b")]), lambda s: s.refresh()):
        with pytest.raises(IndexReplaced, match="was removed and another one created there"):
            use(store)


def test_a_schema_of_another_program_is_not_taken_for_an_index(postgres, url):
    name = parse_address(url).name
    postgres.execute(f'create schema "{name}"')
    with pytest.raises(IndexNotFound):
        open_store(url)
    with pytest.raises(IndexExists, match="already exists; open it, or choose another name after the #"):
        create_store(url, embedder=Fixed())
    postgres.execute(f'create table "{name}".facts (x int)')
    postgres.execute(f'insert into "{name}".facts values (1)')
    with pytest.raises(IndexVersion):
        open_store(url)


def test_a_build_whose_server_refuses_leaves_no_tables(postgres, url, monkeypatch):
    monkeypatch.setattr(schema, "_INDEXES", ("create index on {schema}.passages (no_such_column)",))
    with pytest.raises(IndexWriteFailed, match=r"refused the change .*no_such_column"):
        build_store(url, PASSAGES, embedder=Fixed())
    assert postgres.execute("select nspname from pg_namespace where nspname = %s", (parse_address(url).name,)) == []


def test_a_reader_without_rights_to_write_reads_and_is_refused_changes(postgres, store, url, monkeypatch):
    name = store.address.name
    postgres.execute(f"create role reader_{name} login password 'r'")
    postgres.execute(f'grant usage on schema "{name}" to reader_{name}')
    postgres.execute(f'grant select on all tables in schema "{name}" to reader_{name}')
    monkeypatch.setenv("PGPASSWORD", "r")
    with open_store(url.replace("halluc@", f"reader_{name}@"), embedder=Fixed()) as reader:
        assert len(reader.search("number")) == 5
        with pytest.raises(IndexWriteFailed, match=r"refused the change .*permission denied.*the index is unchanged"):
            reader.add([Passage("a", "b")])


def test_a_writer_waits_for_another_and_readers_wait_for_none(postgres, store, url):
    with open_store(url, embedder=Fixed()) as other:
        with store._writing() as contents:
            writer = threading.Thread(target=other.add, args=([Passage("second", "the second text")],))
            writer.start()
            store._commit(contents, [Passage("first", "the first text")], unit(1), [])
            writer.join(0.3)
            assert writer.is_alive()
            assert len(other) == len(other.search("passage", 50, "dense")) == 5
        writer.join(20)
        assert sorted(p.id for p in other)[:2] == ["first", "p0"]
        assert len(other) == 7


def test_threads_share_a_store(store):
    errors = []

    def search():
        try:
            for _ in range(20):
                assert len(store.search("number 3", 5, "hybrid")) == 5
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(store._connections._idle) <= 4


def test_a_process_that_was_forked_opens_connections_of_its_own(store):
    assert len(store) == 5
    child = os.fork()
    if child == 0:
        os._exit(0 if len(store) == 5 and len(store.search("number", mode="sparse")) == 5 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(store) == 5


def test_an_iterator_that_is_not_finished_holds_no_connection(store):
    iterator = iter(store)
    next(iterator)
    store.delete(["p4"])
    store.close()
    assert [passage.id for passage in iterator] == ["p1", "p2", "p3", "p4"]
    with pytest.raises(IndexClosed):
        next(iter(store))


def test_vectors_that_are_too_long_for_the_graph_are_compared_one_by_one(url):
    class Long(Fixed):
        dimension = 2100

    vectors = unit(5, 2100)
    with build_store(url, PASSAGES, embedder=Long(), vectors=vectors)[0] as store:
        assert store.info().kind == "flat"
        assert store.search_vectors(vectors[2:3], 1)[0][0].passage.id == "p2"


def test_a_server_whose_process_was_killed_is_removed_by_the_next(postgres):
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from postgres_server import PostgresServer\n"
        "server = PostgresServer(); print(server.folder, server.port, flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True, check=False
    )
    folder, port = killed.stdout.split()
    assert Path(folder).exists()
    with socket.create_connection(("127.0.0.1", int(port))):
        pass
    postgres_server.remove_abandoned()
    assert not Path(folder).exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)))
    # A server whose process is there stays.
    assert postgres.execute("select 1") == [(1,)]
