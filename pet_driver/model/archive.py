"""The exported model: one TorchScript file that every engine evaluates.

The file holds :class:`ArchiveModule`, whose ``forward`` is the contract described in
:class:`pet_driver.symmetry.SymmetrizedPotential`, and metadata as JSON among its extra files.
Attributes repeat the metadata that a C++ engine needs before it runs the model. Everything that
knows about TorchScript files stands here, so that another format can come in behind
:class:`Archive`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
import zipfile
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
from pet_driver.errors import PetDriverError
from pet_driver.files import write_atomically
from pet_driver.model import shipped
from pet_driver.network import Hypers
from pet_driver.symmetry import SymmetrizedPotential

FORMAT = "pet-driver archive"
DTYPES = {"float32": torch.float32, "float64": torch.float64}


class ArchiveModule(SymmetrizedPotential):
    """The potential, and the facts an engine asks for before it runs it."""

    def __init__(
        self,
        network: torch.jit.ScriptModule,
        source: Source,
        grid: str,
        dtype_name: str,
        compiled_for: list[str],
    ) -> None:
        super().__init__(
            network,
            source.hypers,
            DTYPES[dtype_name],
            source.atomic_numbers,
            source.scale,
            source.composition,
            source.zbl_radii,
        )
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
    """An archive in memory.

    Attributes:
        module: the TorchScript module, on its device. A network that was compiled for this device
            stands in for its own, or on the CPU the kernels.
        weights: of the network, by name.
        metadata: what the file says of itself.
        path: where it came from.
    """

    module: torch.jit.ScriptModule
    weights: dict[str, torch.Tensor]
    metadata: dict[str, Any]
    path: Path

    @classmethod
    def load(cls, name_or_path: str | os.PathLike, device: str = "cpu") -> Archive:
        """Read a shipped model by name, or an archive by path.

        Raises:
            PetDriverError: there is no such file, it is no archive, it was written in a format
                this version does not read, or its weights are damaged.
        """
        path = shipped.resolve(name_or_path)
        metadata = read_metadata(path)
        # Molecular dynamics changes the number of edges at every step. Code specialised to sizes
        # would be compiled again and again, so TorchScript is told not to specialise at all.
        torch.jit.set_fusion_strategy([("DYNAMIC", 0)])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                extra = {PACKAGE_FILE: b""} if "compiled" in metadata else {}
                module = torch.jit.load(str(path), map_location=device, _extra_files=extra)
        except RuntimeError as error:
            raise PetDriverError(f"{path} cannot be loaded on {device}: {error}") from None
        weights = dict(module.network.state_dict())
        if weights_checksum(weights) != metadata["weights_sha256"]:
            raise PetDriverError(f"{path}: the weights do not match their checksum; fetch it again")
        made_for, here = metadata.get("compiled"), torch.device(device)
        compiled = made_for and attach(module, extra[PACKAGE_FILE], made_for, here)
        if not compiled and here.type == "cpu":
            binding.attach(module)
        return cls(module, weights, metadata, path)

    def __copy__(self) -> Archive:
        return self

    def __deepcopy__(self, memo: dict) -> Archive:
        """The same: nothing changes it, and its networks live as long as this module."""
        return self

    def source(self) -> Source:
        """The model behind the archive, to be exported anew with other options."""
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


def save(
    source: Source,
    path: Path,
    grid: str = "0",
    dtype: str = "float32",
    compile_for: str | None = None,
) -> None:
    """Write ``source`` to ``path``; an interrupted write leaves no half file behind.

    Args:
        source: the model.
        path: the file.
        grid: of rotations, unless a run chooses another.
        dtype: of the network.
        compile_for: a device of this machine to compile the network for too.

    Raises:
        PetDriverError: an unknown grid or precision, or torch cannot compile the network.
    """
    if dtype not in DTYPES:
        raise PetDriverError(f"dtype {dtype!r} is not known; choose from {', '.join(DTYPES)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.jit.script(source.build(DTYPES[dtype]))
    made_for = {} if compile_for is None else conditions(check_device(compile_for))
    module = ArchiveModule(network, source, grid, dtype, list(made_for.values()))
    try:
        module.grid(grid)
    except ValueError as error:
        raise PetDriverError(str(error)) from None
    metadata = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "symbols": module.symbols,
        "atomic_numbers": module.atomic_numbers,
        "cutoff": module.cutoff,
        "interaction_range": module.interaction_range,
        "dtype": dtype,
        "default_grid": grid,
        "length_unit": "angstrom",
        "energy_unit": "eV",
        "hypers": source.hypers.to_dict(),
        "scale": source.scale,
        "composition": dict(zip(module.symbols, source.composition, strict=True)),
        **_repulsion_metadata(source, module.symbols),
        "provenance": source.provenance,
        "parameters": sum(p.numel() for p in module.network.parameters()),
        "weights_sha256": weights_checksum(network.state_dict()),
        **({"compiled": made_for} if made_for else {}),
    }
    extra: dict[str, str | bytes] = {METADATA_FILE: json.dumps(metadata, indent=1)}
    if compile_for is not None:
        network = source.build(DTYPES[dtype])
        extra[PACKAGE_FILE] = compile_network(network, torch.device(compile_for))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = io.BytesIO()  # torch, writing to a disk that is full, ends the process
        torch.jit.save(torch.jit.script(module.eval()), content, _extra_files=extra)
    write_atomically(path, content.getbuffer())


def _repulsion_metadata(source: Source, symbols: list[str]) -> dict[str, dict[str, float]]:
    """Covalent radii (A) of the repulsion; nothing where there is none."""
    if source.zbl_radii is None:
        return {}
    return {"zbl_radii": dict(zip(symbols, source.zbl_radii, strict=True))}


def weights_checksum(weights: dict[str, torch.Tensor]) -> str:
    """SHA-256 over names and bytes of the weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of an archive, read without loading the model."""
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
