"""What asyncio offers in place of calls that block the loop, by the code that was seen blocking."""

from __future__ import annotations

import linecache
import os
import re
from collections.abc import Sequence

from asyncio_pulse.metrics.code_places import PACKAGE_DIRECTORIES, STANDARD_LIBRARY
from asyncio_pulse.metrics.model import StackFrame

__all__ = ["counterpart", "in_c", "module_of", "package_of"]

_COMPUTE_IN_C = frozenset(
    {
        "bcrypt",
        "bz2",
        "cryptography",
        "cv2",
        "gzip",
        "hashlib",
        "hmac",
        "json",
        "lxml",
        "lzma",
        "numpy",
        "orjson",
        "pandas",
        "pickle",
        "PIL",
        "pydantic_core",
        "re",
        "scipy",
        "sklearn",
        "tiktoken",
        "torch",
        "zlib",
    }
)
"""Modules and packages whose time is spent in single calls of C code."""

_RELEASE_THE_GIL = frozenset({"bcrypt", "bz2", "cryptography", "gzip", "hashlib", "hmac", "lzma", "tiktoken", "zlib"})

# Calls of C code by the line of source that they were seen in, and whether they let other threads run.
_CALLS_OF_C = (
    (r"\b(de)?compress\(|\bpbkdf2_hmac\(|\bscrypt\(|\bhashpw\(|\bcheckpw\(|\bsha\d+\(", "thread"),
    (r"\bjson\.(dumps|loads)\(|\bre\.\w+\(|\bpickle\.(dumps|loads)\(", "process"),
)

# Modules of the standard library, and packages, by the name that their frames show.
_BY_MODULE = {
    "requests": "await client.get(...) of an httpx.AsyncClient",
    "urllib3": "await client.get(...) of an httpx.AsyncClient",
    "httpx": "await client.get(...) of an httpx.AsyncClient",
    "http": "await client.get(...) of an httpx.AsyncClient",
    "urllib": "await client.get(...) of an httpx.AsyncClient",
    "botocore": "the same call of aiobotocore",
    "boto3": "the same call of aiobotocore",
    "psycopg2": "await connection.execute(...) of a psycopg.AsyncConnection",
    "psycopg": "await connection.execute(...) of a psycopg.AsyncConnection",
    "pymysql": "the same call of aiomysql",
    "MySQLdb": "the same call of aiomysql",
    "pymongo": "await collection.find_one(...) of a pymongo.AsyncMongoClient",
    "redis": "the same call of redis.asyncio",
    "sqlalchemy": "await session.execute(...) of an AsyncSession",
    "sqlite3": "await asyncio.to_thread(...)",
    "paramiko": "the same call of asyncssh",
    "smtplib": "the same call of aiosmtplib",
    "subprocess": "process = await asyncio.create_subprocess_exec(...)",
    "socket": "reader, writer = await asyncio.open_connection(host, port)",
    "ssl": "reader, writer = await asyncio.open_connection(host, port, ssl=True)",
    "logging": "a logging.handlers.QueueHandler with a QueueListener, which writes in a thread",
}

# By the line of source, where only C code was called.
_BY_LINE = (
    (r"\btime\.sleep\(|\bsleep\(", "await asyncio.sleep(...)"),
    (r"\bgethostby\w+\(|\bgetaddrinfo\(", "await loop.getaddrinfo(...)"),
    (r"\.recv\(|\.sendall\(|\.accept\(", "reader, writer = await asyncio.open_connection(host, port)"),
    (r"\.result\(", "await asyncio.wrap_future(future)"),
    (r"\.acquire\(|\bwith \w*lock\b", "async with asyncio.Lock()"),
)


def module_of(filename: str) -> str:
    """Return the module of an installed package or of the standard library; empty for a file of the program."""
    for directory in PACKAGE_DIRECTORIES:
        _, found, inside = filename.rpartition(f"{os.sep}{directory}{os.sep}")
        if found:
            break
    else:
        inside = filename.removeprefix(STANDARD_LIBRARY)
    return "" if inside == filename else inside.removesuffix(".py").replace(os.sep, ".")


def package_of(filename: str) -> str:
    """Return the first name of the module of a file; empty for a file of the program."""
    return module_of(filename).partition(".")[0]


def in_c(stack: Sequence[StackFrame]) -> str:
    """Return where the C code of a stack may run instead: `thread`, `process`, or empty if it is not known as C code."""
    if not stack:
        return ""
    package = package_of(stack[0].filename)
    if package in _COMPUTE_IN_C:
        return "thread" if package in _RELEASE_THE_GIL else "process"
    line = linecache.getline(stack[0].filename, stack[0].line)
    return next((place for pattern, place in _CALLS_OF_C if re.search(pattern, line)), "")


def counterpart(stack: Sequence[StackFrame]) -> str:
    """Return what to write in place of the call that a stack, innermost frame first, was seen in; empty if unknown."""
    # The outermost library that the program called knows best what the program wanted.
    known = [_BY_MODULE[name] for name in map(package_of, (frame.filename for frame in stack)) if name in _BY_MODULE]
    if known:
        return known[-1]
    if not stack or package_of(stack[0].filename):
        return ""
    line = linecache.getline(stack[0].filename, stack[0].line)
    return next((advice for pattern, advice in _BY_LINE if re.search(pattern, line)), "")
