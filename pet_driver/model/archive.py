"""Exported models ("archives"): one TorchScript file that every engine evaluates.

The file holds an :class:`ArchiveModule`, whose ``forward`` is described in
:class:`pet_driver.symmetry.SymmetrizedPotential`, and metadata as JSON among its extra files.
Attributes of the module repeat the metadata that a C++ engine needs before it runs the model. This
is the only module that reads and writes TorchScript files, so that another format could be added
behind :class:`Archive`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols

from pet_driver.backends.cpu import binding
from pet_driver.backends.devices import check_device
from pet_driver.backends.inductor import PACKAGE_FILE, attach, compile_network, conditions
from pet_driver.backends.shared_rules import FORMAT_VERSION, METADATA_FILE
from pet_driver.checkpoints.source import Source
from pet_driver.common.files import write_atomically
from pet_driver.errors import PetDriverError
from pet_driver.model import shipped
from pet_driver.network import Hypers
from pet_driver.symmetry import SymmetrizedPotential

FORMAT = "pet-driver archive"
CHECKSUM = "weights_sha256"  # entry of the metadata
DTYPES = {"float32": torch.float32, "float64": torch.float64}


class ArchiveModule(SymmetrizedPotential):
    """A potential with the metadata that an engine needs before it runs the model."""

    def __init__(
        self,
        network: torch.jit.ScriptModule,
        source: Source,
        grid: str,
        dtype_name: str,
        compiled_for: list[str],
    ) -> None:
        super().__init__(network, source.parameters(DTYPES[dtype_name]))
        self.symbols = [chemical_symbols[z] for z in source.atomic_numbers]
        self.atomic_numbers = list(source.atomic_numbers)
        self.cutoff = float(source.hypers.cutoff)
        self.interaction_range = float(source.hypers.interaction_range)
        self.default_grid = grid
        self.dtype_name = dtype_name
        self.format_version = FORMAT_VERSION
        self.compiled_for = torch.jit.Attribute(compiled_for, list[str])  # may be empty


@dataclass(frozen=True)
class Archive:
    """An exported model in memory.

    Attributes:
        module: the TorchScript module, on its device. Its network is replaced by the one that was
            compiled for this device, if there is one, or on a CPU by the C++ kernels.
        weights: weights of the network by name.
        metadata: metadata of the file.
        path: path of the file.
    """

    module: torch.jit.ScriptModule
    weights: dict[str, torch.Tensor]
    metadata: dict[str, Any]
    path: Path

    @classmethod
    def load(cls, name_or_path: str | os.PathLike, device: str = "cpu") -> Archive:
        """Load a shipped model by name, or an archive by path.

        Raises:
            PetDriverError: there is no such file, it is no archive, this version does not read
                its format, or its weights are damaged.
        """
        path = shipped.resolve(name_or_path)
        metadata = read_metadata(path)
        # The number of edges changes at every step of molecular dynamics. TorchScript would compile
        # again for every number of them unless it is told not to specialise.
        torch.jit.set_fusion_strategy([("DYNAMIC", 0)])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                extra = {PACKAGE_FILE: b""} if "compiled" in metadata else {}
                module = torch.jit.load(str(path), map_location=device, _extra_files=extra)
        except RuntimeError as error:
            raise PetDriverError(f"{path} cannot be loaded on {device}: {error}") from None
        weights = dict(module.network.state_dict())
        if weights_checksum(weights) != metadata[CHECKSUM]:
            raise PetDriverError(f"{path}: the weights do not match their checksum; fetch it again")
        conditions_of_package, here = metadata.get("compiled"), torch.device(device)
        compiled = conditions_of_package and attach(
            module, extra[PACKAGE_FILE], conditions_of_package, here
        )
        if not compiled and here.type == "cpu":
            binding.attach(module)
        return cls(module, weights, metadata, path)

    def __copy__(self) -> Archive:
        return self

    def __deepcopy__(self, memo: dict) -> Archive:
        """Return this object: it is not changed, and backends live as long as its module."""
        return self

    def __reduce__(self) -> tuple[Callable[..., Archive], tuple[str, str, str]]:
        """Pickle the path, the device and the checksum of the weights, not the weights."""
        device = next(iter(self.weights.values())).device
        return _load_again, (str(self.path.absolute()), str(device), self.metadata[CHECKSUM])

    def source(self) -> Source:
        """Return the model of the archive, to be exported again with other options."""
        radii = self.metadata.get("zbl_radii")
        return Source(
            hypers=Hypers.from_dict(self.metadata["hypers"]),
            weights={
                name: tensor.detach().to("cpu", torch.float64)
                for name, tensor in self.weights.items()
            },
            atomic_numbers=self.metadata["atomic_numbers"],
            scale=self.metadata["scale"],
            composition=[self.metadata["composition"][s] for s in self.metadata["symbols"]],
            provenance=self.metadata["provenance"],
            zbl_radii=None if radii is None else [radii[s] for s in self.metadata["symbols"]],
        )


def _load_again(path: str, device: str, checksum: str) -> Archive:
    """Load an archive in another process.

    Raises:
        PetDriverError: the file is missing there, or holds other weights.
    """
    archive = Archive.load(path, str(check_device(device)))
    if archive.metadata[CHECKSUM] != checksum:
        raise PetDriverError(
            f"{path} holds another model than when this one was pickled; pickle a model only for "
            "processes that read the same file"
        )
    return archive


def save(
    source: Source,
    path: Path,
    grid: str = "0",
    dtype: str = "float32",
    compile_for: str | None = None,
) -> None:
    """Write a model to an archive, atomically.

    Args:
        source: the model.
        path: path of the archive.
        grid: default grid of rotations.
        dtype: precision of the network.
        compile_for: a device of this machine for which the network is compiled in addition.

    Raises:
        PetDriverError: an unknown grid or precision, or torch cannot compile the network.
    """
    if dtype not in DTYPES:
        raise PetDriverError(f"dtype {dtype!r} is not known; choose from {', '.join(DTYPES)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.jit.script(source.build(DTYPES[dtype]))
    compiled = {} if compile_for is None else conditions(check_device(compile_for))
    module = ArchiveModule(network, source, grid, dtype, list(compiled.values()))
    try:
        module.grid(grid)
    except ValueError as error:
        raise PetDriverError(str(error)) from None
    metadata = _metadata(module, source, compiled)
    extra: dict[str, str | bytes] = {METADATA_FILE: json.dumps(metadata, indent=1)}
    if compile_for is not None:
        eager = source.build(DTYPES[dtype])
        extra[PACKAGE_FILE] = compile_network(eager, torch.device(compile_for))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # In memory first: torch ends the process if the disk is full.
        content = io.BytesIO()
        torch.jit.save(torch.jit.script(module.eval()), content, _extra_files=extra)
    write_atomically(path, content.getbuffer())


def _metadata(module: ArchiveModule, source: Source, compiled: dict[str, str]) -> dict[str, Any]:
    """Return the metadata of an archive.

    Args:
        module: the module that is written.
        source: the model.
        compiled: conditions of the compiled network; empty without one.
    """
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "symbols": module.symbols,
        "atomic_numbers": module.atomic_numbers,
        "cutoff": module.cutoff,
        "interaction_range": module.interaction_range,
        "dtype": module.dtype_name,
        "default_grid": module.default_grid,
        "length_unit": "angstrom",
        "energy_unit": "eV",
        "hypers": source.hypers.to_dict(),
        "scale": source.scale,
        "composition": dict(zip(module.symbols, source.composition, strict=True)),
        **_repulsion_metadata(source, module.symbols),
        "provenance": source.provenance,
        "parameters": sum(p.numel() for p in module.network.parameters()),
        CHECKSUM: weights_checksum(module.network.state_dict()),
        **({"compiled": compiled} if compiled else {}),
    }


def _repulsion_metadata(source: Source, symbols: list[str]) -> dict[str, dict[str, float]]:
    """Return covalent radii (A) of the ZBL repulsion by element; empty without a repulsion."""
    if source.zbl_radii is None:
        return {}
    return {"zbl_radii": dict(zip(symbols, source.zbl_radii, strict=True))}


def weights_checksum(weights: dict[str, torch.Tensor]) -> str:
    """Return the SHA-256 of names and bytes of the weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def read_metadata(path: Path) -> dict[str, Any]:
    """Read the metadata of an archive without loading the model.

    Raises:
        PetDriverError: there is no such file, it is no archive, it is damaged, or this version does
            not read its format.
    """
    if not path.is_file():
        raise PetDriverError(f"there is no archive at {path}")
    remedy = "export a checkpoint with: pet-driver export CHECKPOINT -o model.pt"
    if not zipfile.is_zipfile(path):
        raise PetDriverError(f"{path} is not an archive, or it is damaged; {remedy}")
    try:
        with zipfile.ZipFile(path) as file:
            entry = [n for n in file.namelist() if n.endswith(f"extra/{METADATA_FILE}")]
            metadata = json.loads(file.read(entry[0])) if entry else {}
    except (zipfile.BadZipFile, json.JSONDecodeError, OSError) as error:
        raise PetDriverError(f"{path} is damaged: {error}") from None
    if metadata.get("format") != FORMAT:
        raise PetDriverError(f"{path} is a file of torch but not a pet-driver archive; {remedy}")
    if metadata["format_version"] != FORMAT_VERSION:
        raise PetDriverError(
            f"{path} has format version {metadata['format_version']}, this pet-driver reads "
            f"version {FORMAT_VERSION}; export the model again"
        )
    return metadata
