"""Compiling the kernels."""

from __future__ import annotations

import hashlib
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pet_driver.backends.compiler_cache import cache_folder, compile_once, run_compiler

SOURCES = Path(__file__).parent / "cpp"
NAME = "libpetkernels.so"
WHAT = "the kernels"
# Nobody looks at floating-point exceptions, errno or the sign of zero; everything else of IEEE
# arithmetic stays, above all NaN.
FLAGS = (
    *("-std=c++20", "-O3", "-fPIC", "-fopenmp", "-Wall", "-fvisibility=hidden"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros"),
)
# Instruction sets that are compiled for, by machine, the least first; the program chooses when it
# runs. On other machines it is what all of them have: the cache may be shared by several kinds.
LEVELS = {
    "x86_64": {
        "avx2": ("-march=x86-64-v3",),
        "avx512": ("-march=x86-64-v4", "-mprefer-vector-width=512"),
    }
}


def library() -> Path:
    """Where the compiled kernels are, or will be.

    The compiler does not count in the path: a compute node without one must find what the login
    node compiled. The C library does: what was compiled with a newer one cannot be loaded.
    """
    digest = hashlib.sha256(" ".join([platform.machine(), *platform.libc_ver()]).encode())
    for source in [*sorted(SOURCES.glob("*.h")), *sorted(SOURCES.glob("*.cpp")), Path(__file__)]:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return cache_folder() / "kernels" / digest.hexdigest()[:16] / NAME


def build(force: bool = False, verbose: bool = False) -> Path:
    """Compile the kernels unless they are there already: half a minute, once.

    Args:
        force: compile even if they are there.
        verbose: print the compiler's command lines.

    Returns:
        path of the library.

    Raises:
        PetDriverError: there is no compiler, or it fails.
    """
    return compile_once(
        library(),
        lambda compiler, folder: _compile(compiler, folder, verbose),
        force,
        f"{WHAT} (about half a minute)",
    )


def _compile(compiler: str, folder: Path, verbose: bool) -> Path:
    # Of an inline function that several units have, those of the standard library above all, the
    # linker keeps the first: it must run wherever any of them does, so the plainest units lead.
    units: list[tuple[str, str, tuple[str, ...]]] = [
        (name, f"{name}.cpp", ()) for name in ("engine", "interface", "pairs")
    ]
    for level, flags in LEVELS.get(platform.machine(), {"native": ()}).items():
        for number in ("float", "double"):
            names = (f"-DPET_LEVEL={level}", f"-DPET_NUMBER={number}")
            units.append((f"{level}-{number}", "level.cpp", (*flags, *names)))

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
