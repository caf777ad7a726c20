"""LAMMPS commands that move, swap, strain and balance atoms work with `pair_style pet`."""

import re
from pathlib import Path

import numpy as np
import pytest

import pet_driver

from .lammps_input import launch, water_box, write_structure

INPUT = """
units metal
atom_style {atom_style}
box tilt large
{before}
read_data structure.data
change_box all triclinic
{style}
neighbor 0.5 bin
neigh_modify every 1 delay 0 check yes
timestep 0.0002
velocity all create 600 5 loop geom
thermo_style custom step pe pxx pyy pzz pxy pxz pyz
thermo 10
{commands}
print "FIRST $(pe:%.12e) $(pxx:%.12e) $(pyy:%.12e) $(pzz:%.12e) $(pxy:%.12e) $(c_tags:%.12e)"
run 0 post no
print "AGAIN $(pe:%.12e) $(pxx:%.12e) $(pyy:%.12e) $(pzz:%.12e) $(pxy:%.12e) $(c_tags:%.12e)"
"""
PET = "pair_style pet {archive} device cpu {keywords}\npair_coeff * * O H"
# The sum of type x ID shows whether the same atoms were swapped.
TAGS = "variable tags atom type*id\ncompute tags all reduce sum v_tags\n"

MINIMIZE = """
fix relax all box/relax tri 1000 vmax 0.01
minimize 0 1e-4 15 40
unfix relax
"""
SHEAR = """
fix share all balance 3 1.0 shift xyz 5 1.05
fix shear all deform 1 xy erate 30 remap x flip yes
fix move all nve
run 30 post no
unfix shear
unfix share
run 2 post no
"""
TILED = "balance 1.05 rcb\n" + SHEAR.replace("shift xyz 5 1.05", "rcb")
RESPA = """
run_style respa 2 2 bond 1 pair 2
fix move all nve
run 10 post no
"""
SWAP = """
fix move all nve
fix swap all atom/swap 3 5 17 40000 ke no types 1 2
run 7 post no
unfix swap
"""
# Atoms change their type without a new neighbour list.
OTHER_TYPE = """
fix move all nve
run 4 post no pre no every 2 "set atom 1 type 2" "set atom 2 type 1"
"""
RERUN = """
dump frames all custom 5 frames.dump id type x y z
dump_modify frames sort id format float %.12e
fix move all nve
run 10 post no
undump frames
rerun frames.dump dump x y z
"""
CASES = {
    "box relaxation": ({"commands": MINIMIZE}, ""),
    "box relaxation, exchange off": ({"commands": MINIMIZE}, "exchange off"),
    "shear and balance": ({"commands": SHEAR}, ""),
    "tiled domains": ({"commands": TILED, "before": "comm_style tiled"}, ""),
    "r-RESPA": ({"commands": RESPA}, ""),
    "atom swaps": ({"commands": SWAP}, ""),
    "type changes": ({"commands": OTHER_TYPE}, ""),
    "type changes, exchange off": ({"commands": OTHER_TYPE}, "exchange off"),
    "rerun": ({"commands": RERUN}, ""),
    "two potentials in a hybrid": (
        {
            "style": "pair_style hybrid pet {archive} device cpu pet {archive} device cpu grid i "
            "zero 5.0\npair_coeff * * pet 1 O NULL\npair_coeff * * pet 2 NULL H\n"
            "pair_coeff 1 2 zero",
            "commands": "fix move all nve\nrun 10 post no",
        },
        "",
    ),
}


def numbers(output: str, word: str) -> np.ndarray:
    return np.array(re.search(rf"^{word} (.*)", output, re.MULTILINE)[1].split(), dtype=float)


def run(folder: Path, archive: Path, case: str, ranks: int) -> np.ndarray:
    parts, keywords = CASES[case]
    values = {"atom_style": "atomic", "before": "", "style": PET} | parts
    values["style"] = values["style"].format(archive=archive, keywords=keywords)
    values["commands"] = TAGS + values["commands"]
    process = launch(folder, INPUT.format(**values), ranks)
    output = process.stdout + process.stderr
    assert process.returncode == 0, output
    first, again = numbers(output, "FIRST"), numbers(output, "AGAIN")
    np.testing.assert_allclose(first, again, rtol=1e-9, err_msg="another setup changes the results")
    return again


@pytest.mark.parametrize("case", CASES)
def test_ranks_agree(
    case: str, tmp_path: Path, archive_f64: Path, shipped_f64: pet_driver.Model
) -> None:
    """One and two ranks give the same results, and so does a new setup after the run."""
    box = water_box(2, 6.2).repeat((2, 1, 1))
    write_structure(tmp_path / "structure.data", box)
    # Which atoms LAMMPS swaps depends on the ranks: only energies of water reject all swaps.
    archive = Path(shipped_f64.path) if case == "atom swaps" else archive_f64
    one, two = (run(tmp_path, archive, case, ranks) for ranks in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-6)


def test_type_change_takes_effect_at_once(
    tmp_path: Path, archive_f64: Path, model_f64: pet_driver.Model
) -> None:
    """The energy of the same step is that of the new element."""
    atoms = water_box(1, 5.0)
    write_structure(tmp_path / "structure.data", atoms)
    parts = {
        "atom_style": "atomic",
        "before": "",
        "style": PET.format(archive=archive_f64, keywords=""),
    }
    commands = (
        TAGS + 'fix hold all setforce 0 0 0\nrun 2 post no pre no every 1 "set atom 1 type 2"'
    )
    process = launch(tmp_path, INPUT.format(**parts, commands="run 0 post no\n" + commands))
    assert process.returncode == 0, process.stdout
    atoms.symbols[0] = "H"
    found = numbers(process.stdout, "FIRST")[0]
    assert found == pytest.approx(model_f64.evaluate(atoms).energy, abs=1e-8)
