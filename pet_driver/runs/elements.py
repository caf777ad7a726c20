"""Compare the elements that a model gets with those of the structure that a run starts from.

Neither i-PI's socket nor LAMMPS' atom types say which elements the atoms are, so that a wrong
template or a wrong order in `pair_coeff` would give wrong forces without an error.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from pet_driver.common.labels import MASSES, element_of
from pet_driver.engines.ipi.potential import read_numbers
from pet_driver.errors import PetDriverError
from pet_driver.runs.ipi_input import IPIInput, name_of, parameters, required

SAME_MASS = 0.03  # amu; a mass that is closer to that of an element is the mass of this element
_PAIR_COEFF = re.compile(r"^[ \t]*pair_coeff[ \t]+\*[ \t]+\*[ \t]+(?:pet[ \t]+)?([^#\n]+)", re.M)
_PAIR_STYLE = re.compile(r"^[ \t]*pair_style\b(?:.*&\n)*.*", re.M)
_READ_DATA = re.compile(r"\bread_data[ \t]+([^\s\"']+)")
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_NEXT_SECTION = re.compile(r"^[ \t]*[A-Za-z]", re.M)


def check_templates(simulation_input: IPIInput, numbers: np.ndarray) -> None:
    """Check that the templates of all force fields have the elements that i-PI starts from.

    Args:
        simulation_input: input file with the settings applied.
        numbers: atomic numbers [N] of ``simulation_input.start``.

    Raises:
        PetDriverError: a template has other elements, or another number of atoms.
    """
    start = simulation_input.start
    file = required(simulation_input.root, ".//initialize/file")
    if file.get("mode", "").strip() == "chk":
        start = simulation_input.path.parent / (file.text or "").strip()
        found = _names_in_checkpoint(start)
        if found is None:
            return
        numbers = found
    for field in simulation_input.force_fields:
        template = simulation_input.path.parent / parameters(field)["template"]
        if template == start:
            continue
        given = read_numbers(template)
        if len(given) != len(numbers):
            raise PetDriverError(
                f"the template {template} of the force field {name_of(field)} has {len(given)} "
                f"atoms, but {start}, from which i-PI starts, {len(numbers)}: name the structure "
                "that i-PI starts from as template"
            )
        different = np.flatnonzero(given != numbers)
        if len(different):
            atom = int(different[0])
            raise PetDriverError(
                f"atom {atom} (counted from 0) is {chemical_symbols[given[atom]]} in the template "
                f"{template} of the force field {name_of(field)}, but "
                f"{chemical_symbols[numbers[atom]]} in {start}, from which i-PI starts "
                f"({len(different)} atoms differ): name the structure that i-PI starts from as "
                "template"
            )


def _names_in_checkpoint(path: Path) -> np.ndarray | None:
    """Return the atomic numbers in a checkpoint of i-PI; None if they cannot be told."""
    try:
        text = ElementTree.parse(path).getroot().findtext(".//beads/names", "")
    except (OSError, ElementTree.ParseError):
        return None  # i-PI reports it
    elements = [element_of(name) for name in re.findall(r"[^\s,\[\]]+", text)]
    if not elements or not all(element in atomic_numbers for element in elements):
        return None
    return np.array([atomic_numbers[element] for element in elements])


def check_types(path: Path, text: str) -> None:
    """Check that `pair_coeff` names the elements of the data file, as its masses or labels say.

    With the option `masses free` of `pair_style pet` nothing is checked.

    Args:
        path: input file of LAMMPS.
        text: its text, with the values of variables.

    Raises:
        PetDriverError: the label of an atom type is another element, or its mass is that of
            another element. Isotopes are recognised as their elements.
    """
    data = _READ_DATA.search(text)
    is_free = any(re.search(r"\bmasses\s+free\b", style) for style in _PAIR_STYLE.findall(text))
    if is_free or data is None or not (file := path.parent / data[1]).is_file():
        return
    # Coefficients of other styles are not elements alone.
    coefficients = [line.replace("&", " ").split() for line in _PAIR_COEFF.findall(text)]
    known = {*atomic_numbers, "NULL"}
    lists = [elements for elements in coefficients if known.issuperset(elements)]
    for elements, (what, kind, element) in product(lists, _elements_in_data(file)):
        given = elements[kind - 1] if kind <= len(elements) else "NULL"
        if given not in ("NULL", element) and not _has_mass(what, given):
            raise PetDriverError(
                f"atom type {kind} of {file} has the {what}, which is {element}, but pair_coeff of "
                f"{path} names {given} for it: give a structure of these elements, or name them in "
                "the order of its atom types; add 'masses free' to pair_style pet if you mean it"
            )


def _has_mass(what: str, element: str) -> bool:
    """Return whether ``what`` is a mass that is also that of ``element``."""
    name, value = what.split(maxsplit=1)
    return name == "mass" and abs(float(value) - MASSES.get(element, 0.0)) < SAME_MASS


def _elements_in_data(path: Path) -> Iterator[tuple[str, int, str]]:
    """Yield a label or a mass, the atom type, and its element, where a data file says it."""
    text = path.read_text(errors="replace")
    for kind, label in _section(text, "Atom Type Labels"):
        if label in MASSES:
            yield f"label {label}", int(kind), element_of(label)
    for kind, word in _section(text, "Masses"):
        if not (kind.isdigit() and _NUMBER.fullmatch(word)):
            continue  # LAMMPS reports what is no number; labels of types are read above
        mass = float(word)
        nearest = min(MASSES, key=lambda name: abs(MASSES[name] - mass))
        if abs(MASSES[nearest] - mass) < SAME_MASS:
            yield f"mass {word}", int(kind), element_of(nearest)


def _section(text: str, title: str) -> list[tuple[str, str]]:
    """Return the first two words of each line of a section of a data file."""
    begin = re.search(rf"^[ \t]*{title}[ \t]*(?:#.*)?$", text, re.M)
    if begin is None:
        return []
    section = _NEXT_SECTION.split(text[begin.end() :], maxsplit=1)[0]
    lines = [line.partition("#")[0].split() for line in section.splitlines()]
    return [(line[0], line[1]) for line in lines if len(line) > 1]
