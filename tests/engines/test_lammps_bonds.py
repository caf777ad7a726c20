"""No pair of bonded atoms is missing in the energy of `pair_style pet`, or LAMMPS stops."""

from pathlib import Path

import pytest
from ase import Atoms

import pet_driver

from .lammps_input import Reply, launch, run_session, water_box

INPUT = """
units metal
{first}
atom_style {atom_style}
bond_style zero
read_data {data}
bond_coeff 1
{before}
{style}
{commands}
compute pet all pair pet
thermo_style custom step pe c_pet
fix hold all setforce 0 0 0
{run}
print "PET $(c_pet:%.12e)"
"""
REFUSED = "needs the pairs of bonded atoms, which LAMMPS leaves out"
EXCLUDED = "remove `neigh_modify include` and `neigh_modify exclude`"
CREATE = "fix make all bond/create 1 1 2 1.2 1 iparam 2 1 jparam 1 2"
NO_BONDS = {"data": "full.data"}
OF_TEMPLATE = {
    "first": "molecule water water.mol",
    "atom_style": "template water",
    "data": "template.data",
}

# Commands that make, remove or weight bonds, and what comes of them: an error, or "" for the
# energy of all pairs.  The default of special_bonds leaves out all pairs of bonded atoms.
COMMANDS = {
    "bonds": ({}, REFUSED),
    "special_bonds 1": ({"before": "special_bonds lj/coul 1 1 1"}, ""),
    "special_bonds 1e-50": ({"before": "special_bonds lj/coul 1e-50 1e-50 1e-50"}, ""),
    "special_bonds with charges": ({"before": "special_bonds lj 0 0 0 coul 1 1 1"}, ""),
    "special_bonds without 1-2": ({"before": "special_bonds lj/coul 0 1 1"}, REFUSED),
    "special_bonds without 1-3": ({"before": "special_bonds lj/coul 1 0 1"}, REFUSED),
    "special_bonds without 1-4": ({"before": "special_bonds lj/coul 1 1 0"}, ""),  # water has none
    "special_bonds after pair_style": ({"commands": "special_bonds lj/coul 1 1 1"}, ""),
    "special_bonds between runs": (
        {
            "before": "special_bonds lj/coul 1 1 1",
            "run": "run 0\nspecial_bonds lj/coul 0 0 0\nrun 0",
        },
        REFUSED,
    ),
    "delete_bonds": ({"before": "delete_bonds all multi any"}, REFUSED),
    "delete_bonds remove": ({"before": "delete_bonds all multi remove"}, REFUSED),
    "delete_bonds of a type, remove": ({"before": "delete_bonds all bond 1 remove"}, REFUSED),
    "delete_bonds remove special": ({"before": "delete_bonds all multi remove special"}, ""),
    "delete_bonds remove special of one bond": (
        {"before": "group oh id 1 2\ndelete_bonds oh multi remove special"},
        REFUSED,
    ),
    "delete_bonds between runs": (
        {
            "before": "special_bonds lj/coul 1 1 1",
            "run": "run 0\nspecial_bonds lj/coul 0 0 0\ndelete_bonds all multi remove\nrun 0",
        },
        REFUSED,
    ),
    "delete_bonds before special_bonds, which builds new lists": (
        {
            "before": "special_bonds lj/coul 1 1 1",
            "run": "run 0\ndelete_bonds all multi remove\nspecial_bonds lj/coul 0 0 0\nrun 0",
        },
        "",
    ),
    "create_bonds single": (NO_BONDS | {"before": "create_bonds single/bond 1 1 2"}, REFUSED),
    "create_bonds many": (NO_BONDS | {"commands": "create_bonds many all all 1 0.8 1.2"}, REFUSED),
    "create_bonds after pair_style": (
        NO_BONDS | {"commands": "create_bonds single/bond 1 1 2"},
        REFUSED,
    ),
    "create_bonds without special list": (
        NO_BONDS | {"before": "create_bonds single/bond 1 1 2 special no"},
        "",
    ),
    "fix bond/create": (NO_BONDS | {"commands": CREATE, "run": "run 3"}, REFUSED),
    "fix bond/create with special_bonds 1": (
        NO_BONDS | {"before": "special_bonds lj/coul 1 1 1", "commands": CREATE, "run": "run 3"},
        "",
    ),
    "fix bond/break": ({"commands": "fix cut all bond/break 1 1 0.5", "run": "run 3"}, REFUSED),
    "fix bond/break with special_bonds 1": (
        {
            "before": "special_bonds lj/coul 1 1 1",
            "commands": "fix cut all bond/break 1 1 0.5",
            "run": "run 3\nspecial_bonds lj/coul 0 0 0\nrun 0",
        },
        "",
    ),
    "read_data add": (
        {
            "data": "empty.data extra/special/per/atom 4",
            "before": "read_data bonded.data add append",
        },
        REFUSED,
    ),
    "atom_style full without bonds": (NO_BONDS, ""),
    "atom_style bond": ({"atom_style": "bond", "data": "bond.data"}, ""),
    "atom_style molecular": ({"atom_style": "molecular", "data": "molecular.data"}, ""),
    "atom_style template": (OF_TEMPLATE, REFUSED),
    "atom_style template with special_bonds 1": (
        OF_TEMPLATE | {"before": "special_bonds lj/coul 1 1 1"},
        "",
    ),
    "neigh_modify exclude molecule/intra": (
        {"before": "neigh_modify exclude molecule/intra all"},
        EXCLUDED,
    ),
    "neigh_modify exclude group": (
        NO_BONDS | {"before": "group h type 2\nneigh_modify exclude group h h"},
        EXCLUDED,
    ),
}


def write_data(path: Path, atoms: Atoms, style: str, *, bonds: bool) -> None:
    """Write molecules of water as a LAMMPS data file, with room for bonds."""
    number = 2 * len(atoms) // 3 if bonds else 0
    lines = ["water", "", f"{len(atoms)} atoms", f"{number} bonds", "2 atom types"]
    lines += ["1 bond types", "2 extra bond per atom", "4 extra special per atom", ""]
    lines += [f"0 {atoms.cell[k, k]} {axis}lo {axis}hi" for k, axis in enumerate("xyz")]
    lines += ["", "Masses", "", "1 15.999", "2 1.008", ""]
    if len(atoms):
        lines += [f"Atoms # {style}", ""]
    for k, (x, y, z) in enumerate(atoms.positions):
        kind = 1 if k % 3 == 0 else 2
        columns = {
            "full": f"{k // 3 + 1} {kind} {-0.8 if kind == 1 else 0.4}",
            "template": f"{k // 3 + 1} 1 {k % 3 + 1} {kind}",
        }
        own = columns.get(style, f"{k // 3 + 1} {kind}")
        lines.append(f"{k + 1} {own} {x:.16e} {y:.16e} {z:.16e}")
    if bonds:
        lines += ["", "Bonds", ""]
        ends = [(k + 1, k + j) for k in range(0, len(atoms), 3) for j in (2, 3)]
        lines += [f"{n} 1 {a} {b}" for n, (a, b) in enumerate(ends, 1)]
    path.write_text("\n".join(lines) + "\n")


def write_input(archive: Path, **parts: str) -> str:
    """Return an input file with some parts replaced."""
    values = {"first": "", "atom_style": "full", "data": "bonded.data", "before": ""}
    values |= {"style": "pair_style pet {archive} device cpu\npair_coeff * * O H"}
    values |= {"commands": "", "run": "run 0"} | parts
    return INPUT.format(**(values | {"style": values["style"].format(archive=archive)}))


def energy(output: str) -> float:
    return float(output.split("\nPET ")[1].split()[0])


# LAMMPS keeps pairs of weight zero if a long-range electrostatic style needs them.
ELECTROSTATICS = """
pair_style hybrid/overlay pet {archive} device cpu coul/long 5.0
pair_coeff * * pet O H
pair_coeff * * coul/long
kspace_style pppm 1e-3
"""
# PET has no pairs with atoms that it ignores.
IGNORED = """
pair_style hybrid pet {archive} device cpu zero 5.0
pair_coeff * * pet O NULL
pair_coeff 1 2 zero
pair_coeff 2 2 zero
"""
STYLES = {
    "electrostatics": ({"style": ELECTROSTATICS, "data": "box.data"}, water_box(2, 6.2)),
    "bonds to ignored atoms": ({"style": IGNORED}, water_box(1, 5.0)[:1]),
}

TEMPLATE = """water

3 atoms
2 bonds

Types

1 1
2 2
3 2

Bonds

1 1 1 2
2 1 1 3

Special Bond Counts

1 2 0 0
2 1 1 0
3 1 1 0

Special Bonds

1 2 3
2 1 3
3 1 2
"""


@pytest.fixture(scope="module")
def replies(tmp_path_factory: pytest.TempPathFactory, archive_f64: Path) -> dict[str, Reply]:
    """The replies of one LAMMPS process to all commands, for one molecule."""
    folder = tmp_path_factory.mktemp("session")
    atoms = water_box(1, 5.0)
    write_data(folder / "bonded.data", atoms, "full", bonds=True)
    write_data(folder / "box.data", water_box(2, 6.2), "full", bonds=True)
    write_data(folder / "empty.data", atoms[:0], "full", bonds=False)
    (folder / "water.mol").write_text(TEMPLATE)
    for style in ("full", "bond", "molecular", "template"):
        write_data(folder / f"{style}.data", atoms, style, bonds=False)
    inputs = {
        case: write_input(archive_f64, **parts) for case, (parts, _) in (COMMANDS | STYLES).items()
    }
    return run_session(folder, inputs)


@pytest.mark.parametrize("case", COMMANDS)
def test_command(case: str, replies: dict[str, Reply], model_f64: pet_driver.Model) -> None:
    error, reply = COMMANDS[case][1], replies[case]
    if error:
        assert error in reply.error
        return
    assert not reply.error
    expected = model_f64.evaluate(water_box(1, 5.0)).energy
    assert energy(reply.output) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("case", STYLES)
def test_other_styles(case: str, replies: dict[str, Reply], model_f64: pet_driver.Model) -> None:
    reply, expected = replies[case], model_f64.evaluate(STYLES[case][1]).energy
    assert not reply.error
    assert energy(reply.output) == pytest.approx(expected, abs=1e-8)


def test_all_ranks_stop_at_a_bond_of_one(tmp_path: Path) -> None:
    """Only one of two ranks has atoms, and their first bonds appear during the run."""
    atoms = water_box(1, 5.0)
    atoms.set_cell([20.0, 5.0, 5.0])
    write_data(tmp_path / "full.data", atoms, "full", bonds=False)
    parts = NO_BONDS | {"commands": CREATE, "run": "run 3"}
    process = launch(tmp_path, write_input(Path("water-small"), **parts), ranks=2)
    assert process.returncode != 0
    assert (process.stdout + process.stderr).count(REFUSED) == 1
