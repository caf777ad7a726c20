"""A training that begins with the weights of an archive, and not with random ones."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols

from pet_driver.archive import Archive
from pet_driver.checkpoints.metatrain import network_names
from pet_driver.checkpoints.source import Source
from pet_driver.errors import PetDriverError
from pet_driver.models import resolve
from pet_driver.network import Hypers
from training.options import TARGET
from training.settings import Settings


def weights_to_start_with(settings: Settings, species: list[int]) -> tuple[Path, str] | None:
    """The archive that a configuration begins with, and the checksum of its weights.

    Args:
        settings: the configuration.
        species: atomic numbers of the data, ascending.

    Raises:
        PetDriverError: there is no such archive, or it is of another network or other elements.
    """
    if not settings.start:
        return None
    path = resolve(settings.start)
    metadata = Archive.load(path).metadata
    theirs = asdict(Hypers.from_dict(metadata["hypers"]))
    ours = asdict(Hypers.from_dict(dict(settings.network)))
    if other := [f"{key}: {theirs[key]}" for key in theirs if theirs[key] != ours[key]]:
        raise PetDriverError(
            f"start: {settings.start} is another network; write under network: {', '.join(other)}"
        )
    if metadata["atomic_numbers"] != species:
        found = ", ".join(chemical_symbols[z] for z in species)
        raise PetDriverError(
            f"start: {settings.start} knows {', '.join(metadata['symbols'])}, and the data have "
            f"{found}; leave 'start' out, or begin with a model of these elements"
        )
    if ("zbl_radii" in metadata) != settings.network.get("zbl", False):
        with_or_without = "with" if "zbl_radii" in metadata else "without"
        raise PetDriverError(
            f"start: {settings.start} was trained {with_or_without} the repulsion of nuclei; write "
            f"under network: zbl: {str('zbl_radii' in metadata).lower()}"
        )
    return path, metadata["weights_sha256"]


def begin_with(source: Source, model: Any) -> None:
    """Copy the weights of ``source`` into a metatrain PET, whose targets are not scaled."""
    state = model.state_dict()
    names = network_names(state, TARGET)
    with torch.no_grad():
        for ours, theirs in names.items():
            is_last = ours.rpartition(".")[0].endswith("_last")
            state[theirs].copy_(source.weights[ours] * (source.scale if is_last else 1.0))
