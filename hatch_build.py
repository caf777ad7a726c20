"""Build hook of hatchling: put compiled CPU kernels into the wheel.

The wheel is then one for a platform, and its users need no compiler. Where the kernels cannot be
compiled, the wheel is built without them, with a warning; they are then compiled on first use.

The manylinux tag follows from the symbols that the compiled kernels need, and these from the
compiler: to serve older systems, build the wheel in the image of an older manylinux policy.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# The newest symbol versions that each manylinux policy allows on x86_64 and aarch64, oldest policy
# first (PEP 600, and the policies of auditwheel). torch itself needs manylinux_2_28.
POLICIES: dict[tuple[int, int], dict[str, tuple[int, ...]]] = {
    (2, 28): {"GLIBCXX": (3, 4, 24), "CXXABI": (1, 3, 11), "GCC": (7, 0, 0)},
    (2, 31): {"GLIBCXX": (3, 4, 28), "CXXABI": (1, 3, 12), "GCC": (7, 0, 0)},
    (2, 34): {"GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "GCC": (7, 0, 0)},
    (2, 35): {"GLIBCXX": (3, 4, 30), "CXXABI": (1, 3, 13), "GCC": (12, 0, 0)},
    (2, 38): {"GLIBCXX": (3, 4, 30), "CXXABI": (1, 3, 13), "GCC": (12, 0, 0)},
    (2, 39): {"GLIBCXX": (3, 4, 33), "CXXABI": (1, 3, 15), "GCC": (14, 0, 0)},
}
LIBRARIES = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libstdc++.so.6", "libgcc_s.so.1"}
# Undefined symbols that belong to no library the kernels are linked with: OpenMP's, from torch's
# libgomp, and weak ones that may stay undefined.
FREE_SYMBOLS = re.compile(r"(GOMP_|omp_|_ITM_|__gmon_start__|__cxa_finalize)")


class CannotPackError(Exception):
    """The kernels cannot be part of the wheel; the message says why."""


class KernelsHook(BuildHookInterface):
    """Compile the kernels, add them to the wheel, and set the tag of the wheel."""

    PLUGIN_NAME = "custom"
    _folder: str | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the kernels to ``build_data``, except for an editable installation."""
        if self.target_name != "wheel" or version == "editable":
            return
        try:
            library, target, tag = self._compile()
        except CannotPackError as reason:
            self.app.display_warning(
                f"the wheel contains no compiled CPU kernels; they will be compiled on first use: "
                f"{reason}"
            )
            return
        build_data["force_include"][str(library)] = target
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{tag}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the folder that the kernels were compiled in."""
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _compile(self) -> tuple[Path, str, str]:
        """Return the library, its path in the wheel, and the platform tag."""
        if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
            raise CannotPackError("only Linux with the GNU C library is supported")
        sys.path.insert(0, self.root)
        try:
            from pet_driver.backends.cpu.build import NAME, PREBUILT, checksum, compile_for_wheel
            from pet_driver.errors import PetDriverError
        finally:
            sys.path.remove(self.root)
        self._folder = tempfile.mkdtemp(prefix="pet-driver-kernels-")
        machine = platform.machine()
        try:
            library = compile_for_wheel(Path(self._folder))
        except PetDriverError as error:
            raise CannotPackError(str(error)) from None
        target = (PREBUILT / checksum(machine) / NAME).relative_to(self.root)
        return library, target.as_posix(), f"{platform_tag(inspect(library))}_{machine}"


def inspect(library: Path) -> str:
    """Return what readelf prints about the symbols and libraries that ``library`` needs.

    Raises:
        CannotPackError: readelf is missing or fails.
    """
    command = ["readelf", "--wide", "--dynamic", "--dyn-syms", "--version-info", str(library)]
    english = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, env=english
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotPackError(f"cannot inspect the compiled library: {error}") from None


def platform_tag(listing: str) -> str:
    """Return the oldest manylinux policy that a library satisfies, or ``linux`` if none does.

    Args:
        listing: what :func:`inspect` returns.

    Raises:
        CannotPackError: it needs other libraries or symbols than every machine has.
    """
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", listing))
    undefined = re.findall(r" UND (\S+)(?: \(\d+\))?$", listing, re.MULTILINE)
    unversioned = [name for name in undefined if "@" not in name and not FREE_SYMBOLS.match(name)]
    loaders = {name for name in needed if name.startswith("ld-linux")}
    if strange := sorted(needed - LIBRARIES - loaders) + unversioned:
        raise CannotPackError(f"the compiled library needs {', '.join(strange)}")
    wanted = [
        (name, tuple(int(number) for number in version.split(".")))
        for name, version in re.findall(r"Name: (GLIBC|GLIBCXX|CXXABI|GCC)_([\d.]+) ", listing)
    ]
    for policy, allowed in POLICIES.items():
        limits = {"GLIBC": policy, **allowed}
        if all(version <= limits[name] for name, version in wanted):
            return f"manylinux_{policy[0]}_{policy[1]}"
    return "linux"
