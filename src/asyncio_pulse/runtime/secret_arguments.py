"""Command lines without their secrets: a report is mailed, pasted and kept where the command line would not be.

What counts is the name before a value: `--token x`, `API_KEY=x`, `{"password": "x"}`, `Authorization: Bearer x`; in an
address the password before the host. A secret that nothing names, such as that of `-p x`, cannot be known.
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
"""A word that ends so names a secret: `PGPASSWORD` does, `max_tokens` and `tokenizer` do not."""
WORDS = {"auth", "authorization", "bearer", "credential", "cookie", "cookies", "pass", "dsn"}
KINDS_OF_KEYS = {"access", "account", "api", "auth", "encryption", "master", "private", "secret", "signing"}
KINDS_OF_PLACES = {"file", "path", "dir", "directory", "stdin", "prompt", "url", "type", "name", "timeout", "ttl"}
"""`--password-file x` says where the secret is, not what it is."""

# Possessive, and only from the beginning of a word: otherwise the time would grow with the square of a word's length.
WHOLE = re.compile(r"(?s)(?P<name>[\w.-]++)(?P<between>=|:\s*)(?P<value>.*)")
NAMED_VALUE = re.compile(
    r"""(?<![\w.-])(?P<name>[\w.-]++)(?P<between>["']?\s*=\s*|["']\s*:\s*|:\s+)(?P<value>"[^"]*"|'[^']*'|[^\s"'&;,)}\]]+)"""
)
HEADER = re.compile(
    r"""(?i)\b(?P<name>(?:proxy-)?authorization|(?:set-)?cookie)(?P<between>\s*:\s*)(?P<value>[^"']+)"""
)
# A colon and no port: then a password that should have been quoted, at most so long, lest the time grow as above.
ADDRESS = re.compile(
    r"(?<![\w+.-])(?P<scheme>[\w+.-]++)://(?P<user>[^\s/?#@:]*)(?P<password>:[^\s/?#]*|:(?!\d*[/?#])[^\s@]{0,256})?@"
)


def hide_secrets(arguments: Sequence[str]) -> tuple[str, ...]:
    """Give a command line in which the values of secrets are replaced by `***`.

    >>> hide_secrets(["app.py", "--db-password", "x", "--api-key=x", "postgresql://me:x@host/db", "--port", "80"])
    ('app.py', '--db-password', '***', '--api-key=***', 'postgresql://me:***@host/db', '--port', '80')
    """
    return tuple(_hide_each(arguments))


def _hide_each(arguments: Sequence[str]) -> Iterator[str]:
    value_is_secret = False
    for argument in arguments:
        # An option instead of the value: what is before it was a switch.
        if value_is_secret and not argument.startswith("--"):
            yield HIDDEN
            value_is_secret = False
            continue
        value_is_secret = argument.startswith("-") and "=" not in argument and _names_a_secret(argument)
        shown = HEADER.sub(_hide_value, argument)
        named = WHOLE.fullmatch(shown)
        # `token:app` is a module and a name in it, `--token:x` an option and its value.
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
    # A user without a password is a token where people log in so.
    return f"{match['scheme']}://{HIDDEN if match['scheme'].lower().startswith('http') else match['user']}@"
