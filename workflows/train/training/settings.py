"""Read and check the configuration of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml
from ase.data import atomic_numbers

from pet_driver.errors import PetDriverError
from pet_driver.model.shipped import resolve_relative_to
from pet_driver.network import Hypers

OPTIMIZERS = ("adam", "soap")
OTHER_HYPERS = ("zbl",)  # hyper-parameters of metatrain that are not of the network itself


@dataclass(frozen=True)
class DataSet:
    """One data file and its split.

    Attributes:
        file: name in the data folder; any format that ASE reads, with energies and forces.
        train: number of training frames; ``None``: all that are not held out; 0: none, the set
            is only for measuring errors.
        held_out: number of frames that are never trained on.
        repeat: number of times a frame appears in an epoch, each time under another rotation.
        shift: shift the energies by a constant per atom to the mean of the first set, for frames
            of another functional; trained together with other sets, they have their own heads.
    """

    file: str
    train: int | None = None
    held_out: int = 0
    repeat: int = 1
    shift: bool = False


@dataclass(frozen=True)
class Stage:
    """One run of metatrain; each stage begins with the weights of the previous one.

    Attributes:
        epochs: number of passes over its frames.
        learning_rate: after the warm-up; it then falls to zero along a cosine.
        data: names of its sets; empty: all that are not shifted.
        warmup: fraction of the steps in which the learning rate rises from zero.
        energy_weight: weight in the loss of the squared error of the energy per atom (eV^2).
        forces_weight: weight of the squared error of force components (eV^2/A^2).
        huber_delta: eV/A; larger errors of force components count linearly instead of squared
            (Huber loss, 2 delta |x| - delta^2); 0: all are squared.
        batch_atoms: largest number of atoms of a batch.
        optimizer: ``adam``, or ``soap``, which needs fewer steps.
        checkpoint_epochs: epochs between checkpoints, the most that a kill can lose.
        training: further settings of metatrain's trainer, by metatrain's names.
    """

    epochs: int
    learning_rate: float
    data: tuple[str, ...] = ()
    warmup: float = 0.03
    energy_weight: float = 0.1
    forces_weight: float = 1.0
    huber_delta: float = 0.0
    batch_atoms: int = 1100
    optimizer: str = "adam"
    checkpoint_epochs: int = 10
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """Configuration of a training.

    Attributes:
        name: of the model.
        about: one or two sentences on its purpose, for the card.
        sources: origin of the data, for the card.
        limits: further known limits, for the card.
        seed: of the split.
        members: number of models to train, with seeds 1, 2, ... for weights and batches.
        data: sets of frames by name; the model is mainly for the first one.
        network: metatrain's hyper-parameters of PET.
        stages: by name, in order.
        atomic_energies: energies of isolated atoms in eV by symbol, on the scale of the data.
        isolated_atoms: frames of a single atom of each element, with these energies, per epoch.
        start: archive with the initial weights: name of a shipped model, or a path relative to
            the configuration; empty: random weights.
        frames: number of training frames to take from the first set; ``None``: all.
    """

    name: str
    data: Mapping[str, DataSet]
    network: Mapping[str, Any]
    stages: Mapping[str, Stage]
    about: str = ""
    sources: str = ""
    limits: tuple[str, ...] = ()
    seed: int = 1
    members: int = 1
    atomic_energies: Mapping[str, float] = field(default_factory=dict)
    isolated_atoms: int = 0
    start: str = ""
    frames: int | None = None

    @property
    def first(self) -> str:
        """Name of the first set."""
        return next(iter(self.data))

    @property
    def own(self) -> tuple[str, ...]:
        """Names of the sets on the model's own energy scale."""
        return tuple(name for name, entry in self.data.items() if not entry.shift)

    def of_stage(self, stage: Stage) -> tuple[str, ...]:
        """Return the names of the sets that a stage trains on."""
        return stage.data or tuple(name for name in self.own if self.data[name].train != 0)

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration in plain containers, for JSON."""
        return asdict(self)


def read_settings(path: Path, frames: int | None = None) -> Settings:
    """Read and check a configuration.

    Args:
        path: YAML file; with ``base: other.yaml`` it changes the entries of that file, and
            ``null`` removes one.
        frames: overrides ``frames``; the number is appended to the name of the model.

    Raises:
        PetDriverError: naming the file, the value and what to write instead.
    """
    entries = _read(path)
    if frames is not None:
        entries["frames"] = frames
        entries["name"] = f"{entries.get('name', path.stem)}-{frames}"
    entries.setdefault("name", path.stem)
    if isinstance(entries.get("start"), str):
        entries["start"] = resolve_relative_to(entries["start"], path.parent)
    try:
        settings = _build(entries)
        _check(settings)
    except (ValueError, PetDriverError) as error:
        raise PetDriverError(f"{path}: {error}") from None
    return settings


def _read(path: Path, depth: int = 0) -> dict[str, Any]:
    """Read a YAML file and the files that it is based on."""
    try:
        entries = yaml.safe_load(path.read_text())
    except OSError:
        raise PetDriverError(f"there is no configuration at {path}") from None
    except yaml.YAMLError as error:
        raise PetDriverError(f"{path} is not YAML: {error}") from None
    if not isinstance(entries, dict):
        raise PetDriverError(f"{path} is not a mapping of settings; see quick.yaml for one")
    base = entries.pop("base", None)
    if base is None:
        return entries
    if depth > 4:
        raise PetDriverError(f"{path}: base {base} leads in a circle; name a complete file")
    below = _read(path.parent / base, depth + 1)
    below.pop("name", None)
    return _merged(below, entries)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return ``below`` with the entries of ``above``; None removes an entry."""
    merged = dict(below)
    for key, value in above.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = value
    return merged


def _build(entries: dict[str, Any]) -> Settings:
    """Make the settings from plain containers; raise ValueError for wrong entries."""
    for key in ("data", "network", "stages"):
        if not isinstance(entries.get(key), dict) or not entries[key]:
            raise ValueError(f"'{key}' is missing or empty; see quick.yaml for one")
    data = {
        name: _make(DataSet, entry, f"data: {name}: ") for name, entry in entries["data"].items()
    }
    stages = {
        name: _make(Stage, entry, f"stages: {name}: ") for name, entry in entries["stages"].items()
    }
    return _make(Settings, {**entries, "data": data, "stages": stages}, "")


def _make(kind: type, entries: Any, where: str) -> Any:
    """Make a dataclass from a mapping; raise ValueError for unknown names and wrong types."""
    if not isinstance(entries, dict):
        raise ValueError(f"{where}{entries!r} is not a mapping of settings")
    known = {f.name: f for f in fields(kind)}
    if unknown := sorted(set(entries) - set(known)):
        raise ValueError(f"{where}unknown {', '.join(unknown)}; known are {', '.join(known)}")
    required = [n for n, f in known.items() if f.default is f.default_factory is MISSING]
    if missing := [name for name in required if name not in entries]:
        raise ValueError(f"{where}{', '.join(missing)} must be given")
    return kind(
        **{
            name: _converted(known[name].type, value, where + name)
            for name, value in entries.items()
        }
    )


def _converted(kind: str, value: Any, where: str) -> Any:
    """Return a value of a field, or raise ValueError if its type is wrong."""
    if value is None and kind.endswith("None"):
        return None
    if kind.startswith("int"):
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{where} is {value!r}; write a whole number")
    elif kind == "float":
        try:
            return float(value)  # YAML reads 5e-4 as text
        except (TypeError, ValueError):
            raise ValueError(f"{where} is {value!r}; write a number") from None
    elif kind.startswith("tuple"):
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise ValueError(f"{where} is {value!r}; write a list, [a, b]")
        return tuple(value)
    elif kind == "bool" and not isinstance(value, bool):
        raise ValueError(f"{where} is {value!r}; write true or false")
    elif kind == "str" and not isinstance(value, str):
        raise ValueError(f"{where} is {value!r}; write text")
    elif kind.startswith("Mapping") and not isinstance(value, dict):
        raise ValueError(f"{where} is {value!r}; write a mapping, {{a: 1}}")
    return value


def _check_network(network: Mapping[str, Any]) -> None:
    """Raise an error if a hyper-parameter is unknown or wrong."""
    known = (*Hypers.__dataclass_fields__, *OTHER_HYPERS)
    if unknown := sorted(set(network) - set(known)):
        raise ValueError(
            f"network: {', '.join(unknown)} is not a hyper-parameter of pet-driver's network; "
            f"it has {', '.join(known)}"
        )
    if not isinstance(network.get("zbl", False), bool):
        raise ValueError(f"network: zbl is {network['zbl']!r}; write true or false")
    Hypers.from_dict(dict(network))


def _check(settings: Settings) -> None:
    """Raise ValueError if a setting is out of range or settings are inconsistent."""
    _check_network(settings.network)
    least = [("members", settings.members, 1), ("isolated_atoms", settings.isolated_atoms, 0)]
    least += [("seed", settings.seed, 0)]
    if settings.frames is not None:
        least.append(("frames", settings.frames, 1))
    for name, entry in settings.data.items():
        where = f"data: {name}: "
        if set(name) & set("./"):
            raise ValueError(f"{where}files and heads are named after a set; leave out '.' and '/'")
        least += [(where + "held_out", entry.held_out, 0), (where + "repeat", entry.repeat, 1)]
        if entry.train is not None:
            least.append((where + "train", entry.train, int(name == settings.first)))
    for name, stage in settings.stages.items():
        where = f"stages: {name}: "
        least += [(where + key, getattr(stage, key), 1) for key in ("epochs", "batch_atoms")]
        least.append((where + "checkpoint_epochs", stage.checkpoint_epochs, 1))
        if stage.optimizer not in OPTIMIZERS:
            raise ValueError(
                f"{where}optimizer is {stage.optimizer!r}; write {' or '.join(OPTIMIZERS)}"
            )
        if stage.optimizer == "soap" and stage.training.get("weight_decay"):
            raise ValueError(
                f"{where}training: weight_decay is metatrain's AdamW; write optimizer: adam with it"
            )
        if not stage.learning_rate > 0:
            raise ValueError(f"{where}learning_rate is {stage.learning_rate}; it must be positive")
        if not 0 <= stage.huber_delta < math.inf:
            raise ValueError(
                f"{where}huber_delta is {stage.huber_delta}; write eV/A, or 0 for squared errors"
            )
        if unknown := [one for one in stage.data if one not in settings.data]:
            raise ValueError(
                f"{where}data names {', '.join(unknown)}; there is {', '.join(settings.data)}"
            )
    for what, value, smallest in least:
        if value < smallest:
            raise ValueError(f"{what} is {value}; it must be at least {smallest}")
    if settings.data[settings.first].shift:
        raise ValueError(f"data: {settings.first}: the first set cannot have 'shift'")
    if not any(settings.data[name].held_out for name in settings.own):
        raise ValueError("no set has frames held out; give 'held_out' to the first one at least")
    for symbol, energy in settings.atomic_energies.items():
        if symbol not in atomic_numbers or not isinstance(energy, int | float):
            raise ValueError(f"atomic_energies: {symbol}: {energy!r}; write H: -13.6")
    if settings.isolated_atoms and not settings.atomic_energies:
        raise ValueError("isolated_atoms needs atomic_energies, the energy of each in eV")
