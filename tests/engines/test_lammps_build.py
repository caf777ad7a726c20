"""The LAMMPS plugin is compiled, found and loaded, and failures are explained."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pet_driver.backends.compiler_cache import find_compiler
from pet_driver.engines import lammps
from pet_driver.engines.lammps.environment import find_environment
from pet_driver.engines.lammps.launch import command, variables
from pet_driver.errors import PetDriverError

from .lammps_input import water_box, write_structure


def test_second_build_does_nothing() -> None:
    plugin = lammps.build()
    before = plugin.stat().st_mtime_ns
    assert lammps.build() == plugin
    assert plugin.stat().st_mtime_ns == before
    assert lammps.plugin_folder() == str(plugin.parent)


def test_plugin_folder_imports_neither_torch_nor_lammps() -> None:
    code = (
        "import sys; from pet_driver.engines.lammps import plugin_folder; print(plugin_folder());"
        "print([name for name in ('torch', 'lammps', 'numpy') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.splitlines()[1] == "[]", result.stderr


def test_plugin_folder_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("importlib.util.find_spec", missing)
    assert lammps.plugin_folder() == ""


def test_launcher_loads_the_plugin(tmp_path: Path) -> None:
    """`lmp` of the LAMMPS package finds `pair_style pet` through the entry point."""
    lammps.build()
    lmp = Path(sys.executable).with_name("lmp")
    (tmp_path / "in.list").write_text("plugin list\n")
    command = [str(lmp), "-in", "in.list", "-log", "none"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "pair style plugin pet" in result.stdout, result.stdout + result.stderr


def test_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    input_file = tmp_path / "in.version"
    input_file.write_text("units metal\nplugin list\n")
    assert lammps.run(["-in", str(input_file), "-log", "none"], ranks=2) == 0
    assert "pair style plugin pet" in capfd.readouterr().out
    assert lammps.run(["-in", str(tmp_path / "missing"), "-log", "none"]) != 0
    with pytest.raises(PetDriverError, match="0 MPI ranks"):
        lammps.run([], ranks=0)


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PET_DRIVER_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(PetDriverError, match="no C\\+\\+ compiler found"):
        lammps.build()


@pytest.fixture
def use_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    """Return a function that replaces the compiler by a shell script with a given version."""

    def use(version: str, script: str) -> None:
        compiler = tmp_path / "g++"
        asked = f"-dumpversion) echo {version}; exit;; --version) echo g++; exit;;"
        compiler.write_text(f'#!/bin/sh\ncase "$1" in {asked} esac\n{script}\n')
        compiler.chmod(0o755)
        monkeypatch.setenv("CXX", str(compiler))
        monkeypatch.setenv("PET_DRIVER_CACHE", str(tmp_path / "cache"))

    return use


def test_old_compiler(use_compiler: Callable[[str, str], None]) -> None:
    use_compiler("9.4.0", "exit 1")
    with pytest.raises(PetDriverError, match="is version 9, C\\+\\+20 needs g\\+\\+ 11"):
        find_compiler()


def test_compiler_failure_shows_its_last_lines(use_compiler: Callable[[str, str], None]) -> None:
    use_compiler("12", "echo 'error: no space left' >&2; exit 1")
    with pytest.raises(PetDriverError, match="error: no space left"):
        lammps.build()


def test_unwritable_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PET_DRIVER_CACHE", str(tmp_path / "file"))
    with pytest.raises(PetDriverError, match="set PET_DRIVER_CACHE"):
        lammps.build()


def test_plugin_that_lammps_cannot_load(
    use_compiler: Callable[[str, str], None], tmp_path: Path
) -> None:
    """The compiler writes empty files."""
    use_compiler("12", 'while [ "$1" != -o ]; do shift; done; : > "$2"')
    with pytest.raises(PetDriverError, match=r"LAMMPS cannot load it.*\n.*petplugin.so"):
        lammps.build()
    assert not list((tmp_path / "cache" / "lammps").rglob("*plugin.so"))


def test_two_plugins_on_the_path(tmp_path: Path) -> None:
    """LAMMPS_PLUGIN_PATH may still contain the plugin of an older pet-driver."""
    plugin = lammps.build()
    code = (plugin.read_bytes(), plugin.parent.name.encode())
    older = tmp_path / plugin.name
    older.write_bytes(code[0].replace(code[1], code[1][::-1]))  # another namespace of operators
    (tmp_path / "in.list").write_text("plugin list\n")
    environment = variables(find_environment())
    environment["LAMMPS_PLUGIN_PATH"] += f":{tmp_path}"
    line = command(find_environment(), ["-in", "in.list", "-log", "none"], ranks=1)
    result = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "pair style plugin pet" in result.stdout


def test_threads_equal_allowed_cpus(tmp_path: Path) -> None:
    """The launcher of a cluster allows a rank only some of the CPUs of the machine."""
    lammps.build()
    write_structure(tmp_path / "structure.data", water_box(1, 3.1))
    input_file = "units metal\nread_data structure.data\npair_style pet water-small\n"
    (tmp_path / "in.threads").write_text(input_file)
    line = command(find_environment(), ["-in", "in.threads", "-log", "none"], ranks=1)
    environment = variables(find_environment())
    environment.pop("OMP_NUM_THREADS", None)
    allowed = os.sched_getaffinity(0)
    for cpus in ({min(allowed)}, allowed):
        result = subprocess.run(
            line,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            preexec_fn=lambda cpus=cpus: os.sched_setaffinity(0, cpus),
        )
        assert f"on cpu ({len(cpus)} thread(s) a rank)" in result.stdout, result.stdout
