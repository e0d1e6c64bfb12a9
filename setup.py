"""Build the native core; everything else is in pyproject.toml.

ASYNCIO_PULSE_BUILD chooses the variant, each with its own build directory so that objects never mix:
release (default), debug, coverage, sanitize; none leaves the core out. ASYNCIO_PULSE_WERROR=1 makes warnings errors.
"""

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import PlatformError

NATIVE = "src/asyncio_pulse/_native"
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
COMPILE_ARGUMENTS = {
    "release": ["-O2"],
    "debug": ["-O0", "-g3", "-UNDEBUG"],
    # The watchdog thread updates the coverage counters, too.
    "coverage": ["-O0", "-g", "--coverage", "-fprofile-update=atomic"],
    "sanitize": ["-O1", "-g", "-UNDEBUG", "-fno-omit-frame-pointer", *SANITIZERS],
    # For an installation of the package whose core is built elsewhere.
    "none": [],
}
LINK_ARGUMENTS = {"release": [], "debug": [], "coverage": ["--coverage"], "sanitize": SANITIZERS, "none": []}


def require_compiler(command):
    """Fail with one line that names the missing compiler; the error of distutils does not say what to do."""
    if shutil.which(command) is None:
        raise PlatformError(
            f"asyncio-pulse needs a C compiler, and {command} was not found: install one (Debian: gcc libc6-dev"
            " python3-dev; macOS: xcode-select --install), or use a wheel: pip install --only-binary :all: asyncio-pulse"
        )


class BuildTogether(build_ext):
    """Compile as many files at once as there are processors; distutils compiles one after another."""

    def build_extensions(self):
        """Build the core, if there is a compiler for it."""
        if self.compiler.compiler_type == "unix":
            require_compiler(self.compiler.compiler_so[0])
        super().build_extensions()

    def build_extension(self, ext):
        """Build the core."""
        compile_all, compile_one = self.compiler.compile, getattr(self.compiler, "_compile", None)

        def compile_together(*args, **kwargs):
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                jobs = []
                self.compiler._compile = lambda *each: jobs.append(pool.submit(compile_one, *each))
                objects = compile_all(*args, **kwargs)
                for job in jobs:
                    job.result()
            return objects

        # Only Unix-style compilers have a function that compiles one file.
        if compile_one is not None:
            self.compiler.compile = compile_together
        super().build_extension(ext)


variant = os.environ.get("ASYNCIO_PULSE_BUILD") or "release"
if variant not in COMPILE_ARGUMENTS:
    sys.exit(f"ASYNCIO_PULSE_BUILD={variant!r}: choose one of {', '.join(COMPILE_ARGUMENTS)}")

if sys.platform == "win32":
    if variant not in ("release", "debug", "none"):
        sys.exit(f"ASYNCIO_PULSE_BUILD={variant!r} needs gcc or clang")
    compile_arguments = ["/std:c11", "/experimental:c11atomics", "/O2" if variant == "release" else "/Od"]
    link_arguments = []
else:
    compile_arguments = ["-std=c11", "-Wall", "-Wextra", "-fvisibility=hidden", *COMPILE_ARGUMENTS[variant]]
    link_arguments = LINK_ARGUMENTS[variant]
if os.environ.get("ASYNCIO_PULSE_WERROR") == "1":
    compile_arguments.append("/WX" if sys.platform == "win32" else "-Werror")

setup(
    ext_modules=[]
    if variant == "none"
    else [
        Extension(
            "asyncio_pulse._core",
            sources=sorted(glob(f"{NATIVE}/*/*.c")),
            # Headers are included with their folder.
            include_dirs=[NATIVE],
            depends=sorted(glob(f"{NATIVE}/*/*.h")),
            # -std=c11 hides the extensions of POSIX and glibc. Python.h enables them again, but not every file includes it.
            define_macros=[("_GNU_SOURCE", "1")],
            extra_compile_args=compile_arguments,
            extra_link_args=link_arguments,
        )
    ],
    cmdclass={"build_ext": BuildTogether},
    options={"build": {"build_base": f"build/{variant}"}},
)
