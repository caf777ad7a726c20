"""i-PI's inputs: reading them, changing them, and taking them up where a run stopped."""

from __future__ import annotations

import copy
import hashlib
import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from pet_driver import models
from pet_driver.engines.ipi import shim_path
from pet_driver.errors import PetDriverError
from pet_driver.runs.settings import Settings, default_grid
from pet_driver.symmetry.grid_names import draws, parse_grid_name

DEFAULT_PREFIX = "i-pi"  # i-PI's own
RESUMED = "resumed.xml"
SOCKETS = "/tmp/ipi_"  # where i-PI makes its Unix sockets
SECOND_CHECKPOINT = "chk2"


@dataclass
class IPIDeck:
    """An input of i-PI whose force fields are PET inside i-PI's process.

    Attributes:
        path: where it was read from.
        root: the ``<simulation>``.
    """

    path: Path
    root: ElementTree.Element

    @property
    def prefix(self) -> str:
        return self.root.find("output").get("prefix", DEFAULT_PREFIX).strip()

    @property
    def total_steps(self) -> int:
        text = self.root.findtext("total_steps", "1000").strip()
        try:
            return int(text)
        except ValueError:
            raise PetDriverError(
                f"{self.path}: <total_steps> is {text!r}; write a whole number, without a point "
                "or an exponent"
            ) from None

    @property
    def properties(self) -> str:
        """i-PI's property file."""
        name = self.root.find("output/properties").get("filename", "out").strip()
        return f"{self.prefix}.{name}"

    @property
    def outputs(self) -> list[str]:
        """Patterns of the names of the files that i-PI adds to as it goes on."""
        patterns = [self.properties]
        for trajectory in self.root.findall("output/trajectory"):
            name = f"{self.prefix}.{trajectory.get('filename', 'traj').strip()}"
            patterns += [name + end for end in ("", ".*", "_[0-9]*")]
        return patterns

    @property
    def force_fields(self) -> list[ElementTree.Element]:
        """The ``<ffdirect>`` elements that hold a PET."""
        return [field for field in self.root.findall("ffdirect") if is_pet(field)]

    @property
    def model(self) -> str:
        return parameters(self.force_fields[0])["model"]

    @property
    def start(self) -> Path:
        """The structure, or the frames, that the run starts from; for a checkpoint the template."""
        file = self.root.find(".//initialize/file")
        if file.get("mode", "").strip() == "chk":
            return self.path.parent / parameters(self.force_fields[0])["template"]
        return self.path.parent / file.text.strip()


def read_deck(path: Path) -> IPIDeck:
    """Read an input of i-PI.

    Raises:
        PetDriverError: the file is missing, not an input of i-PI, or has no PET in an
            ``<ffdirect>``.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise PetDriverError(f"there is no deck at {path}") from None
    except ElementTree.ParseError as error:
        raise PetDriverError(f"{path} is not a well-formed input of i-PI: {error}") from None
    deck = IPIDeck(path, root)
    if root.tag != "simulation" or root.find("output/properties") is None:
        raise PetDriverError(f"{path}: no <simulation> with an <output> and its <properties>")
    if not deck.force_fields:
        raise PetDriverError(
            f"{path}: no <ffdirect> whose <pes_path> is {shim_path().name}; a deck with "
            "<ffsocket> is run by hand, or give one with <ffdirect> and ask for --clients"
        )
    if root.find(".//initialize/file") is None:
        raise PetDriverError(f"{path}: no <file> in <initialize>")
    return deck


def is_pet(field: ElementTree.Element) -> bool:
    """Whether a force field is this package's in-process potential."""
    return Path(field.findtext("pes_path", "").strip()).name == shim_path().name


def parameters(field: ElementTree.Element) -> dict[str, str]:
    """The ``<parameters>`` of a force field, split as i-PI does."""
    text = field.findtext("parameters", "").strip().strip("{}")
    pairs = (word.partition(":") for word in text.split(",") if word.strip())
    return {key.strip(): value.strip() for key, _, value in pairs}


def changed(deck: IPIDeck, settings: Settings) -> IPIDeck:
    """The deck with its settings made and its paths absolute.

    Raises:
        PetDriverError: a setting that means nothing here.
    """
    if settings.variables or settings.ranks > 1:
        raise PetDriverError(f"{deck.path} is a deck of i-PI: variables and ranks are for LAMMPS")
    deck = IPIDeck(deck.path, copy.deepcopy(deck.root))
    _make_paths_absolute(deck)
    if settings.steps is not None:
        _child(deck.root, "total_steps").text = f" {settings.steps} "
    if settings.seed is not None:
        _child(_child(deck.root, "prng"), "seed").text = f" {settings.seed} "
    if settings.structure is not None:
        _change_structure(deck, settings.structure)
    _change_models(deck, settings)
    _add_checkpoint(deck)
    return deck


def _child(parent: ElementTree.Element, tag: str) -> ElementTree.Element:
    found = parent.find(tag)
    return ElementTree.SubElement(parent, tag) if found is None else found


def write(root: ElementTree.Element, path: Path) -> None:
    path.write_bytes(ElementTree.tostring(root) + b"\n")


def _make_paths_absolute(deck: IPIDeck) -> None:
    """Also those that the deck gives relative to its own folder, where i-PI will not be."""
    here = deck.path.parent
    for element in deck.root.iter():
        name = (element.text or "").strip()
        if name and len(name.split()) == 1 and (here / name).is_file():
            element.text = f" {(here / name).resolve()} "
    for field in deck.force_fields:
        field.find("pes_path").text = f" {shim_path()} "
        found = parameters(field)
        if (here / found.get("template", "")).is_file():
            found["template"] = str((here / found["template"]).resolve())
        for name in ("model", "template"):
            if name not in found:
                raise PetDriverError(
                    f"{deck.path}: no {name} among the <parameters>: {{{name}: ...}}"
                )
        found["model"] = models.beside(found["model"], here)
        _set_parameters(field, found)


def grid(values: dict[str, str]) -> str:
    """What a force field with these parameters averages over."""
    return values.get("grid") or default_grid(values["model"])


def _set_parameters(field: ElementTree.Element, values: dict[str, str]) -> None:
    inside = ", ".join(f"{key}: {value}" for key, value in values.items())
    field.find("parameters").text = f" {{{inside}}} "


def _change_structure(deck: IPIDeck, structure: Path) -> None:
    if structure.suffix == ".data":
        raise PetDriverError(
            f"{structure} is a data file of LAMMPS, which i-PI does not read: give an .xyz; "
            "pet-driver build-water writes either, ASE converts"
        )
    path = str(structure.resolve())
    for where in (".//initialize/file", ".//motion/file"):  # the latter: frames of a replay
        if (file := deck.root.find(where)) is not None:
            file.text = f" {path} "
            file.set("mode", "ase")
    for field in deck.force_fields:
        _set_parameters(field, {**parameters(field), "template": path})


def _change_models(deck: IPIDeck, settings: Settings) -> None:
    fields = [(field, parameters(field)) for field in deck.force_fields]
    averaged = [found for _, found in fields if grid(found) != "0"]
    for field, found in fields:
        if settings.grid is not None and (len(fields) == 1 or found in averaged):
            found["grid"] = settings.grid
        if settings.model is not None:
            found["model"] = settings.absolute_model
        if settings.device is not None:
            found["device"] = settings.device
        _set_parameters(field, found)
    if settings.grid is not None and len(fields) > 1 and not averaged:
        raise PetDriverError(f"{deck.path}: grid {settings.grid}: none of its forces is averaged")


def _add_checkpoint(deck: IPIDeck) -> None:
    """A second checkpoint: one is whole when the other is cut short by the end of the process."""
    output = deck.root.find("output")
    first = output.find("checkpoint")
    if first is None:
        stride = max(1, deck.total_steps // 20)
        first = ElementTree.SubElement(
            output, "checkpoint", filename="chk", stride=str(stride), overwrite="True"
        )
    ElementTree.SubElement(output, "checkpoint", {**first.attrib, "filename": SECOND_CHECKPOINT})


def resume(deck: IPIDeck, folder: Path, total_steps: int) -> int | None:
    """Write an input that goes on from the latest whole checkpoint in ``folder``.

    Returns:
        The step it goes on from, or None if there is no checkpoint with steps left to do.
    """
    found = []
    for path in [folder / "RESTART", *folder.glob(f"{deck.prefix}.chk*")]:
        try:
            root = ElementTree.parse(path).getroot()
        except (FileNotFoundError, ElementTree.ParseError):
            continue
        output = root.find("output")
        if output is None or output.get("prefix", DEFAULT_PREFIX).strip() != deck.prefix:
            continue  # of another run
        # One of the last step without a RESTART may be ahead of the other files.
        if (step := int(root.findtext("step", "0"))) < total_steps:
            found.append((step, root))
    if not found:
        return None
    step, root = max(found, key=lambda entry: entry[0])
    # A checkpoint leaves out whatever is i-PI's default.
    _child(root, "total_steps").text = str(total_steps)
    for planned in deck.force_fields:
        # The checkpoint has a socket instead if the last leg had clients.
        name = planned.get("name")
        place, old = next((k, e) for k, e in enumerate(root) if e.get("name") == name)
        field = copy.deepcopy(planned)
        root.remove(old)
        root.insert(place, field)
        found = parameters(field)
        # i-PI does not keep the counter of random rotations: it follows from the step.
        name_of_grid = grid(found)
        if parse_grid_name(name_of_grid).random:
            drawn = draws_an_evaluation(root, field, name_of_grid)
            counts = step * evaluations_a_step(root, name) * drawn
            found["counter"] = str(int(found.get("counter", "0")) + counts)
            _set_parameters(field, found)
    write(root, folder / RESUMED)
    return step


def evaluations_a_step(root: ElementTree.Element, name: str) -> int:
    """How often a force field is asked in one step: more than once where time steps are nested."""
    nested = [int(n) for n in re.findall(r"\d+", root.findtext(".//dynamics/nmts", "1"))]
    weights = next(
        (
            [float(w) for w in re.findall(r"[-+.\deE]+", force.findtext("mts_weights", ""))]
            for force in root.findall("system/forces/force")
            if force.get("forcefield") == name
        ),
        [],
    )
    deepest = max((level for level, weight in enumerate(weights) if weight), default=0)
    count = 1
    for n in nested[: deepest + 1]:
        count *= n
    return count


def draws_an_evaluation(root: ElementTree.Element, field: ElementTree.Element, name: str) -> int:
    """By how much the counter of random rotations moves when all beads are evaluated once."""
    asked = structures_of(root, field.get("name"))
    size = int(field.findtext("batch_size", "1"))
    return -(-asked // size) * draws(name, size)


def structures_of(root: ElementTree.Element, name: str) -> int:
    """How many structures, beads of all systems, a force field is asked for at once."""
    asked = 0
    for system in root.findall("system"):
        # An input to start from has the number in one place, a checkpoint in another.
        beads = [int(e.get("nbeads", "0")) for e in system if e.tag in ("initialize", "beads")]
        for force in system.findall("forces/force"):
            if force.get("forcefield") == name:
                asked += int(force.get("nbeads", "0")) or max(beads, default=0)
    return asked


def with_clients(path: Path, folder: Path, clients: int) -> list[list[list[str]]]:
    """Turn the in-process potentials of an input into sockets; clients share beads and replicas.

    Args:
        path: the input, which is written anew.
        folder: of the run; it gives the sockets names of their own.
        clients: by force field.

    Returns:
        The commands that start the clients, by force field.
    """
    root = ElementTree.parse(path).getroot()
    commands = []
    for number, field in enumerate([f for f in root.findall("ffdirect") if is_pet(f)]):
        digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
        address = f"pet-driver-{digest}-{number}"
        found = parameters(field)
        field.tag = "ffsocket"
        field.set("mode", "unix")
        for tag in ("pes", "pes_path", "parameters"):
            field.remove(field.find(tag))
        _share_batches(root, field, clients)
        # A killed i-PI leaves it, in the way of the next; the folder's lock tells that none lives.
        Path(SOCKETS + address).unlink(missing_ok=True)
        ElementTree.SubElement(field, "address").text = address
        commands.append([])
        for client in range(clients):
            device = found.get("device", "cpu")
            if device == "cuda" and clients > 1:
                device = f"cuda:{client}"
            commands[-1].append(_client({**found, "device": device}, address))
    write(root, path)
    return commands


def _share_batches(root: ElementTree.Element, field: ElementTree.Element, clients: int) -> None:
    """i-PI hands out batches: one that holds all beads would leave the other clients idle."""
    asked = structures_of(root, field.get("name"))
    size = field.find("batch_size")
    if size is not None and asked:
        size.text = f" {min(int(size.text), -(-asked // clients))} "


def _client(found: dict[str, str], address: str) -> list[str]:
    words = [sys.executable, "-m", "pet_driver", "ipi", found["model"], "-u", "-a", address]
    words += ["-t", found["template"], "--timeout", "600"]
    for key in ("device", "grid", "counter", "warn", "stop", "max_edges"):
        if key in found:
            words += [f"--{key.replace('_', '-')}", found[key]]
    if found.get("periodic", "True").lower() == "false":
        words.append("--non-periodic")
    return words
