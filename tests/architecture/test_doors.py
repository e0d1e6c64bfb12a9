"""Every public name goes through a known door, exists, and says what it is for."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import asyncio_pulse

DOORS = ["asyncio_pulse", "asyncio_pulse.config", "asyncio_pulse.lowlevel"]


def public_names(door: str) -> dict[str, object]:
    module = importlib.import_module(door)
    return {name: getattr(module, name) for name in module.__all__}


def modules() -> list[str]:
    """Name every module of the package; `__main__` runs on import, the native core declares itself in `_core.pyi`."""
    found = pkgutil.walk_packages(asyncio_pulse.__path__, "asyncio_pulse.")
    return [entry.name for entry in found if entry.name.rpartition(".")[2] not in ("__main__", "_core")]


@pytest.mark.parametrize("door", DOORS)
def test_every_public_name_exists_once(door: str) -> None:
    names = importlib.import_module(door).__all__
    assert names
    assert len(set(names)) == len(names)
    assert not [name for name in names if name.startswith("_") and name != "__version__"]
    assert public_names(door)  # getattr raises for a name that is not there


@pytest.mark.parametrize("module_name", modules())
def test_what_a_module_declares_is_there(module_name: str) -> None:
    module = importlib.import_module(module_name)
    missing = [name for name in getattr(module, "__all__", []) if not hasattr(module, name)]
    assert not missing


def test_the_low_level_door_shares_no_name_with_the_others() -> None:
    low_level = set(public_names("asyncio_pulse.lowlevel"))
    assert not low_level & set(public_names("asyncio_pulse"))
    assert not low_level & set(public_names("asyncio_pulse.config"))


def test_a_name_of_two_doors_is_one_object() -> None:
    everyday, configuration = public_names("asyncio_pulse"), public_names("asyncio_pulse.config")
    different = [name for name in everyday.keys() & configuration.keys() if everyday[name] is not configuration[name]]
    assert not different


@pytest.mark.parametrize("door", DOORS)
def test_every_public_name_is_documented(door: str) -> None:
    undocumented = []
    for name, value in public_names(door).items():
        if not (callable(value) or inspect.isclass(value)):
            continue
        if not inspect.getdoc(value):
            undocumented.append(name)
        # Only what a class defines itself: an override of a documented method inherits its text.
        for member in vars(value) if inspect.isclass(value) else ():
            attribute = inspect.getattr_static(value, member)
            if not member.startswith("_") and is_described(attribute) and not inspect.getdoc(attribute):
                undocumented.append(f"{name}.{member}")
    assert not undocumented


def is_described(attribute: object) -> bool:
    kinds = (staticmethod, classmethod, property)
    return isinstance(attribute, kinds) or inspect.isroutine(attribute) or inspect.isgetsetdescriptor(attribute)
