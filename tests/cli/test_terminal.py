"""What is printed: brackets, progress of compilations, version, warnings of torch."""

import ast
import importlib.metadata
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import rich.progress
from ase import Atoms
from ase.io import write
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.main import get_command

from pet_driver.backends import compiler_cache
from pet_driver.cli import app, doctor, terminal
from tests.cli.test_cli import pet_driver

PACKAGE = Path(__file__).parents[2] / "pet_driver"
BRACKETS = "runs[metatrain] [/bold] :smile:"


def test_console_prints_brackets_unchanged(capsys: pytest.CaptureFixture) -> None:
    table = Table(BRACKETS, title=BRACKETS)
    table.add_row(BRACKETS)
    terminal.console().print(table)
    terminal.console().print(BRACKETS)
    assert capsys.readouterr().out.count(BRACKETS) == 4


def test_every_rich_console_prints_text_unchanged() -> None:
    """Each ``Console`` and ``TextColumn`` of the package is made with ``markup=False``."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if name in ("Console", "TextColumn"):
                keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
                assert keywords.get("markup") == "False", f"{path}:{node.lineno}"
                found.append(name)
    assert found.count("Console") >= 2


def test_path_with_brackets_is_printed_by_commands(
    tmp_path: Path, water: Atoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # so that no path is wrapped
    folder = tmp_path / "water[bulk]"
    folder.mkdir()
    done = pet_driver("build-water", "molecule", "-o", folder / "water.xyz")
    assert str(folder / "water.xyz") in done.stdout
    failed = pet_driver("evaluate", "water-small", folder / "absent.xyz")
    assert f"no structure file at {folder / 'absent.xyz'}" in failed.stderr
    model = folder / "a.pt"
    model.write_bytes((PACKAGE / "model" / "weights" / "water-small.pt").read_bytes())
    assert "water[bulk]" in pet_driver("inspect", model).stdout


def test_help_texts_have_no_markup() -> None:
    """The help is rendered with markup, which would drop words in brackets."""
    texts = []

    def collect(command) -> None:
        texts.append(command.help or "")
        texts.extend(getattr(one, "help", None) or "" for one in command.params)
        for child in getattr(command, "commands", {}).values():
            collect(child)

    collect(get_command(app))
    assert len(texts) > 50
    for text in texts:
        assert Text.from_markup(text).plain == text


def test_finding_names_the_extra_to_install_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    line = str(doctor._optional("metatrain", "metatrain"))
    assert line.endswith("not installed -> pip install 'pet-driver[metatrain]'")
    assert "\n" not in str(doctor.Finding("kernels", "compiling failed:\nerror"))


def test_version() -> None:
    assert pet_driver("--version").stdout.split() == [
        "pet-driver",
        importlib.metadata.version("pet-driver"),
    ]


def compile_nothing(compiler: str, folder: Path) -> Path:
    binary = folder / "binary"
    binary.write_text("")
    return binary


def test_compilation_prints_notices_once(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    target = tmp_path / "cache" / "library.so"
    for _ in range(2):
        compiler_cache.compile_once(target, compile_nothing, what="the kernels (half a minute)")
    begin, end = capsys.readouterr().err.splitlines()
    assert begin.startswith("pet-driver: compiling the kernels (half a minute), once for this")
    assert end == "pet-driver: compiled in 0 s"


def test_compilation_shows_spinner_in_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, markup=False, width=200)
    monkeypatch.setattr(terminal, "console", lambda stderr=False: screen)
    monkeypatch.setattr(rich.progress, "get_console", lambda: screen)
    before = compiler_cache.announce
    with terminal.compilation_progress():
        compiler_cache.compile_once(tmp_path / "cache" / "library.so", compile_nothing)
    assert compiler_cache.announce is before
    assert "compiling a library, once for this machine" in screen.file.getvalue()
    assert not capsys.readouterr().err


@pytest.mark.parametrize("entry", ["pet_driver.cli", "pet_driver.engines.ipi.pet_driver_ipi_shim"])
def test_programs_hide_torchscript_warnings_only(entry: str) -> None:
    """Torch 2.14 gives a FutureWarning at every use of ``torch.jit``, 2.13 a DeprecationWarning."""
    code = (
        f"import warnings, {entry}\n"
        "for category in (FutureWarning, DeprecationWarning):\n"
        "    warnings.warn('`torch.jit.script` is deprecated. Please switch', category)\n"
        "    warnings.warn('something else', category)"
    )
    assert warnings_of(code) == 2


def test_importing_the_package_hides_no_warnings() -> None:
    """A user's own program may want to know about its use of ``torch.jit``."""
    code = (
        "import warnings, pet_driver; pet_driver.load('water-small')\n"
        "warnings.warn('`torch.jit.script` is deprecated. Please switch', FutureWarning)"
    )
    assert warnings_of(code) == 1


def warnings_of(code: str) -> int:
    """Return how many lines on standard error name a warning."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stderr.count("Warning: ")


def test_probe_of_structures_in_folder_with_brackets(tmp_path: Path, water: Atoms) -> None:
    folder = tmp_path / "probe[1]"
    folder.mkdir()
    write(folder / "water.xyz", water)
    options = ("--grids", "0", "--reference", "i", "--resolution", "0", "-o", folder)
    done = pet_driver("probe", "water-small", folder / "water.xyz", *options)
    assert f"written: {folder}" in done.stdout, done.stderr
