"""i-PI continues or ends correctly when a client or an evaluation fails."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ase.build import molecule

from tests.engines.conftest import BEADS, uses_in_process
from tests.engines.ipi_tools import (
    Server,
    assert_same,
    command_line_client,
    counting_client,
    ffdirect,
    finish,
    let_connect,
    new_server,
    run_ipi,
    simulation,
    trajectory_of,
    write_input,
)


@uses_in_process
@pytest.mark.parametrize(
    ("how", "mode", "batch"),
    [("kill", "unix", 1), ("kill", "inet", BEADS), ("raise", "shm", BEADS)],
)
def test_second_client_continues_after_the_first_fails(
    archive_f64: Path, tmp_path: Path, in_process: dict, how: str, mode: str, batch: int
) -> None:
    with new_server(mode) as server:
        write_input(tmp_path, server.ffsocket(batch), BEADS)
        with (
            simulation(tmp_path) as process,
            counting_client(archive_f64, server, tmp_path, "--fail", how, "4") as first,
            counting_client(archive_f64, server, tmp_path, "--wait") as second,
        ):
            finish(first)
            assert first.returncode != 0
            assert process.poll() is None, "the simulation must wait for another client"
            let_connect(second)
            found = trajectory_of(process, tmp_path)
            output = finish(second)
    assert second.returncode == 0, output
    assert_same(in_process[BEADS], found, 1e-10)


@uses_in_process
def test_command_line_client_waits_for_its_server(
    archive_f64: Path, tmp_path: Path, in_process: dict
) -> None:
    with new_server("unix") as server:
        write_input(tmp_path, server.ffsocket(BEADS), BEADS)
        with command_line_client(archive_f64, server, tmp_path) as client:
            assert "waiting up to 60 s for i-PI" in client.stdout.readline()
            with simulation(tmp_path) as process:
                found = trajectory_of(process, tmp_path)
            output = finish(client)
    assert client.returncode == 0, output
    assert_same(in_process[BEADS], found, 1e-10)


def test_second_client_continues_after_sigterm(archive_f64: Path, tmp_path: Path) -> None:
    """A client that gets SIGTERM during its work (kill, a batch system) closes in order."""
    with new_server("inet") as server:
        write_input(tmp_path, server.ffsocket(), steps=400)
        with command_line_client(archive_f64, server, tmp_path) as first:
            assert "waiting up to" in first.stdout.readline()
            with simulation(tmp_path, 400) as process:
                assert "connected to i-PI" in first.stdout.readline()
                time.sleep(0.3)
                first.terminate()
                assert finish(first).count("Traceback") == 0
                assert first.returncode == 143
                assert process.poll() is None, "the run ended before the signal"
                with command_line_client(archive_f64, server, tmp_path) as second:
                    assert len(trajectory_of(process, tmp_path)["energies"]) == 401
                    finish(second)
    assert second.returncode == 0


def test_command_line_client_without_server_ends_with_advice(
    archive_f32: Path, tmp_path: Path
) -> None:
    molecule("H2O").write(tmp_path / "start.xyz")
    started = time.monotonic()
    server = Server("unix", "pet-driver-nobody")
    with command_line_client(archive_f32, server, tmp_path, "--timeout", "1") as client:
        output = finish(client)
    assert client.returncode == 1
    assert "no i-PI at /tmp/ipi_pet-driver-nobody within 1 s" in output
    assert "start i-PI" in output
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("threaded", ["False", "True"])
def test_failure_in_process_ends_ipi(archive_f32: Path, tmp_path: Path, threaded: str) -> None:
    """The template has fewer atoms than the simulation: i-PI must neither hang nor return 0."""
    forcefield = ffdirect(archive_f32).replace("start.xyz", "molecule.xyz")
    forcefield = forcefield.replace('name="pet"', f'name="pet" threaded="{threaded}"')
    write_input(tmp_path, forcefield)
    molecule("H2O").write(tmp_path / "molecule.xyz")
    assert "i-PI sent 6 atoms, but the template has 3" in run_ipi(tmp_path, status=1)


def write_input_with_failing_field(
    folder: Path, field: str, other: str, forces: str, outputs: str = ""
) -> None:
    """Write an input with `field` and, as "failing", `other` with a template of three atoms."""
    other = other.replace('name="pet"', 'name="failing"').replace("start.xyz", "molecule.xyz")
    path = write_input(folder, field + other)
    text = path.read_text().replace('<force forcefield="pet"/>', forces)
    path.write_text(text.replace("</output>", f"{outputs}</output>"))
    molecule("H2O").write(folder / "molecule.xyz")


def two_fields_fail(archive: Path, folder: Path) -> None:
    """Two threads fail: one ends i-PI, which writes RESTART and waits for the other."""
    threaded = ffdirect(archive).replace('name="pet"', 'name="pet" threaded="True"')
    write_input_with_failing_field(
        folder,
        threaded.replace("start.xyz", "molecule.xyz"),
        threaded,
        '<force forcefield="pet"/> <force forcefield="failing"/>',
    )


def field_fails_for_an_output(archive: Path, folder: Path) -> None:
    """A field of weight 0 is evaluated for an output, while i-PI holds back its soft exit."""
    write_input_with_failing_field(
        folder,
        ffdirect(archive),
        ffdirect(archive),
        '<force forcefield="pet"/> <force forcefield="failing" weight="0"/>',
        '<properties filename="out" stride="2"> [ step, pot_component_raw(1) ] </properties>',
    )


@pytest.mark.parametrize("prepare", [two_fields_fail, field_fails_for_an_output])
def test_failure_in_process_leaves_a_complete_restart(
    prepare: Callable[[Path, Path], None], archive_f32: Path, tmp_path: Path
) -> None:
    prepare(archive_f32, tmp_path)
    assert "i-PI sent 6 atoms, but the template has 3" in run_ipi(tmp_path, status=1)
    assert "</simulation>" in (tmp_path / "RESTART").read_text()


def test_unknown_parameter_in_process_ends_ipi(archive_f32: Path, tmp_path: Path) -> None:
    write_input(tmp_path, ffdirect(archive_f32, more=", gird: 2i"))
    output = run_ipi(tmp_path, status=1)
    assert "unknown parameter 'gird'" in output
    assert "grid" in output.splitlines()[-1]
