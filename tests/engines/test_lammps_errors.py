"""Bad input to `pair_style pet` stops LAMMPS with one error that names it and the remedy."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from pet_driver.checkpoints import Source
from pet_driver.engines.lammps import build
from pet_driver.engines.lammps.environment import find_environment
from pet_driver.engines.lammps.launch import variables
from pet_driver.model.archive import save
from pet_driver.network import PET, Hypers

from .lammps_input import launch, water_box, write_structure

INPUT = """
units {units}
{before}
atom_style {atom_style}
read_data structure.data
{after}
pair_style pet {arguments}
pair_coeff {coefficients}
run 0
"""


def error_of(folder: Path, ranks: int = 1, **parts: str) -> str:
    """LAMMPS' output; the run must fail."""
    write_structure(folder / "structure.data", water_box(1, 3.1))
    values = {
        "units": "metal",
        "before": "",
        "atom_style": "atomic",
        "after": "",
        "coefficients": "* * O H",
    } | parts
    process = launch(folder, INPUT.format(**values), ranks)
    output = process.stdout + process.stderr
    assert process.returncode != 0, output
    assert "ERROR" in output, output
    assert "terminate called" not in output, output
    return output


SHIPPED = {
    "mistyped keyword": (
        {"arguments": "water-small gird 2i"},
        "unknown keyword 'gird': it must be one of device, grid, max_edges, threads",
    ),
    "keyword without value": ({"arguments": "water-small grid"}, "keyword grid needs a value"),
    "no archive": ({"arguments": ""}, "no archive given"),
    "unknown grid": ({"arguments": "water-small grid 7q"}, "unknown grid '7q'"),
    "unknown device": ({"arguments": "water-small device gpu"}, "unknown device 'gpu'"),
    "absent device": ({"arguments": "water-small device cuda:99"}, "device cuda:99"),
    "unknown exchange": ({"arguments": "water-small exchange x"}, "auto, on or off, not 'x'"),
    "not a number": ({"arguments": "water-small max_edges x"}, "max_edges needs a whole number"),
    "missing archive": (
        {"arguments": "nowhere.pt"},
        "there is no archive 'nowhere.pt': it is neither a file nor the name of a shipped model",
    ),
    "folder": ({"arguments": "."}, "is not a file"),
    "unknown element": (
        {"arguments": "water-small", "coefficients": "* * O Xx"},
        "unknown element Xx",
    ),
    "too few elements": (
        {"arguments": "water-small", "coefficients": "* * O"},
        "pair_coeff gives 1 element(s) for 2 atom type(s)",
    ),
    "pair by pair": (
        {"arguments": "water-small", "coefficients": "1 1 O"},
        "* *",  # LAMMPS' own error
    ),
    "wrong units": (
        {"arguments": "water-small", "units": "lj"},
        "units lj are not supported: use units metal or real",
    ),
    "newton off": ({"arguments": "water-small", "before": "newton off"}, "use `newton on`"),
    "excluded pairs": (
        {"arguments": "water-small", "after": "neigh_modify exclude type 1 1"},
        "remove `neigh_modify include` and `neigh_modify exclude`",
    ),
    "atoms excluded by a fix": (
        {"arguments": "water-small", "coefficients": "* * O H\nfix mc all gcmc 1 1 0 1 9 300 -9 0"},
        "fixes that exclude atoms, such as gcmc",
    ),
    "ghosts of a group": (
        {
            "arguments": "water-small",
            "after": "group o type 1\natom_modify first o\ncomm_modify group o",
        },
        "needs all ghosts: remove `comm_modify group`",
    ),
    "a style after the set-up": (
        {
            "arguments": "water-small",
            "coefficients": "* * O H\nrun 0\npair_style pet water-small grid i\nrun 1 pre no",
        },
        "came after the last setup: give `run` without `pre no`",
    ),
    "one model twice": (
        {"arguments": "water-small+water-small"},
        "of an ensemble are one and the same model",
    ),
    "pairs given away": (
        {
            "arguments": "water-small",
            "coefficients": "* * O H\npair_style hybrid pet water-small zero 4.0\n"
            "pair_coeff * * pet O H\npair_coeff 1 2 zero",
        },
        "a later pair_coeff gives some of them to another style",
    ),
    "overlapping atoms": (
        {"arguments": "water-small", "after": "set group all x 1.0 y 1.0 z 1.0"},
        "energy or forces are not finite in step 0: atoms may overlap",
    ),
    "an atom that is nowhere": (  # between two neighbour lists, which LAMMPS checks itself
        {
            "arguments": "water-small",
            "coefficients": "* * O H\nvariable far atom exp(1000)\nvariable none atom v_far-v_far\n"
            "fix push all addforce v_none 0 0\nfix move all nve\nrun 3",
        },
        "positions are not finite in step 1",
    ),
    "strained atoms in the same cell": (
        {
            "arguments": "water-small",
            "coefficients": "* * O H\nfix strain all numdiff/virial 1 1e-6",
        },
        "take the virial from compute pressure, and strain with change_box",
    ),
}


@pytest.mark.parametrize("case", SHIPPED)
def test_input(case: str, tmp_path: Path) -> None:
    parts, text = SHIPPED[case]
    assert text in error_of(tmp_path, **parts)


def test_unknown_element_names_the_known_ones(tmp_path: Path) -> None:
    output = error_of(tmp_path, arguments="water-small", coefficients="* * O Si")
    assert "unknown element Si" in output
    assert "knows H, O" in output


@pytest.mark.parametrize("keywords", ["grid ecse", "kernels off"])
def test_exchange_that_cannot_be(
    keywords: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if keywords == "kernels off":
        monkeypatch.setenv("PET_DRIVER_KERNELS", "off")
        keywords = ""
    output = error_of(tmp_path, ranks=2, arguments=f"water-small {keywords} exchange on")
    assert "exchange on needs the kernels" in output and "use exchange auto" in output


def test_another_archive_for_the_same_types(tmp_path: Path) -> None:
    """Elements stay as they are when pair_style is given again, and must be known to it."""
    hypers = Hypers(cutoff=3.5, d_pet=8, d_head=8, d_node=8, d_feedforward=8, num_heads=2)
    weights = PET(hypers, 2).state_dict()
    save(Source(hypers, weights, [6, 14], 1.0, [0.0, 0.0]), tmp_path / "carbon.pt")
    again = "* * O H\npair_style pet carbon.pt"
    output = error_of(tmp_path, arguments="water-small", coefficients=again)
    assert "unknown element O: carbon.pt knows C, Si" in output


SESSION = r"""
import sys
from lammps import lammps
engine = lammps(cmdargs=["-log", "none", "-screen", "none"])
engine.commands_string("units metal\nread_data structure.data")
for command in sys.argv[1:]:
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
        ("there is no archive 'nowhere.pt'", "has no archive: give pair_style again"),
    ),
    "no elements": (
        ("pair_style pet water-small", "pair_coeff * * O Xx", "run 0"),
        ("unknown element Xx", "has no elements: give pair_coeff again"),
    ),
    "a keyword that is none": (
        (*USED, "pair_style pet water-small gird 2i", "run 0"),
        ("unknown keyword 'gird'", "has no archive: give pair_style again"),
    ),
}


@pytest.mark.parametrize("case", SESSIONS)
def test_a_session_that_goes_on_after_an_error(case: str, tmp_path: Path) -> None:
    """In a notebook, LAMMPS lives on: what was refused must not leave half of itself."""
    commands, errors = SESSIONS[case]
    write_structure(tmp_path / "structure.data", water_box(1, 3.1))
    build()
    done = subprocess.run(
        [sys.executable, "-c", SESSION, *commands],
        cwd=tmp_path,
        env=variables(find_environment()),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for error in errors:
        assert f"pair_style pet {error}" in done.stdout or f"pair_style pet: {error}" in done.stdout
    assert "energy -4" in done.stdout


def test_one_error_on_several_ranks(tmp_path: Path) -> None:
    output = error_of(tmp_path, ranks=2, arguments="nowhere.pt")
    assert output.count("ERROR: pair_style pet: there is no archive 'nowhere.pt'") == 1


def test_an_error_of_a_step_on_several_ranks(tmp_path: Path) -> None:
    """The launcher kills a job that a rank aborts, and with it what is not yet on the screen."""
    parts, text = SHIPPED["an atom that is nowhere"]
    for _ in range(4):
        assert error_of(tmp_path, ranks=2, **parts).count(f"ERROR: pair_style pet: {text}") == 1


DOUBTFUL = {
    "swapped elements": (
        {"coefficients": "* * H O"},
        ["type 1 of mass 15.999 is H by pair_coeff", "type 2 of mass 1.008 is O"],
    ),
    "a minimizer on a random surface": (
        {"arguments": "water-small grid random", "run": "minimize 0 1 1 1"},
        ["a minimizer stops early where random rotations"],
    ),
    "deuterium": ({"run": "mass 2 2.014\nrun 0"}, []),
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_warnings(case: str, tmp_path: Path) -> None:
    write_structure(tmp_path / "structure.data", water_box(1, 5.0))
    parts, texts = DOUBTFUL[case]
    values = {"units": "metal", "before": "", "after": "", "atom_style": "atomic", "run": "run 0"}
    values |= {"arguments": "water-small", "coefficients": "* * O H"} | parts
    process = launch(tmp_path, INPUT.replace("run 0", "{run}").format(**values))
    assert process.returncode == 0, process.stdout
    assert all(text in process.stdout for text in texts)
    assert process.stdout.count("WARNING: pair_style pet") == len(texts)


def _text(path: Path, archive: Path) -> None:
    path.write_text("a text\n")


def _truncated(path: Path, archive: Path) -> None:
    content = archive.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _zip(path: Path, archive: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("a/b", "c")
    path.write_bytes(content.getvalue())


def _other_module(path: Path, archive: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))


FILES = {
    "text file": (_text, "is not a TorchScript archive"),
    "empty file": (lambda path, archive: path.write_bytes(b""), "is not a TorchScript archive"),
    "truncated archive": (
        _truncated,
        "is not an archive of pet-driver, or is damaged: export",
    ),
    "another zip file": (_zip, "is not an archive of pet-driver, or is damaged: export"),
    "another module": (_other_module, "is a TorchScript file, but not an archive of pet-driver"),
}


@pytest.mark.parametrize("case", FILES)
def test_file(case: str, tmp_path: Path, archive_f32: Path) -> None:
    make, text = FILES[case]
    make(tmp_path / "bad.pt", archive_f32)
    output = error_of(tmp_path, arguments="bad.pt")
    assert text in output
    assert "bad.pt" in output
