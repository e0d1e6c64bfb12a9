"""Names of groups, and the coroutines that only wrap another one."""

from __future__ import annotations

from typing import Any

import pytest

from asyncio_pulse import ConfigError
from asyncio_pulse.policy.group_names import KNOWN_WRAPPERS, check_group_name


@pytest.mark.parametrize("name", ["", "x" * 201, 5, b"name", ["name"]], ids=repr)
def test_a_bad_group_name_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match="group must be a str of 1 to 200 characters, got "):
        check_group_name(name)


def test_a_group_name_is_a_plain_string() -> None:
    class Name(str):
        __slots__ = ()

    assert check_group_name(None) is None
    assert check_group_name("x" * 200) == "x" * 200
    assert type(check_group_name(Name("orders"))) is str


def test_a_message_about_a_long_name_is_short() -> None:
    with pytest.raises(ConfigError) as caught:
        check_group_name("x" * 100_000)
    assert len(str(caught.value)) < 200


def test_known_wrappers_are_names() -> None:
    parts = [part for variable in KNOWN_WRAPPERS.values() for part in variable.split(".")]
    assert parts
    assert all(part.isidentifier() for part in parts)
