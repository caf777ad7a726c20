"""Compile the CPU kernels into a shared library."""

from __future__ import annotations

import hashlib
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pet_driver.backends.compiler_cache import cache_folder, compile_once, run_compiler

SOURCES = Path(__file__).parent / "cpp"
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
    """Return the path of the compiled kernels, which may not exist yet.

    The path does not depend on the compiler, so that a compute node without one finds the library
    that the login node compiled. It depends on the C library, because a library that was compiled
    with a newer one cannot be loaded.
    """
    digest = hashlib.sha256(" ".join([platform.machine(), *platform.libc_ver()]).encode())
    for source in [*sorted(SOURCES.glob("*.h")), *sorted(SOURCES.glob("*.cpp")), Path(__file__)]:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return cache_folder() / "kernels" / digest.hexdigest()[:16] / NAME


def build(force: bool = False, verbose: bool = False) -> Path:
    """Compile the kernels unless they exist: half a minute, once.

    Args:
        force: compile even if they exist.
        verbose: print the command lines of the compiler.

    Returns:
        the path of the library.

    Raises:
        PetDriverError: there is no compiler, or it fails.
    """
    return compile_once(
        library(), lambda compiler, folder: _compile(compiler, folder, verbose), force
    )


def _compile(compiler: str, folder: Path, verbose: bool) -> Path:
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
    link = [compiler, "-shared", "-fopenmp", "-o", str(binary), *(str(path) for path in objects)]
    run_compiler(link, WHAT, verbose)
    return binary
