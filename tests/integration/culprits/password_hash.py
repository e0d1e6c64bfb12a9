"""Hashing a password: C code that lets go of the GIL, and computes."""

import hashlib

CLASS = "on-cpu"


async def culprit() -> None:
    for _ in range(2):
        hashlib.scrypt(b"secret", salt=b"salt", n=2**16, r=8, p=1, maxmem=2**30)  # <- here
