"""Read, check and split frames, and prepare them for metatrain."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers

from pet_driver.errors import PetDriverError
from pet_driver.neighbors.structure import Structure
from training.settings import DataSet, Settings

INDICES = "split.json"
OWN = Path(__file__).parents[1] / "data"  # data files in the repository
# Plausible energies relative to isolated atoms (eV/atom); a value outside means that frames and
# isolated atoms are on different energy scales.
BINDING = (-20.0, 5.0)


@dataclass(frozen=True)
class Split:
    """A set of frames and its split into training and held-out frames.

    Attributes:
        file: name of the file in the folder of data.
        sha256: checksum of that file.
        frames: all of them, in the order of the file.
        train: indices of training frames; a smaller number takes the first of these.
        held_out: indices of the frames that are never trained on, ascending.
    """

    file: str
    sha256: str
    frames: list[Atoms]
    train: list[int]
    held_out: list[int]

    def select(self, which: str) -> list[Atoms]:
        """Return the frames of ``train`` or ``held_out``."""
        return [self.frames[index] for index in getattr(self, which)]

    def as_dict(self) -> dict[str, object]:
        """Return file, checksum and indices, for JSON."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "train": self.train,
            "held_out": self.held_out,
        }


def split_all(settings: Settings, folder: Path) -> dict[str, Split]:
    """Read and split every set of a configuration.

    The split of a set depends on the seed, the name of the set and its number of frames, not on the
    other sets. A smaller training set is a subset of a larger one, with the same held-out frames.

    Raises:
        PetDriverError: a file is missing or broken, or has too few frames.
    """
    splits = {}
    for name, entry in settings.data.items():
        path = find_file(folder, entry.file)
        frames = read_frames(path)
        limit = settings.frames if name == settings.first else None
        train, held_out = split_indices(len(frames), entry, settings.seed, name, path, limit)
        splits[name] = Split(entry.file, checksum(path), frames, train, held_out)
    return splits


def find_file(folder: Path, name: str) -> Path:
    """Return the path of a data file in ``folder`` or, if it is not there, in the repository."""
    return OWN / name if not (folder / name).is_file() and (OWN / name).is_file() else folder / name


def split_indices(
    n_frames: int, entry: DataSet, seed: int, name: str, path: Path, limit: int | None = None
) -> tuple[list[int], list[int]]:
    """Return the indices of training frames and of held-out frames.

    Raises:
        PetDriverError: there are too few frames.
    """
    wanted = (1 if entry.train is None else entry.train) + entry.held_out
    if n_frames < wanted:
        raise PetDriverError(
            f"{path} holds {n_frames} frames, and the set {name} asks for {wanted} (train + "
            "held_out); lower one of them in the configuration"
        )
    order = np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(n_frames).tolist()
    held_out, rest = sorted(order[: entry.held_out]), order[entry.held_out :]
    train = rest[: entry.train]
    if limit is not None and limit > len(train):
        raise PetDriverError(
            f"{limit} frames of {name} were asked for, and {len(train)} are there to train on"
        )
    return train[:limit], held_out


def read_frames(path: Path) -> list[Atoms]:
    """Read all frames of a file, each with energy (eV) and forces (eV/A).

    Constraints are removed: with them ASE returns zero for the forces on fixed atoms, which a
    potential must learn.

    Raises:
        PetDriverError: naming the file, the frame and what is wrong with it.
    """
    if not path.is_file():
        raise PetDriverError(f"there is no file {path}; name the folder that holds it with --data")
    try:
        frames = ase.io.read(path, ":")
    except Exception as error:
        raise PetDriverError(f"ASE cannot read {path}: {error}") from None
    for index, atoms in enumerate(frames):
        atoms.set_constraint()
        try:
            Structure.from_ase(atoms).check()
            values = [atoms.get_potential_energy(), *atoms.get_forces().ravel()]
        except (RuntimeError, PropertyNotImplementedError):
            raise PetDriverError(
                f"frame {index} of {path} has no energy or no forces; extended XYZ has them as "
                "energy=... and a column forces:R:3"
            ) from None
        except PetDriverError as error:
            raise PetDriverError(f"frame {index} of {path}: {error}") from None
        if not np.isfinite(values).all():
            raise PetDriverError(
                f"frame {index} of {path} has an energy or a force that is not finite; remove it"
            )
    return frames


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_split(splits: Mapping[str, Split], seed: int, folder: Path) -> None:
    """Write the frames of each part as extended XYZ, and the indices as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {"seed": seed, "sets": {name: split.as_dict() for name, split in splits.items()}}
    (folder / INDICES).write_text(json.dumps(entries, indent=1) + "\n")
    for name, split in splits.items():
        for part in ("train", "held_out"):
            if frames := split.select(part):
                ase.io.write(folder / f"{name}-{part}.xyz", frames, format="extxyz")


def elements(splits: Mapping[str, Split]) -> list[int]:
    """Return the atomic numbers in all frames, ascending."""
    return sorted({int(z) for split in splits.values() for f in split.frames for z in f.numbers})


def mean_energy(frames: Sequence[Atoms]) -> float:
    """Return the mean over frames of the energy per atom, eV."""
    return float(np.mean([f.get_potential_energy() / len(f) for f in frames]))


def baselines(settings: Settings, splits: Mapping[str, Split]) -> dict[int, float]:
    """Return the energy by atomic number (eV) that is subtracted before training and added later.

    It is the energy of the isolated atom plus the mean binding energy per atom of the first set.
    The network then learns a small remainder, and the difference between elements, which frames
    of a single stoichiometry do not determine, is the physical one. If the configuration has no
    energies of isolated atoms, the values are fitted to the frames of all stages; metatrain would
    use those of the first stage only.

    Raises:
        PetDriverError: an element without an energy, energies on another scale than the frames,
            or frames that cannot tell elements apart.
    """
    found = elements(splits)
    energies = {atomic_numbers[symbol]: e for symbol, e in settings.atomic_energies.items()}
    if not energies:
        return _fitted([f for n in settings.own for f in splits[n].select("train")], found)
    if missing := [z for z in found if z not in energies]:
        raise PetDriverError(
            f"'atomic_energies' has no energy for atomic number {', '.join(map(str, missing))}; "
            "give it in the configuration"
        )
    binding = [
        (f.get_potential_energy() - sum(energies[z] for z in f.numbers)) / len(f)
        for f in splits[settings.first].select("train")
    ]
    mean = float(np.mean(binding))
    if not BINDING[0] < mean < BINDING[1]:
        raise PetDriverError(
            f"the frames of {settings.first} lie {mean:.1f} eV/atom from the isolated atoms of "
            "'atomic_energies', and matter is bound by some eV: the two are not on one scale; give "
            "energies of atoms by the code and the pseudopotentials of the frames, or "
            "'atomic_energies: null' and 'isolated_atoms: 0' to have them fitted"
        )
    return {z: energies[z] + mean for z in found}


def _fitted(frames: Sequence[Atoms], found: Sequence[int]) -> dict[int, float]:
    """Fit energies of elements (eV) to the energies per atom of frames by least squares."""
    shares = np.array([[np.mean(f.numbers == z) for z in found] for f in frames])
    if np.linalg.matrix_rank(shares) < len(found):
        raise PetDriverError(
            f"all frames have their {len(found)} elements in one proportion, so that they do "
            "not tell the energy of each; give 'atomic_energies' in the configuration"
        )
    an_atom = [f.get_potential_energy() / len(f) for f in frames]
    return dict(zip(found, np.linalg.lstsq(shares, an_atom, rcond=None)[0].tolist(), strict=True))


def training_frames(
    settings: Settings, splits: Mapping[str, Split], names: Sequence[str], part: str
) -> list[Atoms]:
    """Return the frames of one part of several sets, prepared for metatrain.

    Energies of shifted sets are moved by a constant, and repeated sets appear several times.
    Training frames include isolated atoms of the elements in the data, from which the network
    learns the energy of an atom without neighbours.
    """
    target = mean_energy(splits[settings.first].select("train"))
    result = []
    for name in names:
        frames = splits[name].select(part)
        entry = settings.data[name]
        shift = target - mean_energy(splits[name].select("train")) if entry.shift else 0.0
        copies = entry.repeat if part == "train" else 1
        result += [prepared(f, shift) for f in frames for _ in range(copies)]
    if part == "train":
        present = elements(splits)
        result += [
            prepared(single_atom(symbol, energy))
            for symbol, energy in settings.atomic_energies.items()
            if atomic_numbers[symbol] in present
            for _ in range(settings.isolated_atoms)
        ]
    return result


def single_atom(symbol: str, energy: float) -> Atoms:
    """Return one atom with its energy (eV) and zero force."""
    atoms = Atoms(symbol)
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.zeros((1, 3)))
    return atoms


def prepared(frame: Atoms, shift: float = 0.0) -> Atoms:
    """Return a copy with only what metatrain reads; ``shift`` (eV/atom) is added to the energy."""
    atoms = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)
    if not frame.pbc.any():
        atoms.set_cell(None)  # metatrain refuses a cell of a structure that is not periodic
    energy = frame.get_potential_energy() + shift * len(frame)
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=frame.get_forces())
    return atoms
