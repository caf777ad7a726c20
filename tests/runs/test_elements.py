"""Elements of templates and of pair_coeff that differ from those of the starting structure."""

import re
from pathlib import Path

import pytest
from ase import Atoms
from ase.io import read, write

from pet_driver.errors import PetDriverError
from pet_driver.runs import Settings, execute
from pet_driver.runs.elements import check_types
from pet_driver.runs.execute import read_segment
from tests.runs.conftest import edit

NACL = (
    "2 atoms\n2 atom types\n\n0 9 xlo xhi\n0 9 ylo yhi\n0 9 zlo zhi\n\n{sections}\nAtoms # atomic\n"
)
MASSES = "Masses\n\n1 {} # a comment\n2 {}\n"
INPUT = "read_data start.data\npair_style pet water-small{options}\npair_coeff * * {elements}\n"


@pytest.mark.parametrize("numbers", [[1, 8, 1], [8, 1], [8, 1, 1, 1]])
def test_template_with_other_elements_is_an_error(
    molecule_input: Path, tmp_path: Path, numbers: list[int]
) -> None:
    write(
        molecule_input.parent / "other.xyz",
        Atoms(numbers, [[k, 0, 0] for k in range(len(numbers))]),
    )
    edit(molecule_input, ("template: water.xyz", "template: other.xyz"))
    with pytest.raises(PetDriverError) as caught:
        execute(molecule_input, tmp_path / "run", Settings(steps=4))
    assert "other.xyz" in str(caught.value) and "water.xyz" in str(caught.value)
    if len(numbers) == 3:
        assert "atom 0 (counted from 0) is H in the template" in str(caught.value)
        assert "but O in" in str(caught.value) and "(2 atoms differ)" in str(caught.value)
    assert not list((tmp_path / "run").glob("*.xml"))


def test_template_is_compared_with_a_checkpoint(molecule_input: Path, finished: Path) -> None:
    checkpoint = (finished / "RESTART").read_text()
    (molecule_input.parent / "start").write_text(checkpoint)
    edit(molecule_input, ('<file mode="ase"> water.xyz', '<file mode="chk"> start'))
    segment = read_segment(molecule_input, finished, Settings())
    segment.describe()
    names = re.search(r"<names[^>]*>[^<]*", checkpoint)[0]
    (molecule_input.parent / "start").write_text(
        checkpoint.replace(names, names.replace("H", "?").replace("O", "H").replace("?", "O"))
    )
    with pytest.raises(PetDriverError, match=r"is O in the template .* but H in .*start"):
        segment.describe()


def sections(first: str, second: str, labels: str = "") -> str:
    """Return the sections Masses and Atom Type Labels of a data file."""
    words = labels.split()
    lines = "".join(f"{kind} {word}\n" for kind, word in enumerate(words, 1))
    return MASSES.format(first, second) + (f"\nAtom Type Labels\n\n{lines}" if words else "")


@pytest.mark.parametrize(
    ("elements", "data", "words"),
    [
        ("O H", sections("22.98977", "35.453"), "type 1 .* mass 22.98977, which is Na, .* names O"),
        ("O H", sections("22.99", "35.45"), "type 1 .* mass 22.99, which is Na, .* names O"),
        ("H O", sections("15.999", "1.008"), "type 1 .* mass 15.999, which is O, .* names H"),
        ("O H", sections("15.999", "35.453"), "type 2 .* mass 35.453, which is Cl, .* names H"),
        ("O O", sections("15.999", "3.016"), "type 2 .* mass 3.016, which is H, .* names O"),
        ("O H", sections("15.999", "1.008", "O Cl"), "type 2 .* label Cl, which is Cl, .* names H"),
        ("O H", sections("1", "1", "O H"), "type 1 .* mass 1, which is H, .* names O"),
        ("O H", sections("15.999", "1.008"), ""),
        ("O H # a comment", sections("16", "1"), ""),
        ("O H", sections("17.999", "2.014"), ""),
        ("O H", sections("16.999", "3.016", "O T"), ""),
        ("O H", sections("11.967", "3.024"), ""),  # repartitioned masses
        ("O H", sections("15.999", "1.008", "OW HW"), ""),
        ("O NULL", sections("15.999", "35.453"), ""),
        ("${first} H", sections("22.99", "1.008"), ""),
        ("O H", "", ""),
    ],
)
def test_elements_of_pair_coeff(tmp_path: Path, elements: str, data: str, words: str) -> None:
    (tmp_path / "start.data").write_text(NACL.format(sections=data))
    check_types(tmp_path / "in.water", INPUT.format(options=" masses free", elements=elements))
    text = INPUT.format(options="", elements=elements)
    if not words:
        check_types(tmp_path / "in.water", text)
        return
    with pytest.raises(PetDriverError, match=words):
        check_types(tmp_path / "in.water", text)


def test_structure_of_other_elements_is_an_error_in_lammps(
    liquid_input: Path, tmp_path: Path
) -> None:
    atoms = read(liquid_input.parent / "water.data", format="lammps-data")
    atoms.numbers = [{8: 11, 1: 17}[number] for number in atoms.numbers]
    atoms.set_masses("defaults")
    write(tmp_path / "nacl.data", atoms, format="lammps-data", masses=True)
    with pytest.raises(PetDriverError, match=r"nacl.data has the mass .* pair_coeff of .*in.water"):
        execute(liquid_input, tmp_path / "run", Settings(1, structure=tmp_path / "nacl.data"))
