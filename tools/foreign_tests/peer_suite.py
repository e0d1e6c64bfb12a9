"""Compare another library's own tests plain and governed, or under chaos.

    python peer_suite.py NAME SOURCE [--chaos SEED] [--modules NAME ...]
    python peer_suite.py NAME --requirements
    python peer_suite.py NAME --repository
    python peer_suite.py NAME --package

SOURCE is the source of the version that is installed. The other forms tell what its tests need, and where they are if
they are not in the source distribution, and which directory has the package.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib.metadata
import sys
from pathlib import Path

from comparing import Suite, compare
from peers import PEERS, Peer

PARK = 0.5
"""Higher than the default, because each test has a loop of its own with few resumptions."""


def matches(module: str, patterns: list[str]) -> bool:
    """Whether a module matches one of several patterns."""
    return any(fnmatch.fnmatch(module, pattern) for pattern in patterns)


def modules(peer: Peer, source: Path) -> list[str]:
    """Return the test modules to run, relative to the source."""
    if peer.modules:
        return peer.modules
    found = sorted(str(path.relative_to(source)) for path in source.glob(f"{peer.tests}/**/test_*.py"))
    return [module for module in found if not matches(module, peer.skipped)]


def suite_of(name: str, source: Path, seed: int | None) -> Suite:
    """Return the description of a library's suite."""
    peer = PEERS[name]
    names = modules(peer, source)
    way = "governed" if seed is None else f"under chaos {seed}"
    return Suite(
        name=f"{name} {importlib.metadata.version(name)} on CPython {sys.version.split()[0]}, {way}",
        script=Path(__file__).with_name("run_pytest.py"),
        modules=names,
        kept=peer.kept if seed is None else [*peer.kept, *peer.kept_under_chaos],
        without_tasks={module for module in names if matches(module, peer.without_tasks)},
        directory=source,
        arguments=peer.arguments,
        chaos="" if seed is None else f"{seed},{PARK},{peer.preempt}",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=PEERS, metavar="NAME")
    parser.add_argument("source", type=Path, nargs="?", metavar="SOURCE")
    parser.add_argument("--requirements", action="store_true")
    parser.add_argument("--repository", action="store_true")
    parser.add_argument("--package", action="store_true")
    parser.add_argument("--chaos", type=int, metavar="SEED")
    parser.add_argument("--modules", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    if arguments.requirements:
        print(*PEERS[arguments.name].requirements, sep="\n")
    elif arguments.repository:
        print(PEERS[arguments.name].repository)
    elif arguments.package:
        print(PEERS[arguments.name].package or arguments.name)
    elif arguments.source is None:
        parser.error("SOURCE is missing")
    else:
        compare(suite_of(arguments.name, arguments.source.resolve(), arguments.chaos), arguments.modules)
