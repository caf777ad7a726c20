"""Bad input to `pair_style pet` stops LAMMPS with one error that names it and the remedy."""

import io
import zipfile
from pathlib import Path

import pytest
import torch

from .lammps_deck import launch, water_box, write_structure

DECK = """
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
    process = launch(folder, DECK.format(**values), ranks)
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
    "overlapping atoms": (
        {"arguments": "water-small", "after": "set group all x 1.0 y 1.0 z 1.0"},
        "not finite",
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


def test_one_error_on_several_ranks(tmp_path: Path) -> None:
    output = error_of(tmp_path, ranks=2, arguments="nowhere.pt")
    assert output.count("ERROR: pair_style pet: there is no archive 'nowhere.pt'") == 1


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
    "truncated archive": (_truncated, "the file is damaged or not a TorchScript archive"),
    "another zip file": (_zip, "the file is damaged or not a TorchScript archive"),
    "another module": (_other_module, "is a TorchScript file, but not an archive of pet-driver"),
}


@pytest.mark.parametrize("case", FILES)
def test_file(case: str, tmp_path: Path, archive_f32: Path) -> None:
    make, text = FILES[case]
    make(tmp_path / "bad.pt", archive_f32)
    output = error_of(tmp_path, arguments="bad.pt")
    assert text in output
    assert "bad.pt" in output
