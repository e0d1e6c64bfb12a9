"""Allowed values of settings, and a uniform text for their faults."""

from __future__ import annotations

import dataclasses
import difflib
import enum
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from asyncio_pulse.errors import ConfigError, ConfigFault

__all__ = [
    "Choice",
    "Flag",
    "Named",
    "Packages",
    "Range",
    "Setting",
    "Share",
    "Text",
    "check_ranges",
    "must_be",
    "refuse",
    "setting_faults",
    "unknown_faults",
]

LONGEST_VALUE = 60
"""Number of characters of a wrong value that a message shows: enough to find it, too few to fill a screen."""


def must_be(field: str, allowed: str, value: object) -> ConfigFault:
    """Return the fault of a value that is not allowed."""
    return ConfigFault(field, value, allowed, f"{field} must be {allowed}, got {value!r:.{LONGEST_VALUE}}")


class Setting(Protocol):
    """Interface of every kind of setting."""

    @property
    def default(self) -> object:
        """The value used when none is given."""

    @property
    def allowed(self) -> str:
        """The allowed values, in words that follow "must be"."""

    def accepts(self, value: object) -> bool:
        """Whether a value is allowed."""

    def normal(self, value: object) -> object:
        """Return an accepted value in its stored form."""


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """Whole numbers from `lowest` to `highest`, both allowed."""

    default: int
    lowest: int
    highest: int

    @property
    def allowed(self) -> str:
        """The range in words."""
        return f"a whole number from {self.lowest} to {self.highest}"

    def accepts(self, value: object) -> bool:
        """Whether a value is a number in the range. True is not a number here."""
        return isinstance(value, int) and not isinstance(value, bool) and self.lowest <= value <= self.highest

    def normal(self, value: object) -> object:
        """Return the number."""
        return value

    def clamp(self, value: int) -> int:
        """The nearest allowed value."""
        return max(self.lowest, min(self.highest, value))


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole, from 0 to 1."""

    default: float

    allowed = "a number from 0 to 1"

    def accepts(self, value: object) -> bool:
        """Whether a value is a number from 0 to 1. True is not a number here."""
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1

    def normal(self, value: object) -> object:
        """Return the number as a float."""
        return float(value) if isinstance(value, int) else value


@dataclasses.dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    default: bool

    allowed = "true or false"

    def accepts(self, value: object) -> bool:
        """Whether a value is True or False; 0 and 1 are not accepted."""
        return isinstance(value, bool)

    def normal(self, value: object) -> object:
        """Return the value."""
        return value


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """Text of 1 to `longest` characters that a file can hold."""

    default: str
    longest: int

    @property
    def allowed(self) -> str:
        """The lengths in words."""
        return f"text of 1 to {self.longest} characters"

    def accepts(self, value: object) -> bool:
        """Whether a value is such text. Half a surrogate pair is not, because UTF-8 cannot encode it."""
        if not isinstance(value, str) or not 0 < len(value) <= self.longest:
            return False
        return not any("\ud800" <= character <= "\udfff" for character in value)

    def normal(self, value: object) -> object:
        """Return the text as a plain string, because a subclass may override methods."""
        return str(value)


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    default: str
    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        """The words."""
        return "one of " + ", ".join(self.words)

    def accepts(self, value: object) -> bool:
        """Whether a value is one of the words."""
        return isinstance(value, str) and value in self.words

    def normal(self, value: object) -> object:
        """Return the word as a plain string."""
        return str(value)


@dataclasses.dataclass(frozen=True, slots=True)
class Packages:
    """Names of top-level packages, or `*` for all."""

    default: tuple[str, ...]

    allowed = "a list of names of top-level packages, or of '*' alone"

    def accepts(self, value: object) -> bool:
        """Whether a value is such a list. A single string is not."""
        if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
            return False
        return list(value) == ["*"] or all(name.isidentifier() for name in value)

    def normal(self, value: object) -> object:
        """Return the names as a tuple."""
        assert isinstance(value, list | tuple)  # accepted
        return tuple(str(name) for name in value)


@dataclasses.dataclass(frozen=True, slots=True)
class Named:
    """A member of an enumeration, given as itself, as its number, or as its name in any case."""

    default: enum.IntEnum

    @property
    def allowed(self) -> str:
        """The names in words."""
        return "one of " + ", ".join(member.name.lower() for member in type(self.default))

    def accepts(self, value: object) -> bool:
        """Whether a value stands for a member. True does not."""
        members = type(self.default)
        if isinstance(value, str):
            return value.upper() in members.__members__
        return isinstance(value, int) and not isinstance(value, bool) and value in tuple(members)

    def normal(self, value: object) -> object:
        """Return the member."""
        members: Any = type(self.default)
        return members[value.upper()] if isinstance(value, str) else members(value)


def setting_faults(
    settings: Mapping[str, Setting], values: Mapping[str, object], *, path: str = ""
) -> Iterator[ConfigFault]:
    """Yield a fault for every value that its setting does not accept.

    Args:
        settings: The settings by name.
        values: Values by name. Names without a setting are ignored.
        path: Prefix of the names in messages, with its dot.
    """
    for name, setting in settings.items():
        if name in values and not setting.accepts(values[name]):
            yield must_be(path + name, setting.allowed, values[name])


def unknown_faults(
    known: Iterable[str], values: Mapping[str, object], *, path: str = "", elsewhere: Mapping[str, str] | None = None
) -> Iterator[ConfigFault]:
    """Yield a fault for every unknown name, with the nearest known one.

    Args:
        known: The known names.
        values: Values by name.
        path: Prefix of the names in messages, with its dot.
        elsewhere: Names that belong to another place, with their paths there.
    """
    names = {name: path + name for name in known}
    suggestions = {**(elsewhere or {}), **names}
    for name in values:
        if name in names:
            continue
        nearest = difflib.get_close_matches(str(name), suggestions, n=1)
        hint = f" (did you mean {suggestions[nearest[0]]}?)" if nearest else f" (known: {', '.join(names)})"
        allowed = f"one of {', '.join(names)}"
        yield ConfigFault(path + str(name), values[name], allowed, f"{path}{name} is not a setting{hint}")


def refuse(subject: str, faults: Iterable[ConfigFault]) -> None:
    """Raise ConfigError with all the faults; return if there are none."""
    listed = tuple(faults)
    if listed:
        raise ConfigError(f"invalid {subject}: {'; '.join(map(str, listed))}", listed)


def check_ranges(subject: str, settings: Mapping[str, tuple[object, Range]]) -> None:
    """Check every setting against its range.

    Raises:
        ConfigError: Names every setting at fault, its value and its range.
    """
    ranges = {name: bounds for name, (_, bounds) in settings.items()}
    refuse(subject, setting_faults(ranges, {name: value for name, (value, _) in settings.items()}))
