"""Build the native core; everything else is in pyproject.toml.

ASYNCIO_PULSE_BUILD chooses the variant, each with its own build directory so that objects never mix:
release (default), debug, coverage, sanitize. ASYNCIO_PULSE_WERROR=1 makes warnings errors.
"""

import os
import sys
from glob import glob

import greenlet
from setuptools import Extension, setup

SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
COMPILE_ARGUMENTS = {
    "release": ["-O2"],
    "debug": ["-O0", "-g3", "-UNDEBUG"],
    # Counters are updated by the watchdog thread too.
    "coverage": ["-O0", "-g", "--coverage", "-fprofile-update=atomic"],
    "sanitize": ["-O1", "-g", "-UNDEBUG", "-fno-omit-frame-pointer", *SANITIZERS],
}
LINK_ARGUMENTS = {"release": [], "debug": [], "coverage": ["--coverage"], "sanitize": SANITIZERS}

variant = os.environ.get("ASYNCIO_PULSE_BUILD") or "release"
if variant not in COMPILE_ARGUMENTS:
    sys.exit(f"ASYNCIO_PULSE_BUILD={variant!r}: choose one of {', '.join(COMPILE_ARGUMENTS)}")

if sys.platform == "win32":
    if variant not in ("release", "debug"):
        sys.exit(f"ASYNCIO_PULSE_BUILD={variant!r} needs gcc or clang")
    compile_arguments = ["/std:c11", "/experimental:c11atomics", "/O2" if variant == "release" else "/Od"]
    link_arguments = []
else:
    compile_arguments = ["-std=c11", "-Wall", "-Wextra", "-fvisibility=hidden", *COMPILE_ARGUMENTS[variant]]
    link_arguments = LINK_ARGUMENTS[variant]
if os.environ.get("ASYNCIO_PULSE_WERROR") == "1":
    compile_arguments.append("/WX" if sys.platform == "win32" else "-Werror")

setup(
    ext_modules=[
        Extension(
            "asyncio_pulse._core",
            sources=sorted(glob("src/asyncio_pulse/_native/*.c")),
            # greenlet installs its header beside its modules; it is included as <greenlet/greenlet.h>.
            include_dirs=[os.path.join(os.path.dirname(greenlet.__file__), os.pardir)],
            depends=sorted(glob("src/asyncio_pulse/_native/*.h")),
            # -std=c11 hides what POSIX and glibc add; Python.h shows it again, but not every file includes that.
            define_macros=[("_GNU_SOURCE", "1")],
            extra_compile_args=compile_arguments,
            extra_link_args=link_arguments,
        )
    ],
    options={"build": {"build_base": f"build/{variant}"}},
)
