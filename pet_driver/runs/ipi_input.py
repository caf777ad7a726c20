"""i-PI's inputs: reading them, and changing them."""

from __future__ import annotations

import copy
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from pet_driver.engines.ipi import PARAMETERS, shim_path
from pet_driver.errors import PetDriverError
from pet_driver.model import shipped
from pet_driver.runs.settings import Settings, default_grid

DEFAULT_PREFIX = "i-pi"  # i-PI's own
SECOND_CHECKPOINT = "chk2"


@dataclass
class IPIInput:
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

    def file(self, name: str) -> str:
        """What i-PI calls an output of this name."""
        return f"{self.prefix}.{name.strip()}" if self.prefix else name.strip()

    @property
    def properties(self) -> str:
        """i-PI's first property file."""
        return self.file(self.root.find("output/properties").get("filename", "out"))

    @property
    def outputs(self) -> list[str]:
        """Patterns of the names of the files that i-PI adds to as it goes on."""
        tables = self.root.findall("output/properties")
        patterns = [self.file(table.get("filename", "out")) for table in tables]
        for trajectory in self.root.findall("output/trajectory"):
            name = self.file(trajectory.get("filename", "traj"))
            patterns += [name + end for end in ("", ".*", "_[0-9]*")]
        return patterns

    @property
    def force_fields(self) -> list[ElementTree.Element]:
        """The ``<ffdirect>`` elements that hold a PET."""
        return [field for field in self.root.findall("ffdirect") if is_pet(field)]

    @property
    def models(self) -> list[str]:
        """Of its force fields, each once."""
        return list(dict.fromkeys(parameters(field)["model"] for field in self.force_fields))

    @property
    def start(self) -> Path:
        """The structure, or the frames, that the run starts from; for a checkpoint the template."""
        file = self.root.find(".//initialize/file")
        if file.get("mode", "").strip() == "chk":
            return self.path.parent / parameters(self.force_fields[0])["template"]
        return self.path.parent / file.text.strip()


def read_input(path: Path) -> IPIInput:
    """Read an input of i-PI.

    Raises:
        PetDriverError: the file is missing, not an input of i-PI, or has no PET in an
            ``<ffdirect>``.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise PetDriverError(f"there is no input file at {path}") from None
    except ElementTree.ParseError as error:
        raise PetDriverError(f"{path} is not a well-formed input of i-PI: {error}") from None
    input_file = IPIInput(path, root)
    if root.tag != "simulation" or root.find("output/properties") is None:
        raise PetDriverError(f"{path}: no <simulation> with an <output> and its <properties>")
    if not input_file.force_fields:
        raise PetDriverError(
            f"{path}: no <ffdirect> whose <pes_path> is {shim_path().name}; an input file with "
            "<ffsocket> is run by hand, or give one with <ffdirect> and ask for --clients"
        )
    if root.find(".//initialize/file") is None:
        raise PetDriverError(f"{path}: no <file> in <initialize>")
    if len(root.findall("system")) != 1 or root.find("system_template") is not None:
        raise PetDriverError(
            f"{path}: pet-driver run follows input files of one <system>; run this one by hand with i-pi"
        )
    if "step" not in re.split(r"[\s\[\],]+", root.findtext("output/properties") or ""):
        raise PetDriverError(
            f"{path}: its first <properties> have no step, by which a run is followed; add it: "
            "[ step, ... ]"
        )
    return input_file


def is_pet(field: ElementTree.Element) -> bool:
    """Whether a force field is this package's in-process potential."""
    return Path(field.findtext("pes_path", "").strip()).name == shim_path().name


def parameters(field: ElementTree.Element) -> dict[str, str]:
    """The ``<parameters>`` of a force field, split as i-PI does."""
    text = field.findtext("parameters", "").strip().strip("{}")
    pairs = (word.partition(":") for word in text.split(",") if word.strip())
    return {key.strip(): value.strip() for key, _, value in pairs}


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


def changed(input_file: IPIInput, settings: Settings) -> IPIInput:
    """The input file with its settings made and its paths absolute.

    Raises:
        PetDriverError: a setting that means nothing here.
    """
    if settings.variables or settings.ranks > 1:
        raise PetDriverError(
            f"{input_file.path} is an input file of i-PI: variables and ranks are for LAMMPS"
        )
    input_file = IPIInput(input_file.path, copy.deepcopy(input_file.root))
    _make_paths_absolute(input_file)
    if settings.steps is not None:
        child(input_file.root, "total_steps").text = f" {settings.steps} "
    if settings.seed is not None:
        child(child(input_file.root, "prng"), "seed").text = f" {settings.seed} "
    if settings.structure is not None:
        _change_structure(input_file, settings.structure)
    _change_models(input_file, settings)
    for field in input_file.force_fields:
        _fit_batch(input_file.root, field)
    _add_checkpoint(input_file)
    return input_file


def child(parent: ElementTree.Element, tag: str) -> ElementTree.Element:
    found = parent.find(tag)
    return ElementTree.SubElement(parent, tag) if found is None else found


def write(root: ElementTree.Element, path: Path) -> None:
    path.write_bytes(ElementTree.tostring(root) + b"\n")


def _make_paths_absolute(input_file: IPIInput) -> None:
    """Also those that the input file gives relative to its own folder, where i-PI will not be."""
    here = input_file.path.parent
    for element in input_file.root.iter():
        name = (element.text or "").strip()
        is_name = element.tag == "file" or len(name.split()) == 1
        if name and is_name and (here / name).is_file():
            element.text = f" {(here / name).resolve()} "
    for field in input_file.force_fields:
        field.find("pes_path").text = f" {shim_path()} "
        found = parameters(field)
        if (here / found.get("template", "")).is_file():
            found["template"] = str((here / found["template"]).resolve())
        if unknown := sorted(set(found) - set(PARAMETERS)):
            raise PetDriverError(
                f"{input_file.path}: unknown {', '.join(unknown)} among the <parameters>; they are "
                f"{', '.join(PARAMETERS)}"
            )
        for name in ("model", "template"):
            if name not in found:
                raise PetDriverError(
                    f"{input_file.path}: no {name} among the <parameters>: {{{name}: ...}}"
                )
        found["model"] = shipped.resolve_relative_to(found["model"], here)
        set_parameters(field, found)


def grid(values: dict[str, str]) -> str:
    """What a force field with these parameters averages over."""
    return values.get("grid") or default_grid(values["model"])


def set_parameters(field: ElementTree.Element, values: dict[str, str]) -> None:
    inside = ", ".join(f"{key}: {value}" for key, value in values.items())
    field.find("parameters").text = f" {{{inside}}} "


def _change_structure(input_file: IPIInput, structure: Path) -> None:
    if structure.suffix == ".data":
        raise PetDriverError(
            f"{structure} is a data file of LAMMPS, which i-PI does not read: give an .xyz; "
            "pet-driver build-water writes either, ASE converts"
        )
    path = str(structure.resolve())
    for where in (".//initialize/file", ".//motion/file"):  # the latter: frames of a replay
        if (file := input_file.root.find(where)) is not None:
            file.text = f" {path} "
            file.set("mode", "ase")
    for field in input_file.force_fields:
        set_parameters(field, {**parameters(field), "template": path})


def _change_models(input_file: IPIInput, settings: Settings) -> None:
    if settings.model is not None and len(input_file.models) > 1:
        raise PetDriverError(
            f"{input_file.path}: model {settings.model}: its force fields have {', '.join(input_file.models)}; "
            "change them in a copy of the input file"
        )
    fields = [(field, parameters(field)) for field in input_file.force_fields]
    averaged = [found for _, found in fields if grid(found) != "0"]
    for field, found in fields:
        if settings.grid is not None and (len(fields) == 1 or found in averaged):
            found["grid"] = settings.grid
        if settings.model is not None:
            found["model"] = settings.absolute_model
        if settings.device is not None:
            found["device"] = settings.device
        set_parameters(field, found)
    if settings.grid is not None and len(fields) > 1 and not averaged:
        raise PetDriverError(
            f"{input_file.path}: grid {settings.grid}: none of its forces is averaged"
        )


def _fit_batch(root: ElementTree.Element, field: ElementTree.Element) -> None:
    """i-PI hands out whole batches: where some structures are left over, it waits for ever."""
    size, asked = field.find("batch_size"), structures_of(root, field.get("name"))
    if size is None or not asked:
        return
    largest = min(int(size.text), asked)
    size.text = f" {next(n for n in range(largest, 0, -1) if asked % n == 0)} "


def _add_checkpoint(input_file: IPIInput) -> None:
    """A second checkpoint: one is whole when the other is cut short by the end of the process.

    With a stride of its own: i-PI writes files of one step at the same time.
    """
    output = input_file.root.find("output")
    first = output.find("checkpoint")
    if first is None:
        stride = max(1, input_file.total_steps // 20)
        first = ElementTree.SubElement(
            output, "checkpoint", filename="chk", stride=str(stride), overwrite="True"
        )
    stride = str(int(first.get("stride", "1")) + 1)
    second = {**first.attrib, "filename": SECOND_CHECKPOINT, "stride": stride}
    ElementTree.SubElement(output, "checkpoint", second)
