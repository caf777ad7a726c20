"""Read input files of i-PI and apply settings to them."""

from __future__ import annotations

import copy
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from pet_driver.building.structures import LAMMPS_DATA
from pet_driver.engines.ipi import PARAMETERS, shim_path
from pet_driver.errors import PetDriverError
from pet_driver.model import shipped
from pet_driver.runs.settings import Settings, check_models, default_grid

DEFAULT_PREFIX = "i-pi"  # default of i-PI
SECOND_CHECKPOINT = "chk2"


@dataclass
class IPIInput:
    """An i-PI input file whose force fields evaluate PET in i-PI's process.

    Attributes:
        path: path of the input file.
        root: the ``<simulation>`` element.
    """

    path: Path
    root: ElementTree.Element

    @property
    def prefix(self) -> str:
        """Prefix of the names of all output files."""
        return required(self.root, "output").get("prefix", DEFAULT_PREFIX).strip()

    @property
    def total_steps(self) -> int:
        """Total number of steps.

        Raises:
            PetDriverError: ``<total_steps>`` is not an integer.
        """
        text = self.root.findtext("total_steps", "1000").strip()
        try:
            return int(text)
        except ValueError:
            raise PetDriverError(
                f"{self.path}: <total_steps> is {text!r}; write a whole number, without a decimal "
                "point or an exponent"
            ) from None

    def output_name(self, name: str) -> str:
        """Return i-PI's name of the output file ``name``, with the prefix."""
        return f"{self.prefix}.{name.strip()}" if self.prefix else name.strip()

    @property
    def properties(self) -> str:
        """Name of the first property file."""
        return self.output_name(required(self.root, "output/properties").get("filename", "out"))

    @property
    def outputs(self) -> list[str]:
        """Patterns of the names of the files to which i-PI appends."""
        tables = self.root.findall("output/properties")
        patterns = [self.output_name(table.get("filename", "out")) for table in tables]
        for trajectory in self.root.findall("output/trajectory"):
            name = self.output_name(trajectory.get("filename", "traj"))
            patterns += [name + end for end in ("", ".*", "_[0-9]*")]
        return patterns

    @property
    def force_fields(self) -> list[ElementTree.Element]:
        """The ``<ffdirect>`` elements that evaluate PET."""
        return [field for field in self.root.findall("ffdirect") if is_pet(field)]

    @property
    def models(self) -> list[str]:
        """Models of the force fields, without repetition."""
        return list(dict.fromkeys(parameters(field)["model"] for field in self.force_fields))

    @property
    def start(self) -> Path:
        """File of the starting structure or frames; the template if the start is a checkpoint."""
        file = required(self.root, ".//initialize/file")
        if file.get("mode", "").strip() == "chk":
            return self.path.parent / parameters(self.force_fields[0])["template"]
        return self.path.parent / (file.text or "").strip()

    @property
    def start_units(self) -> tuple[str, str]:
        """Units of the positions and the cell in that file, unless it marks its own."""
        file = required(self.root, ".//initialize/file")
        return file.get("units", "automatic"), file.get("cell_units", "automatic")


def read_input(path: Path) -> IPIInput:
    """Read and check an input file of i-PI.

    Raises:
        PetDriverError: the file is missing, is not an i-PI input, has no PET in an ``<ffdirect>``,
            or cannot be run by :func:`pet_driver.runs.execute`.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise PetDriverError(f"there is no input file at {path}") from None
    except ElementTree.ParseError as error:
        raise PetDriverError(f"{path} is not a well-formed input of i-PI: {error}") from None
    simulation_input = IPIInput(path, root)
    if root.tag != "simulation" or root.find("output/properties") is None:
        raise PetDriverError(f"{path}: no <simulation> with an <output> and its <properties>")
    if not simulation_input.force_fields:
        raise PetDriverError(
            f"{path}: no <ffdirect> whose <pes_path> is {shim_path().name}. Run an input file with "
            "<ffsocket> with i-pi, or give one with <ffdirect> and use --clients"
        )
    if root.find(".//initialize/file") is None:
        raise PetDriverError(f"{path}: no <file> in <initialize>")
    if len(root.findall("system")) != 1 or root.find("system_template") is not None:
        raise PetDriverError(
            f"{path}: pet-driver run needs an input file with one <system>; run this one with i-pi"
        )
    if "step" not in re.split(r"[\s\[\],]+", root.findtext("output/properties") or ""):
        raise PetDriverError(
            f"{path}: the first <properties> do not contain the step, which pet-driver run needs; "
            "add it: [ step, ... ]"
        )
    return simulation_input


def required(parent: ElementTree.Element, path: str) -> ElementTree.Element:
    """Return an element below ``parent``.

    Raises:
        PetDriverError: there is none.
    """
    found = parent.find(path)
    if found is None:
        raise PetDriverError(f"no <{path.removeprefix('.//')}> in <{parent.tag}>")
    return found


def get_or_add(parent: ElementTree.Element, tag: str) -> ElementTree.Element:
    """Return the child element with a tag; add it if it is missing."""
    found = parent.find(tag)
    return ElementTree.SubElement(parent, tag) if found is None else found


def name_of(field: ElementTree.Element) -> str:
    """Return the name of a force field; an empty text if it has none."""
    return field.get("name", "")


def is_pet(field: ElementTree.Element) -> bool:
    """Return whether a force field is the in-process potential of this package."""
    return Path(field.findtext("pes_path", "").strip()).name == shim_path().name


def parameters(field: ElementTree.Element) -> dict[str, str]:
    """Return the ``<parameters>`` of a force field, split as i-PI does."""
    text = field.findtext("parameters", "").strip().strip("{}")
    pairs = (word.partition(":") for word in text.split(",") if word.strip())
    return {key.strip(): value.strip() for key, _, value in pairs}


def set_parameters(field: ElementTree.Element, values: dict[str, str]) -> None:
    """Replace the ``<parameters>`` of a force field."""
    inside = ", ".join(f"{key}: {value}" for key, value in values.items())
    required(field, "parameters").text = f" {{{inside}}} "


def grid_of(values: dict[str, str]) -> str:
    """Return the grid of a force field with these parameters."""
    return values.get("grid") or default_grid(values["model"])


def batch_size(field: ElementTree.Element) -> int:
    """Return the ``<batch_size>`` of a force field; 1 if it has none."""
    return int(field.findtext("batch_size", "1"))


def count_structures(root: ElementTree.Element, name: str) -> int:
    """Return how many structures (beads of all systems) a force field evaluates per step."""
    count = 0
    for system in root.findall("system"):
        # An input file gives the number in <initialize>, a checkpoint in <beads>.
        beads = [int(e.get("nbeads", "0")) for e in system if e.tag in ("initialize", "beads")]
        for force in system.findall("forces/force"):
            if force.get("forcefield") == name:
                count += int(force.get("nbeads", "0")) or max(beads, default=0)
    return count


def write_input(root: ElementTree.Element, path: Path) -> None:
    """Write an input file of i-PI."""
    path.write_bytes(ElementTree.tostring(root) + b"\n")


def apply_settings(simulation_input: IPIInput, settings: Settings) -> IPIInput:
    """Return a copy of an input file with settings applied and absolute paths.

    Raises:
        PetDriverError: a setting does not apply to this input file.
    """
    if settings.variables or settings.ranks > 1:
        raise PetDriverError(
            f"{simulation_input.path} is an input file of i-PI: variables and ranks are for LAMMPS"
        )
    changed = IPIInput(simulation_input.path, copy.deepcopy(simulation_input.root))
    _make_paths_absolute(changed)
    if settings.steps is not None:
        get_or_add(changed.root, "total_steps").text = f" {settings.steps} "
    if settings.seed is not None:
        get_or_add(get_or_add(changed.root, "prng"), "seed").text = f" {settings.seed} "
    if settings.structure is not None:
        _change_structure(changed, settings.structure)
    _change_models(changed, settings)
    for field in changed.force_fields:
        _fit_batch_size(changed.root, field)
    _add_second_checkpoint(changed)
    return changed


def _make_paths_absolute(simulation_input: IPIInput) -> None:
    """Make all paths absolute: i-PI runs in another folder than that of the input file."""
    here = simulation_input.path.parent
    for element in simulation_input.root.iter():
        name = (element.text or "").strip()
        is_name = element.tag == "file" or len(name.split()) == 1
        if name and is_name and (here / name).is_file():
            element.text = f" {(here / name).resolve()} "
    for field in simulation_input.force_fields:
        required(field, "pes_path").text = f" {shim_path()} "
        values = parameters(field)
        if (here / values.get("template", "")).is_file():
            values["template"] = str((here / values["template"]).resolve())
        if unknown := sorted(set(values) - set(PARAMETERS)):
            raise PetDriverError(
                f"{simulation_input.path}: unknown {', '.join(unknown)} among the <parameters>; "
                f"they are {', '.join(PARAMETERS)}"
            )
        for name in ("model", "template"):
            if name not in values:
                raise PetDriverError(
                    f"{simulation_input.path}: no {name} among the <parameters>: {{{name}: ...}}"
                )
        values["model"] = shipped.resolve_relative_to(values["model"], here)
        set_parameters(field, values)


def _change_structure(simulation_input: IPIInput, structure: Path) -> None:
    if structure.suffix in LAMMPS_DATA:
        raise PetDriverError(
            f"{structure} is a data file of LAMMPS, which i-PI does not read: give an .xyz file; "
            "pet-driver build-water writes both, ASE converts"
        )
    path = str(structure.resolve())
    for where in (".//initialize/file", ".//motion/file"):  # the latter: frames of a replay
        if (file := simulation_input.root.find(where)) is not None:
            file.text = f" {path} "
            file.set("mode", "ase")
    for field in simulation_input.force_fields:
        set_parameters(field, {**parameters(field), "template": path})


def _change_models(simulation_input: IPIInput, settings: Settings) -> None:
    models = simulation_input.models
    if settings.model is not None and len(models) > 1:
        raise PetDriverError(
            f"{simulation_input.path}: model {settings.model}: its force fields have "
            f"{', '.join(models)}; change them in a copy of the input file"
        )
    fields = [(field, parameters(field)) for field in simulation_input.force_fields]
    if settings.absolute_model is not None:
        for _, values in fields:
            values["model"] = settings.absolute_model
    check_models(simulation_input.path, [values["model"] for _, values in fields])
    averaged = [values for _, values in fields if grid_of(values) != "0"]
    for field, values in fields:
        if settings.grid is not None and (len(fields) == 1 or values in averaged):
            values["grid"] = settings.grid
        if settings.device is not None:
            values["device"] = settings.device
        set_parameters(field, values)
    if settings.grid is not None and len(fields) > 1 and not averaged:
        raise PetDriverError(
            f"{simulation_input.path}: grid {settings.grid}: none of its force fields is averaged"
        )


def _fit_batch_size(root: ElementTree.Element, field: ElementTree.Element) -> None:
    """Reduce the batch size to a divisor: i-PI waits forever for a batch that is not full."""
    element, count = field.find("batch_size"), count_structures(root, name_of(field))
    if element is None or not count:
        return
    largest = min(batch_size(field), count)
    element.text = f" {next(n for n in range(largest, 0, -1) if count % n == 0)} "


def _add_second_checkpoint(simulation_input: IPIInput) -> None:
    """Add a second checkpoint: if the process ends while it writes one, the other is complete.

    It has another stride, because i-PI writes all files of one step at the same time.
    """
    output = required(simulation_input.root, "output")
    first = output.find("checkpoint")
    if first is None:
        stride = str(max(1, simulation_input.total_steps // 20))
        first = ElementTree.SubElement(
            output, "checkpoint", filename="chk", stride=stride, overwrite="True"
        )
    stride = str(int(first.get("stride", "1")) + 1)
    second = {**first.attrib, "filename": SECOND_CHECKPOINT, "stride": stride}
    ElementTree.SubElement(output, "checkpoint", second)
