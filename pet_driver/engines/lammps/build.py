"""Compiling the plugin. Asks for a C++20 compiler and nothing else."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from pet_driver.errors import PetDriverError

from .environment import MODELS, Environment, find_environment

OLDEST_GCC = 11  # torch's headers need C++20
TORCH_LIBRARIES = ("torch", "torch_cpu", "c10", "torch_cuda", "c10_cuda")
LINES_SHOWN = 20


def build(force: bool = False, verbose: bool = False) -> Path:
    """Compiles the plugin unless it is there already.

    Safe to call from several processes at once: one compiles, the others wait.

    :param force: compile even if the plugin is there
    :param verbose: print the compiler's command lines
    :return: path of the plugin
    :raises PetDriverError: if a package or the compiler is missing, or the compiler fails
    """
    environment = find_environment()
    plugin = environment.plugin
    if plugin.is_file() and not force:
        return plugin
    compiler = find_compiler()
    _make_folder(plugin.parent)
    with _lock(plugin.parent / "lock"):
        if force or not plugin.is_file():
            with tempfile.TemporaryDirectory(dir=plugin.parent) as folder:
                binary = _compile(environment, compiler, Path(folder), verbose)
                os.replace(binary, plugin)  # atomic: a running LAMMPS keeps what it has
    return plugin


def find_compiler() -> str:
    """``$CXX``, or the first of g++, clang++ and c++ on the path.

    :raises PetDriverError: if there is none, or it is too old
    """
    wish = os.environ.get("CXX")
    names = [wish] if wish else ["g++", "clang++", "c++"]
    compiler = next(filter(None, (shutil.which(name) for name in names)), None)
    if compiler is None:
        raise PetDriverError(
            f"no C++ compiler found (looked for {', '.join(names)}): install g++ "
            f"{OLDEST_GCC} or later, or set CXX to the path of one"
        )
    banner = _output(compiler, "--version")
    version = _output(compiler, "-dumpversion").split(".")[0]
    if "clang" not in banner and version.isdigit() and int(version) < OLDEST_GCC:
        raise PetDriverError(
            f"{compiler} is version {version}, torch's headers need g++ {OLDEST_GCC} or later: "
            "install a newer one, or set CXX to the path of one"
        )
    return compiler


def _compile(environment: Environment, compiler: str, folder: Path, verbose: bool) -> Path:
    sources = sorted(environment.sources.glob("*.cpp"))
    flags = _compile_flags(environment)

    def compile_one(source: Path) -> Path:
        target = folder / f"{source.stem}.o"
        _run([compiler, *flags, "-c", str(source), "-o", str(target)], verbose)
        return target

    # The file that includes torch takes as long as all others together.
    with ThreadPoolExecutor(max_workers=2) as pool:
        objects = list(pool.map(compile_one, sources))
    binary = folder / environment.plugin.name
    names = [str(path) for path in objects]
    _run([compiler, "-shared", "-o", str(binary), *names, *_link_flags(environment)], verbose)
    return binary


def _compile_flags(environment: Environment) -> list[str]:
    torch_include = environment.torch / "include"
    folders = [
        environment.lammps / "include" / "lammps",
        environment.mpi_header,
        torch_include,
        torch_include / "torch" / "csrc" / "api" / "include",
    ]
    definitions = {
        "LAMMPS_SMALLBIG": "1",  # the integer sizes of the LAMMPS of the package index
        "PET_LAMMPS_VERSION": "".join(_lammps_date(environment.lammps_version)),
        "PET_DRIVER_MODELS": f'"{MODELS}"',
        "_GLIBCXX_USE_CXX11_ABI": str(int(_torch_cxx11_abi())),
    }
    return [
        *("-std=c++20", "-O2", "-fPIC", "-Wall", "-fvisibility=hidden"),
        *(word for path in folders for word in ("-isystem", str(path))),
        *(f"-D{name}={value}" for name, value in definitions.items()),
    ]


def _link_flags(environment: Environment) -> list[str]:
    """MPI is not linked: its symbols come from the LAMMPS that loads the plugin."""
    folder = environment.torch / "lib"
    present = [name for name in TORCH_LIBRARIES if (folder / f"lib{name}.so").is_file()]
    return [
        f"-L{folder}",
        "-Wl,--no-as-needed",  # libtorch_cuda registers its kernels although nothing calls it
        *(f"-l{name}" for name in present),
        f"-Wl,-rpath,{folder}",
    ]


def _lammps_date(version: str) -> tuple[str, str, str]:
    """The date in a version of the package: 2025.7.22.4.0 is 22 July 2025, update 4."""
    year, month, day = version.split(".")[:3]
    return year, month.zfill(2), day.zfill(2)


def _torch_cxx11_abi() -> bool:
    import torch  # late: slow, and only the compilation asks

    return torch.compiled_with_cxx11_abi()


def _run(command: list[str], verbose: bool) -> None:
    if verbose:
        print(" ".join(command), flush=True)
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        last = "\n".join(result.stderr.strip().splitlines()[-LINES_SHOWN:])
        raise PetDriverError(f"compiling the LAMMPS plugin failed:\n{last}")


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PetDriverError(
            f"cannot write the cache folder {folder} ({error.strerror}): "
            "set PET_DRIVER_CACHE to a folder that you may write"
        ) from None


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the system drops it with the process
        yield
