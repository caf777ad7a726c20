"""Compile the plugin, with a C++20 compiler and nothing else."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pet_driver.backends import cpu as kernels
from pet_driver.backends.compiler_cache import compile_once, run_compiler
from pet_driver.backends.shared_rules import cpp_header
from pet_driver.engines.lammps.environment import MODELS, Environment, find_environment
from pet_driver.engines.lammps.launch import command, variables
from pet_driver.errors import PetDriverError

WHAT = "the LAMMPS plugin"
TORCH_LIBRARIES = ("torch", "torch_cpu", "c10", "torch_cuda", "c10_cuda")


def build(force: bool = False, verbose: bool = False) -> Path:
    """Compile the plugin unless it exists.

    Several processes may call this at once: one compiles, the others wait.

    Args:
        force: compile even if the plugin exists.
        verbose: print the command lines of the compiler.

    Returns:
        the path of the plugin.

    Raises:
        PetDriverError: a package or the compiler is missing, or the compiler fails.
    """
    environment = find_environment()
    kernels.build()  # the plugin is linked with them, and loads them from there
    return compile_once(
        environment.plugin,
        lambda compiler, folder: _compile(environment, compiler, folder, verbose),
        force,
        f"{WHAT} (about a minute)",
    )


def _compile(environment: Environment, compiler: str, folder: Path, verbose: bool) -> Path:
    sources = sorted(environment.sources.glob("*.cpp"))
    (folder / "shared_rules.h").write_text(cpp_header())
    flags = [*_compile_flags(environment), "-isystem", str(folder)]

    def compile_one(source: Path) -> Path:
        target = folder / f"{source.stem}.o"
        run_compiler([compiler, *flags, "-c", str(source), "-o", str(target)], WHAT, verbose)
        return target

    # Files that include torch take most of the time.
    with ThreadPoolExecutor(max_workers=2) as pool:
        objects = list(pool.map(compile_one, sources))
    binary = folder / environment.plugin.name
    names = [str(path) for path in objects]
    link = [compiler, "-shared", "-o", str(binary), *names, *_link_flags(environment)]
    run_compiler(link, WHAT, verbose)
    _check_that_it_loads(environment, binary)
    return binary


def _check_that_it_loads(environment: Environment, binary: Path) -> None:
    """Check that LAMMPS can load the plugin.

    If it cannot, LAMMPS prints one line and continues without the plugin.

    Raises:
        PetDriverError: LAMMPS cannot load it; the message contains that line.
    """
    settings = variables(environment) | {"LAMMPS_PLUGIN_PATH": str(binary.parent)}
    (binary.parent / "in.list").write_text("plugin list\n")
    line = command(environment, ["-in", "in.list", "-log", "none"], ranks=1)
    result = subprocess.run(line, cwd=binary.parent, env=settings, capture_output=True, text=True)
    if "pair style plugin pet" in result.stdout:
        return
    said = (result.stdout + result.stderr).strip().splitlines()
    of_the_plugin = [text for text in said if binary.name in text or "pet-driver" in text]
    reason = "\n".join(of_the_plugin or said)
    raise PetDriverError(
        f"{WHAT} is compiled, but LAMMPS cannot load it; the reason may be that the compiler is "
        f"newer or older than that of LAMMPS (set CXX to use another one):\n{reason}"
    )


def _compile_flags(environment: Environment) -> list[str]:
    torch_include = environment.torch / "include"
    folders = [
        environment.lammps / "include" / "lammps",
        environment.mpi_header,
        torch_include,
        torch_include / "torch" / "csrc" / "api" / "include",
        kernels.SOURCES,
    ]
    definitions = {
        "LAMMPS_SMALLBIG": "1",  # the integer sizes of the LAMMPS of the package index
        "PET_LAMMPS_VERSION": "".join(_lammps_date(environment.lammps_version)),
        "PET_DRIVER_MODELS": f'"{MODELS}"',
        "PET_OPERATORS": f"pet_driver_{environment.key}",
        "_GLIBCXX_USE_CXX11_ABI": str(int(_torch_cxx11_abi())),
    }
    return [
        *("-std=c++20", "-O2", "-fPIC", "-Wall", "-fvisibility=hidden"),
        *(word for path in folders for word in ("-isystem", str(path))),
        *(f"-D{name}={value}" for name, value in definitions.items()),
    ]


def _link_flags(environment: Environment) -> list[str]:
    """Return the libraries, without MPI: LAMMPS has loaded its own when it loads the plugin."""
    folder = environment.torch / "lib"
    present = [name for name in TORCH_LIBRARIES if (folder / f"lib{name}.so").is_file()]
    return [
        f"-L{folder}",
        "-Wl,--no-as-needed",  # nothing calls libtorch_cuda, but it registers its kernels
        *(f"-l{name}" for name in present),
        str(kernels.library()),
        f"-Wl,-rpath,{folder}",
        f"-Wl,-rpath,{kernels.library().parent}",
    ]


def _lammps_date(version: str) -> tuple[str, str, str]:
    """Return the date in a version of the package: 2025.7.22.4.0 is 22 July 2025, update 4."""
    year, month, day = version.split(".")[:3]
    return year, month.zfill(2), day.zfill(2)


def _torch_cxx11_abi() -> bool:
    import torch  # here, because the import is slow and only the compilation needs it

    return torch.compiled_with_cxx11_abi()
