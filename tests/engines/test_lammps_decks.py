"""The LAMMPS decks of inputs/ run as they stand in a clone, shortened by their own variables."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SHORTENED = {
    "ice-relaxation/in.ice": ("steps", "3"),
    "water-large-lammps/in.water": ("replicate", "1", "steps", "4"),
    "water-liquid-npt/in.water": ("steps", "20"),
    "water-liquid-nvt/in.water": ("equilibrate", "4", "steps", "4"),
}


def run(deck: Path, *variables: str, ranks: int = 1) -> str:
    """The output of a deck, run by the command of its README."""
    pairs = zip(variables[::2], variables[1::2], strict=True)
    options = [word for name, value in pairs for word in ("-var", name, value)]
    command = [sys.executable, "-m", "pet_driver", "lammps", "run", "--ranks", str(ranks)]
    done = subprocess.run(
        [*command, "-in", deck.name, *options],
        cwd=deck.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_deck_is_forgotten() -> None:
    decks = {path.relative_to(ROOT / "inputs").as_posix() for path in ROOT.glob("inputs/*/in.*")}
    assert decks == set(SHORTENED)


@pytest.mark.parametrize("name", SHORTENED)
def test_deck(tmp_path: Path, name: str) -> None:
    shutil.copytree(ROOT / "inputs", tmp_path / "inputs")
    deck = tmp_path / "inputs" / name
    output = run(deck, *SHORTENED[name])
    assert "Total wall time" in output
    assert list(deck.parent.glob("*.final.data")) or list(deck.parent.glob("*.relaxed.data"))
    if name == "ice-relaxation/in.ice":
        first, _, last = re.search(
            r"Energy initial, next-to-last, final =\s+(\S+)\s+(\S+)\s+(\S+)", output
        ).groups()
        assert float(last) < float(first)


def test_a_large_run_goes_on_after_its_time_limit(tmp_path: Path) -> None:
    """Two ranks; the deck writes a restart file every few steps here, and ends at the same step."""
    shutil.copytree(ROOT / "inputs", tmp_path / "inputs")
    deck = tmp_path / "inputs" / "water-large-lammps" / "in.water"
    deck.write_text(deck.read_text().replace("restart       500 ", "restart       2 "))
    run(deck, "replicate", "1", "steps", "4", ranks=2)
    output = run(deck, "replicate", "1", "steps", "6", "restart", "water_restart_2", ranks=2)
    assert re.search(r"^\s+4 .*\n(.*\n)*?\s+6 ", output, re.MULTILINE), output
