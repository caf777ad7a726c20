"""Check command lines of the documentation without running them.

A program, option, file, extra or target that does not exist is an error; so is a program that is
not known here.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from pet_driver.cli import app

ROOT = Path(__file__).parents[2]
KEYWORDS = {"do", "done", "for", "wait"}  # of the shell


def check_script(script: str, folder: Path) -> None:
    """Check each command of a shell script that starts in ``folder``, a clone.

    Raises:
        AssertionError: a command would not work.
    """
    for words in commands_of(script):
        program, arguments = words[0], words[1:]
        if program == "cd":
            folder = folder if arguments == ["pet-driver"] else folder / arguments[0]
            assert folder.is_dir(), f"there is no folder {folder}"
            continue
        assert program in CHECKS, f"no check for the program {program}"
        CHECKS[program](arguments, folder)


def commands_of(script: str) -> list[list[str]]:
    """Split a script into commands; loops, comments and variables before a command are dropped."""
    found: list[list[str]] = []
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set(";&|"):
                found.append(command)
                command = []
            elif command or not re.fullmatch(r"[A-Z_]+=.*", word):
                command.append(word)
    found = [words[1:] if words[:1] == ["do"] else words for words in found]
    return [words for words in found if words and words[0] not in KEYWORDS]


def check_pet_driver(arguments: Sequence[str], folder: Path) -> None:
    """Parse the command line as the program does."""
    program = typer.main.get_command(app)
    _disarm(program)
    status = program.main(args=list(arguments), prog_name="pet-driver", standalone_mode=False)
    assert status in (None, 0), arguments


def _disarm(command: Any) -> None:
    """Let a command parse its arguments and do nothing."""
    if hasattr(command, "commands"):
        for child in command.commands.values():
            _disarm(child)
    else:
        command.callback = lambda **_: None


def check_make(arguments: Sequence[str], folder: Path) -> None:
    """Find targets and variables in the Makefile."""
    text = (ROOT / "Makefile").read_text()
    for word in arguments:
        name, is_variable, _ = word.partition("=")
        pattern = rf"^{name} \?=" if is_variable else rf"^{name}:"
        assert re.search(pattern, text, re.MULTILINE), f"the Makefile has no {name}"


def check_pip(arguments: Sequence[str], folder: Path) -> None:
    """Find extras in pyproject.toml, and the file of constraints."""
    assert arguments[0] in ("install", "download"), arguments
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for word in arguments:
        named = re.fullmatch(r"(\.|pet-driver)\[(.*)\]", word)
        for extra in named[2].split(",") if named else []:
            assert extra in extras, f"there is no extra {extra}"
    if "-c" in arguments:
        assert (ROOT / arguments[arguments.index("-c") + 1]).is_file()


def check_python(arguments: Sequence[str], folder: Path) -> None:
    """Find the script or module, and its options in the sources of its folder."""
    if arguments[:2] == ["-m", "venv"]:
        return
    if arguments[:2] == ["-m", "pytest"]:
        sources, arguments = ROOT / "tests", [word for word in arguments[2:] if word != "-s"]
    elif arguments[0] == "-m":
        script = ROOT / Path(*arguments[1].split(".")).with_suffix(".py")
        assert script.is_file(), f"there is no module {arguments[1]}"
        sources, arguments = script.parent, arguments[2:]
    else:
        script = folder / arguments[0]
        assert script.is_file(), f"there is no script {script}"
        sources, arguments = script.parent, arguments[1:]
    text = "".join(path.read_text() for path in sources.rglob("*.py"))
    options = [word.split("=")[0] for word in arguments if word.startswith("--")]
    for option in options:
        parameter = option.removeprefix("--").replace("-", "_")  # as Typer makes options
        known = f'"{option}"' in text or re.search(rf"^    {parameter}: ", text, re.MULTILINE)
        assert known, f"{sources} has no option {option}"
    for word in arguments:
        if word.endswith(".yaml"):
            assert (folder / word).is_file(), f"there is no configuration {word}"


def check_snakemake(arguments: Sequence[str], folder: Path) -> None:
    """Find configuration, profile and target."""
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word in ("--configfile", "--workflow-profile"):
            assert (folder / rest.pop(0)).exists(), arguments
        else:
            assert f"rule {word}:" in (folder / "Snakefile").read_text(), f"no target {word}"


def check_sbatch(arguments: Sequence[str], folder: Path) -> None:
    """Find script and input file; the rest are options of `pet-driver run`."""
    script, input_file, output, *options = [w for w in arguments if not w.startswith("--array")]
    assert (folder / script).is_file(), script
    assert (folder / input_file).is_file(), input_file
    check_pet_driver(["run", input_file, "-o", output, *options], folder)


def check_engine(arguments: Sequence[str], folder: Path) -> None:
    """Find the input file."""
    assert (folder / arguments[-1]).is_file(), f"there is no {arguments[-1]} in {folder}"


def check_words(expected: str) -> Callable[[Sequence[str], Path], None]:
    """Return a check of arguments that must match a regular expression."""

    def check(arguments: Sequence[str], folder: Path) -> None:
        assert re.fullmatch(expected, " ".join(arguments)), arguments

    return check


CHECKS: dict[str, Callable[[Sequence[str], Path], None]] = {
    "pet-driver": check_pet_driver,
    "make": check_make,
    "pip": check_pip,
    "python": check_python,
    "python3": check_python,
    "snakemake": check_snakemake,
    "sbatch": check_sbatch,
    "i-pi": check_engine,
    "lmp": check_engine,
    "git": check_words(r"clone URL pet-driver"),
    "source": check_words(r"\.venv/bin/activate"),
    "export": check_words(r"[A-Z_]+=\S+"),
}
