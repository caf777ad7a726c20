"""Frames: read, checked, split with a seed, and written for metatrain."""

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
OWN = Path(__file__).parents[1] / "data"  # what this package has itself
# Energy of an atom in any matter less that of the isolated atom, eV: what lies beyond comes from
# two scales of energies.
BINDING = (-20.0, 5.0)


@dataclass(frozen=True)
class Split:
    """One set of frames, split.

    Attributes:
        file: name of the file in the folder of data.
        sha256: of that file.
        frames: all of them, in the order of the file.
        train: indices of those to train on, in the order in which a smaller number is taken.
        held_out: indices of those that no weight depends on, ascending.
    """

    file: str
    sha256: str
    frames: list[Atoms]
    train: list[int]
    held_out: list[int]

    def select(self, which: str) -> list[Atoms]:
        """The frames of ``train`` or ``held_out``."""
        return [self.frames[index] for index in getattr(self, which)]

    def as_dict(self) -> dict[str, object]:
        """File, checksum and indices, for JSON."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "train": self.train,
            "held_out": self.held_out,
        }


def split_all(settings: Settings, folder: Path) -> dict[str, Split]:
    """Read every set of a configuration, from a folder or from this package, and split it.

    A set's split depends on the seed, the name of the set and its number of frames, not on the
    other sets. With fewer frames to train on, those are among the ones of a larger number, and
    the frames held out are the same.

    Raises:
        PetDriverError: a missing or broken file, or one with too few frames.
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
    """A file of data: in the folder, or else this package's own."""
    return OWN / name if not (folder / name).is_file() and (OWN / name).is_file() else folder / name


def split_indices(
    n_frames: int, entry: DataSet, seed: int, name: str, path: Path, limit: int | None = None
) -> tuple[list[int], list[int]]:
    """Indices to train on and to hold out."""
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
    """All frames of a file, each with energy (eV) and forces (eV/A).

    Constraints are taken off: ASE leaves out the forces on atoms that were held fixed, and a
    potential is to learn them.

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
    """SHA-256 of a file."""
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
    """Atomic numbers in any frame, ascending."""
    return sorted({int(z) for split in splits.values() for f in split.frames for z in f.numbers})


def mean_energy(frames: Sequence[Atoms]) -> float:
    """Mean over frames of the energy an atom, eV."""
    return float(np.mean([f.get_potential_energy() / len(f) for f in frames]))


def baselines(settings: Settings, splits: Mapping[str, Split]) -> dict[int, float]:
    """Energy by atomic number (eV) that is taken off before training and added back later.

    Isolated atoms, plus the mean binding energy an atom of the first set: the network then has
    to learn what is left of the energy, which is small, and the difference between elements,
    which frames of one stoichiometry do not hold, is the physical one. Where the configuration has
    no energies of atoms, those that fit all frames best: metatrain by itself would look at the
    first stage's alone.

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
    """Energies of elements (eV) whose sums come closest to the frames' energies an atom."""
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
    """The frames of one part of several sets, ready to be written for metatrain.

    Shifted sets get their constant, repeated ones their copies, and the frames to train on the
    isolated atoms, which tell the network what an atom without neighbours is worth: those of
    elements that the data have.
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
    """One atom with its energy (eV) and no force."""
    atoms = Atoms(symbol)
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.zeros((1, 3)))
    return atoms


def prepared(frame: Atoms, shift: float = 0.0) -> Atoms:
    """A copy with nothing but what metatrain reads; ``shift`` in eV/atom."""
    atoms = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)
    if not frame.pbc.any():
        atoms.set_cell(None)  # metatrain wants no cell where nothing is periodic
    energy = frame.get_potential_energy() + shift * len(frame)
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=frame.get_forces())
    return atoms
