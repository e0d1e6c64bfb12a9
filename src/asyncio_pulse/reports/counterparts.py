"""What asyncio offers in place of calls that block the loop, by the code that was seen blocking."""

from __future__ import annotations

import linecache
import os
import re
from collections.abc import Sequence

from asyncio_pulse.metrics.code_places import PACKAGE_DIRECTORIES, STANDARD_LIBRARY
from asyncio_pulse.metrics.model import StackFrame

from .program_calls import called_in

__all__ = [
    "counterpart",
    "in_c",
    "made_once",
    "module_of",
    "option_of",
    "package_of",
    "starts_process",
    "starts_thread",
]

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
    "requests": "response = await client.get(url)  # client = httpx.AsyncClient()",
    "urllib3": "response = await client.get(url)  # client = httpx.AsyncClient()",
    "httpx": "response = await client.get(url)  # client = httpx.AsyncClient()",
    "http": "response = await client.get(url)  # client = httpx.AsyncClient()",
    "urllib": "response = await client.get(url)  # client = httpx.AsyncClient()",
    "botocore": "async with aiobotocore.session.get_session().create_client(service) as client: ...",
    "boto3": "async with aiobotocore.session.get_session().create_client(service) as client: ...",
    "psycopg2": "await connection.execute(query)  # connection = await psycopg.AsyncConnection.connect(address)",
    "psycopg": "await connection.execute(query)  # connection = await psycopg.AsyncConnection.connect(address)",
    "pymysql": "connection = await aiomysql.connect(host)",
    "MySQLdb": "connection = await aiomysql.connect(host)",
    "pymongo": "await collection.find_one(query)  # client = pymongo.AsyncMongoClient(address)",
    "redis": "await client.get(key)  # client = redis.asyncio.Redis(host=host)",
    "sqlalchemy": "await session.execute(statement)  # session = sqlalchemy.ext.asyncio.AsyncSession(engine)",
    "sqlite3": "await connection.execute(query)  # connection = await aiosqlite.connect(path)",
    "paramiko": "connection = await asyncssh.connect(host)",
    "smtplib": "await aiosmtplib.send(message, hostname=host)",
    "subprocess": "process = await asyncio.create_subprocess_exec(program, *arguments)",
    "socket": "reader, writer = await asyncio.open_connection(host, port)",
    "ssl": "reader, writer = await asyncio.open_connection(host, port, ssl=True)",
    "logging": "logging.handlers.QueueListener(queue, handler).start()  # log to a logging.handlers.QueueHandler(queue)",
}

# By the line of source, where only C code was called.
_BY_LINE = (
    (r"\btime\.sleep\(|\bsleep\(", "await asyncio.sleep({})"),
    (r"\bgethostby\w+\(|\bgetaddrinfo\(", "await loop.getaddrinfo({})"),
    (r"\.recv\(|\.sendall\(|\.accept\(", "reader, writer = await asyncio.open_connection(host, port)"),
    (r"\.result\(", "await asyncio.wrap_future(future)"),
    (r"\.acquire\(|\bwith \w*lock\b", "async with lock: ...  # lock = asyncio.Lock()"),
)

# What takes long to make, by the function that makes it.
_MADE_ONCE = {
    ("ssl", "create_default_context"): "an SSL context, which reads all certificates",
    ("ssl", "load_default_certs"): "an SSL context, which reads all certificates",
    ("aiobotocore", "create_client"): "a client of AWS, which reads the description of its service",
    ("botocore", "create_client"): "a client of AWS, which reads the description of its service",
}

_OPTIONS = {
    "starlette.middleware.gzip": "app.add_middleware(GZipMiddleware, thread_minimum_size=128 * 1024)",
}
"""By module, settings of libraries."""


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
    for pattern, advice in _BY_LINE:
        if re.search(pattern, line):
            found = next((call for call in called_in(stack[0]) if re.search(pattern, f".{call.function}(")), None)
            return advice.replace("{}", ", ".join(found.arguments) if found is not None else "...")
    return ""


def made_once(stack: Sequence[StackFrame]) -> str:
    """Return what a stack makes anew though one is enough for a program; empty if it is nothing like that."""
    for frame in stack:
        key = package_of(frame.filename), frame.function.rpartition(".")[2].lstrip("_")
        if key in _MADE_ONCE:
            return _MADE_ONCE[key]
    return ""


def option_of(stack: Sequence[StackFrame]) -> str:
    """Return the setting of a library that moves its own computing to a thread; empty if none is known."""
    return next(
        (_OPTIONS[name] for name in map(module_of, (frame.filename for frame in stack)) if name in _OPTIONS), ""
    )


def starts_thread(stack: Sequence[StackFrame]) -> bool:
    """Whether a stack waits until a new thread has begun. What keeps that thread from it is whoever has the GIL."""
    return any(frame.function == "Thread.start" for frame in stack)


def starts_process(stack: Sequence[StackFrame]) -> bool:
    """Whether asyncio's own functions for processes are what blocks: they fork, and wait for the new program to begin."""
    return any(
        module_of(frame.filename) == "asyncio.subprocess" and frame.function.startswith("create_subprocess")
        for frame in stack
    )
