"""Hides secrets in command lines: reports are mailed, pasted and kept where a command line would not be.

A value is secret by the name before it: `--token x`, `API_KEY=x`, `{"password": "x"}`, `Authorization: Bearer x`. In an
address the password before the host is secret. A secret without a name, such as that of `-p x`, cannot be recognised.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

__all__ = ["HIDDEN", "hide_secrets"]

HIDDEN = "***"

ENDINGS = (
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "secrets",
    "token",
    "apikey",
    "credentials",
)
"""A word with such an ending names a secret: `PGPASSWORD` does, `max_tokens` and `tokenizer` do not."""
WORDS = {"auth", "authorization", "bearer", "credential", "cookie", "cookies", "pass", "dsn"}
KINDS_OF_KEYS = {"access", "account", "api", "auth", "encryption", "master", "private", "secret", "signing"}
KINDS_OF_PLACES = {"file", "path", "dir", "directory", "stdin", "prompt", "url", "type", "name", "timeout", "ttl"}
"""Words for the location of a secret: the value of `--password-file x` is not the secret itself."""

# Possessive, and anchored at the beginning of a word. Otherwise the time would grow with the square of a word's length.
WHOLE = re.compile(r"(?s)(?P<name>[\w.-]++)(?P<between>=|:\s*)(?P<value>.*)")
NAMED_VALUE = re.compile(
    r"""(?<![\w.-])(?P<name>[\w.-]++)(?P<between>["']?\s*=\s*|["']\s*:\s*|:\s+)(?P<value>"[^"]*"|'[^']*'|[^\s"'&;,)}\]]+)"""
)
HEADER = re.compile(
    r"""(?i)\b(?P<name>(?:proxy-)?authorization|(?:set-)?cookie)(?P<between>\s*:\s*)(?P<value>[^"']+)"""
)
# A colon without a port starts a password that should have been quoted. Its length is bounded, for the reason above.
ADDRESS = re.compile(
    r"(?<![\w+.-])(?P<scheme>[\w+.-]++)://(?P<user>[^\s/?#@:]*)(?P<password>:[^\s/?#]*|:(?!\d*[/?#])[^\s@]{0,256})?@"
)


def hide_secrets(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return a command line in which `***` replaces the values of secrets.

    >>> hide_secrets(["app.py", "--db-password", "x", "--api-key=x", "postgresql://me:x@host/db", "--port", "80"])
    ('app.py', '--db-password', '***', '--api-key=***', 'postgresql://me:***@host/db', '--port', '80')
    """
    return tuple(_hide_each(arguments))


def _hide_each(arguments: Sequence[str]) -> Iterator[str]:
    value_is_secret = False
    for argument in arguments:
        # An option in place of the value means that the one before was a switch.
        if value_is_secret and not argument.startswith("--"):
            yield HIDDEN
            value_is_secret = False
            continue
        value_is_secret = argument.startswith("-") and "=" not in argument and _names_a_secret(argument)
        shown = HEADER.sub(_hide_value, argument)
        named = WHOLE.fullmatch(shown)
        # `token:app` is a module and a name in it, while `--token:x` is an option and its value.
        if named and (named["between"] != ":" or argument.startswith("-")):
            shown = _hide_value_of_secret(named)
        shown = NAMED_VALUE.sub(_hide_value_of_secret, shown)
        yield ADDRESS.sub(_hide_password, shown)


def _names_a_secret(name: str) -> bool:
    # "accessToken" is two words.
    words = (
        re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower().replace("_", "-").replace(".", "-").strip("-").split("-")
    )
    if not words[-1] or words[-1] in KINDS_OF_PLACES or words[0] == "no":
        return False
    pairs = itertools.pairwise(words)
    return any(word.endswith(ENDINGS) or word in WORDS for word in words) or any(
        kind in KINDS_OF_KEYS and key in ("key", "keys") for kind, key in pairs
    )


def _hide_value(match: re.Match[str]) -> str:
    return f"{match['name']}{match['between']}{HIDDEN}"


def _hide_value_of_secret(match: re.Match[str]) -> str:
    return _hide_value(match) if _names_a_secret(match["name"]) else match[0]


def _hide_password(match: re.Match[str]) -> str:
    if match["password"] is not None:
        return f"{match['scheme']}://{match['user']}:{HIDDEN}@"
    # For web addresses, a user without a password is a token.
    return f"{match['scheme']}://{HIDDEN if match['scheme'].lower().startswith('http') else match['user']}@"
