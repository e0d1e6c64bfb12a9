"""Which arguments of a command line a report hides, and which it must still show."""

from __future__ import annotations

import doctest
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncio_pulse.runtime import ledger, secret_arguments
from asyncio_pulse.runtime.secret_arguments import hide_secrets

SECRET = "hunter2"


def test_the_example() -> None:
    assert doctest.testmod(secret_arguments).failed == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [f"--token={SECRET}"],
        ["--token", SECRET],
        ["-token", SECRET],
        ["--auth-token", SECRET],
        ["--authToken", SECRET],
        ["--password", SECRET],
        ["--db.password", SECRET],
        ["--db_passwd", SECRET],
        ["--passphrase", SECRET],
        ["--client-secret", SECRET],
        ["--secret", f"-{SECRET}"],
        ["--api-key", SECRET],
        ["--apikey", SECRET],
        ["--APIKEY", SECRET],
        ["--access_key", SECRET],
        ["--access-key-id", SECRET],
        ["--private-key", SECRET],
        ["--credentials", SECRET],
        ["--auth", f"me:{SECRET}"],
        ["--sentry-dsn", f"https://{SECRET}@host/1"],
        [f"PGPASSWORD={SECRET}"],
        [f"MYSQL_PWD={SECRET}"],
        [f"SECRET_KEY={SECRET}"],
        ["-c", f"serve(password='{SECRET}', port=80)"],
        ["-c", f"serve(token = {SECRET})"],
        [f"--password=a&b;c {SECRET}"],
        ["--json", f'{{"password": "a & {SECRET}", "port": 80}}'],
        ["--header", f"Authorization: Bearer {SECRET}"],
        ["--header", f"X-Api-Key: {SECRET}"],
        ["--header", f"X-Api-Key: a {SECRET}"],
        [f"--token:{SECRET}"],
        ["--header", f"Cookie: session={SECRET}; other={SECRET}"],
        ["--json", f'{{"password": "{SECRET}"}}'],
        [f"postgresql://me:{SECRET}@host/db"],
        [f"--dsn=postgresql://me:{SECRET}@host/db"],
        [f"redis://:{SECRET}@host"],
        [f"redis://me:a/b?{SECRET}@host"],
        [f"amqp://me:a:{SECRET}@host"],
        [f"https://{SECRET}@host/1"],
        [f"https://host/path?user=me&token={SECRET}&page=1"],
        [f"https://host/path?api_key={SECRET}"],
    ],
    ids=" ".join,
)
def test_a_secret_is_hidden(arguments: list[str]) -> None:
    shown = " ".join(hide_secrets(["python", "app.py", *arguments, "--port", "80"]))
    assert SECRET not in shown
    assert shown.startswith("python app.py ")
    assert shown.endswith(" --port 80")


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "uvicorn", "auth:app"],
        ["-m", "uvicorn", "token:create_app"],
        ["reset_password.py", "me"],
        ["-p", "8000"],
        ["-p8000"],
        ["--max-tokens", "100"],
        ["--tokenizer", "gpt2"],
        ["--password-file", "/run/secret"],
        ["--token-url", "https://host/token"],
        ["--no-password", "me"],
        ["--password-stdin", "me"],
        ["--password", "--port"],
        ["--key", "id"],
        ["--keyfile=/etc/key.pem"],
        ["https://host:8000/@me"],
        ["https://host:8000?user=a@b"],
        ["postgresql://me@host/db"],
        ["ssh://git@host:22/repository"],
        ["--author=me"],
        ["me@host"],
        ["--", "x"],
        ["-"],
    ],
    ids=" ".join,
)
def test_what_is_no_secret_is_shown(arguments: list[str]) -> None:
    assert hide_secrets(arguments) == tuple(arguments)


@given(st.lists(st.text(max_size=30), max_size=5))
def test_any_command_line_keeps_its_length(arguments: list[str]) -> None:
    shown = hide_secrets(arguments)
    assert len(shown) == len(arguments)
    assert hide_secrets(shown) == shown


@pytest.mark.timing
@pytest.mark.parametrize(
    "piece", ["a", "a.", "a+", "a ", "=", "a:", "a=", "a='", "a://b:c/", "://", "Cookie:", "password="]
)
def test_the_time_grows_with_the_length(piece: str) -> None:
    def time_of(length: int) -> float:
        argument = piece * (length // len(piece))
        began = time.thread_time()
        hide_secrets([argument])
        return time.thread_time() - began

    # With the square of the length it would be 64.
    assert min(time_of(8_000) for _ in range(3)) < 24 * max(min(time_of(1_000) for _ in range(3)), 5e-5)


def test_they_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(sys, "orig_argv", ["python", "app.py", f"--number={len(seen)}"])
    monkeypatch.setattr(secret_arguments, "_hide_each", lambda arguments: seen.append(arguments) or arguments)
    for _ in range(3):
        ledger.process_report()
    assert len(seen) == 1


def test_a_report_hides_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "app.py", "--token", SECRET])
    assert ledger.process_report().argv == ("python", "app.py", "--token", "***")
