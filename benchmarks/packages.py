"""Number and size of the packages that an installation brings, and the time that the first import takes.

    python benchmarks/packages.py [--extras serve training] [--list] [--pyproject FILE]

The packages are those that the requirements of pyproject.toml lead to among the ones installed here, and the sizes those of
their installed files. For a comparison, name the pyproject.toml of another version.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", nargs="*", default=[])
    parser.add_argument("--list", action="store_true", help="print each package with its size")
    parser.add_argument("--pyproject", type=Path, default=ROOT / "pyproject.toml")
    arguments = parser.parse_args()
    project = tomllib.loads(arguments.pyproject.read_text(encoding="utf-8"))["project"]
    requirements = list(project["dependencies"])
    for extra in arguments.extras:
        requirements += project["optional-dependencies"][extra]
    sizes = {name: size(package) for name, package in closure(requirements).items()}
    total = sum(sizes.values()) / 1e6
    print(f"{len(sizes)} packages, {total:.0f} MB, of which torch {sizes.get('torch', 0) / 1e6:.0f} MB")
    wall, cpu = import_seconds()
    print(f"import halluc, retrieval, calibration, training: {wall:.3f} s, {cpu:.3f} s of it on the CPU (best of 5)")
    if arguments.list:
        for name, bytes_ in sorted(sizes.items(), key=lambda item: -item[1]):
            print(f"{bytes_ / 1e6:8.1f} MB  {name}")


def closure(requirements: list[str]) -> dict[str, Distribution]:
    """The distributions that the requirements lead to."""
    packages: dict[str, Distribution] = {}
    pending, seen = [Requirement(requirement) for requirement in requirements], set()
    while pending:
        requirement = pending.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        package = packages[key[0]] = distribution(requirement.name)
        for text in package.requires or ():
            needed = Requirement(text)
            environments = [{"extra": extra} for extra in requirement.extras] or [{"extra": ""}]
            if needed.marker is None or any(needed.marker.evaluate(environment) for environment in environments):
                pending.append(needed)
    return packages


def size(package: Distribution) -> int:
    """Bytes of the installed files."""
    return sum(path.stat().st_size for file in package.files or () if (path := Path(str(file.locate()))).is_file())


def import_seconds() -> list[float]:
    """The wall time and the CPU time of the import, the least of five processes; other programs slow the first alone."""
    imports = "import halluc, retrieval, calibration, training"
    clocks = "time.perf_counter(), time.process_time()"
    code = f"import time; wall, cpu = {clocks}; {imports}; end = {clocks}; print(end[0] - wall, end[1] - cpu)"
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(5)]
    return [min(map(float, column)) for column in zip(*runs, strict=True)]


if __name__ == "__main__":
    main()
