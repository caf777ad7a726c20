"""Start a training with the weights of an archive instead of random ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols

from pet_driver.checkpoints.metatrain import network_names
from pet_driver.checkpoints.source import Source
from pet_driver.errors import PetDriverError
from pet_driver.model.archive import Archive
from pet_driver.model.shipped import resolve
from pet_driver.network import Hypers
from training.frames import Split
from training.record import read_record
from training.settings import Settings


@dataclass(frozen=True)
class Start:
    """Initial weights of a training.

    Attributes:
        archive: archive with the weights; ``None``: random weights.
        checksum: of these weights.
        on_record: whether the frames that they were trained on are known; these are never among
            the held-out frames.
        seen: indices of these frames, by the SHA-256 of their file.
    """

    archive: Path | None = None
    checksum: str = ""
    on_record: bool = True
    seen: dict[str, list[int]] = field(default_factory=dict)


def weights_to_start_with(
    settings: Settings, species: list[int], splits: Mapping[str, Split]
) -> Start:
    """Find and check the archive that a configuration starts from.

    Args:
        settings: the configuration.
        species: atomic numbers of the data, ascending.
        splits: splits of the data, by set.

    Raises:
        PetDriverError: the archive is missing, has another network or other elements, or was
            trained on frames that are to be held out.
    """
    if not settings.start:
        return Start()
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
    seen = _frames_seen(path)
    _check_held_out(path, seen or {}, splits)
    return Start(path, metadata["weights_sha256"], seen is not None, seen or {})


def _frames_seen(archive: Path) -> dict[str, list[int]] | None:
    """Return the frames that an archive and its initial weights were trained on.

    Indices by the SHA-256 of the file; ``None`` if they are not recorded.
    """
    path = archive.with_suffix(".json")
    if not path.is_file():
        return None
    record = read_record(path)
    if not record.start_on_record or (record.start and not record.seen_before):
        return None
    seen = {checksum: set(frames) for checksum, frames in record.seen_before.items()}
    for entry in record.split.values():
        if isinstance(entry["train"], int):  # the number is recorded, the indices are not
            return None
        seen.setdefault(entry["sha256"], set()).update(entry["train"])
    return {checksum: sorted(frames) for checksum, frames in seen.items()}


def _check_held_out(
    archive: Path, seen: Mapping[str, list[int]], splits: Mapping[str, Split]
) -> None:
    """Check that an archive was not trained on frames that are to be held out.

    Raises:
        PetDriverError: it was.
    """
    for name, split in splits.items():
        one = split.as_dict()
        if both := set(seen.get(one["sha256"], [])) & set(one["held_out"]):
            raise PetDriverError(
                f"start: {archive} was trained on {len(both)} of the frames of {name} that are to "
                "be held out, and their errors would tell nothing; take its seed, and the names "
                "and numbers of its sets"
            )


def begin_with(source: Source, model: Any) -> None:
    """Copy the weights of ``source`` into a metatrain PET, whose targets are not scaled.

    With several targets, the heads of all begin with the same weights.
    """
    state = model.state_dict()
    with torch.no_grad():
        for target in model.target_names:
            for ours, theirs in network_names(state, target).items():
                is_last = ours.rpartition(".")[0].endswith("_last")
                state[theirs].copy_(source.weights[ours] * (source.scale if is_last else 1.0))
