"""Compile the CPU kernels into a shared library."""

from __future__ import annotations

import hashlib
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pet_driver.backends.compiler_cache import (
    cache_folder,
    compile_once,
    find_compiler,
    run_compiler,
)

SOURCES = Path(__file__).parent / "cpp"
PREBUILT = Path(__file__).parent / "prebuilt"  # exists in a platform wheel
NAME = "libpetkernels.so"
WHAT = "the kernels"
# The kernels need no floating-point exceptions, no errno and no sign of zero. All other rules of
# IEEE arithmetic stay in force, above all those of NaN.
FLAGS = (
    *("-std=c++20", "-O3", "-fPIC", "-fopenmp", "-Wall", "-fvisibility=hidden"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros"),
)
# Instruction sets to compile for, by machine, the oldest first; the library chooses at run time. On
# other machines only what all of them support is used, because several may share the cache.
INSTRUCTION_SETS = {
    "x86_64": {
        "avx2": ("-march=x86-64-v3",),
        "avx512": ("-march=x86-64-v4", "-mprefer-vector-width=512"),
    }
}


def library() -> Path:
    """Return the path of the compiled kernels: prebuilt ones if there are any, else the cache's."""
    return prebuilt() or cached()


def prebuilt() -> Path | None:
    """Return the path of the library that the wheel contains, or None.

    Its folder is named after a checksum of the sources: a library of other sources than those in
    the package is not used.
    """
    if not PREBUILT.is_dir():
        return None
    path = PREBUILT / checksum(platform.machine()) / NAME
    return path if path.is_file() else None


def cached() -> Path:
    """Return the path in the cache of kernels compiled on this machine, which may not exist yet.

    The path does not depend on the compiler, so that a compute node without one finds the library
    that the login node compiled. It depends on the C library, because a library that was compiled
    with a newer one cannot be loaded.
    """
    return cache_folder() / "kernels" / checksum(platform.machine(), *platform.libc_ver()) / NAME


def checksum(*words: str) -> str:
    """Return a checksum of the sources, of this file with its flags, and of ``words``."""
    digest = hashlib.sha256(" ".join(words).encode())
    for source in [*sorted(SOURCES.glob("*.h")), *sorted(SOURCES.glob("*.cpp")), Path(__file__)]:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def build(force: bool = False, verbose: bool = False, use_prebuilt: bool = True) -> Path:
    """Compile the kernels unless they exist: half a minute, once.

    Args:
        force: compile into the cache even if the kernels exist there.
        verbose: print the command lines of the compiler.
        use_prebuilt: return the library that the wheel contains, if it contains one.

    Returns:
        the path of the library.

    Raises:
        PetDriverError: there is no compiler, or it fails.
    """
    if use_prebuilt and not force and (path := prebuilt()):
        return path
    return compile_once(
        cached(),
        lambda compiler, folder: _compile(compiler, folder, verbose),
        force,
        f"{WHAT} (about half a minute)",
    )


def compile_for_wheel(folder: Path) -> Path:
    """Compile a library that a wheel may carry to other machines, into ``folder``.

    It is not linked with libgomp, which neither every machine nor the manylinux policy has. The
    process that loads it provides the OpenMP functions: torch loads its own libgomp for all
    libraries to see, and so does LAMMPS. The kernels then also share the threads of that library
    instead of starting their own.

    Returns:
        the path of the library.

    Raises:
        PetDriverError: there is no compiler, or it fails.
    """
    return _compile(find_compiler(), folder, verbose=False, link_openmp=False)


def _compile(compiler: str, folder: Path, verbose: bool, link_openmp: bool = True) -> Path:
    # The linker keeps the first copy of an inline function that several units contain, such as
    # those of the standard library. That copy must run on every processor, so units for the oldest
    # instruction set come first.
    units: list[tuple[str, str, tuple[str, ...]]] = [
        (name, f"{name}.cpp", ()) for name in ("engine", "interface", "edges")
    ]
    for name, flags in INSTRUCTION_SETS.get(platform.machine(), {"native": ()}).items():
        for real in ("float", "double"):
            definitions = (f"-DPET_INSTRUCTION_SET={name}", f"-DPET_REAL={real}")
            units.append((f"{name}-{real}", "instruction_set.cpp", (*flags, *definitions)))

    def compile_one(unit: tuple[str, str, tuple[str, ...]]) -> Path:
        name, source, flags = unit
        target = folder / f"{name}.o"
        command = [compiler, *FLAGS, *flags, "-c", str(SOURCES / source), "-o", str(target)]
        run_compiler(command, WHAT, verbose)
        return target

    with ThreadPoolExecutor(max_workers=2) as pool:
        objects = list(pool.map(compile_one, units))
    binary = folder / NAME
    openmp = "-fopenmp" if link_openmp else "-pthread"
    link = [compiler, "-shared", openmp, "-o", str(binary), *(str(path) for path in objects)]
    run_compiler(link, WHAT, verbose)
    return binary
