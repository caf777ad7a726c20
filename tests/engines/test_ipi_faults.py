"""Clients that die, servers that are not there, input that cannot be right."""

import subprocess
import sys
import time

import pytest
from ase.build import molecule

from tests.engines.ipi_tools import (
    ENVIRONMENT,
    TIMEOUT,
    assert_same,
    call,
    client,
    direct,
    finish,
    new_server,
    running,
    seen,
    simulation,
    write_input,
)

BEADS = 3
COMMAND = [sys.executable, "-m", "pet_driver", "ipi"]


def run_client(*arguments, folder) -> subprocess.CompletedProcess:
    """`pet-driver ipi` to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=folder,
        env=ENVIRONMENT,
        text=True,
        capture_output=True,
        timeout=TIMEOUT,
    )


@pytest.fixture(scope="module")
def undisturbed(archive_f64, tmp_path_factory):
    """The trajectory without any failure."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_input(folder, direct(archive_f64, batch=BEADS), BEADS)
    with simulation(folder) as process:
        return seen(process, folder)


@pytest.mark.parametrize(
    ("how", "mode", "batch"),
    [("kill", "unix", 1), ("kill", "inet", BEADS), ("raise", "shm", BEADS)],
)
def test_second_client_carries_on(archive_f64, tmp_path, undisturbed, how, mode, batch):
    with new_server(mode) as server:
        write_input(tmp_path, server.forcefield(batch), BEADS)
        with (
            simulation(tmp_path) as process,
            client(archive_f64, server, tmp_path, "--fail", how, "4") as first,
            client(archive_f64, server, tmp_path, "--on-call") as second,
        ):
            finish(first)
            assert first.returncode != 0
            assert process.poll() is None, "the simulation waits for another client"
            call(second)
            found = seen(process, tmp_path)
            output = finish(second)
    assert second.returncode == 0, output
    assert_same(undisturbed, found, 1e-10)


def test_client_from_the_command_line_waits_for_its_server(archive_f64, tmp_path, undisturbed):
    with new_server("unix") as server:
        write_input(tmp_path, server.forcefield(BEADS), BEADS)
        arguments = [archive_f64, "-u", "-a", server.address, "-t", "start.xyz"]
        with running(*COMMAND, *arguments, folder=tmp_path) as served:
            assert "waiting up to 60 s for i-PI" in served.stdout.readline()
            with simulation(tmp_path) as process:
                found = seen(process, tmp_path)
            output = finish(served)
    assert served.returncode == 0, output
    assert_same(undisturbed, found, 1e-10)


@pytest.mark.parametrize("mode", ["unix", "inet"])
def test_a_client_that_is_asked_to_end(archive_f64, tmp_path, mode):
    """By SIGTERM, as from kill or a batch system, in the middle of its work."""
    with new_server(mode) as server:
        write_input(tmp_path, server.forcefield(), steps=400)
        where = ["-u"] if mode == "unix" else ["-p", server.port]
        arguments = [archive_f64, *where, "-a", server.address, "-t", "start.xyz"]
        with running(*COMMAND, *arguments, folder=tmp_path) as first:
            assert "waiting up to" in first.stdout.readline()
            with simulation(tmp_path, 400) as process:
                assert "connected to i-PI" in first.stdout.readline()
                time.sleep(0.3)
                first.terminate()
                assert finish(first).count("Traceback") == 0
                assert first.returncode == 143
                assert process.poll() is None, "it was over before it was disturbed"
                with running(*COMMAND, *arguments, folder=tmp_path) as second:
                    assert len(seen(process, tmp_path)["energies"]) == 401
                    finish(second)
    assert second.returncode == 0


@pytest.mark.parametrize("mode", ["unix", "inet"])
def test_no_server(archive_f32, tmp_path, mode):
    write_input(tmp_path, "")
    with new_server(mode) as server:
        where = ["-u"] if mode == "unix" else ["-p", server.port]
        started = time.monotonic()
        ended = run_client(
            archive_f32, *where, "-a", server.address, "-t", "start.xyz", "--timeout", 1,
            folder=tmp_path,
        )  # fmt: skip
    assert ended.returncode == 1
    assert f"no i-PI at /tmp/ipi_{server.address}" in ended.stderr or "localhost:" in ended.stderr
    assert "within 1 s" in ended.stderr
    assert "start i-PI" in ended.stderr
    assert time.monotonic() - started < 30


def test_unknown_element_is_refused_before_connecting(archive_f32, tmp_path):
    molecule("NaCl").write(tmp_path / "salt.xyz")
    ended = run_client(archive_f32, "-u", "-a", "nobody", "-t", "salt.xyz", folder=tmp_path)
    assert ended.returncode == 1
    assert "Na" in ended.stderr
    assert "H, O" in ended.stderr
    assert "waiting" not in ended.stderr


@pytest.mark.parametrize("threaded", ["False", "True"])
def test_failure_in_process_ends_ipi(archive_f32, tmp_path, threaded):
    """The template has fewer atoms than the simulation; i-PI must neither hang nor report 0."""
    forcefield = direct(archive_f32).replace("start.xyz", "one.xyz")
    forcefield = forcefield.replace('name="pet"', f'name="pet" threaded="{threaded}"')
    write_input(tmp_path, forcefield)
    molecule("H2O").write(tmp_path / "one.xyz")
    with running("i-pi", "input.xml", folder=tmp_path) as process:
        output = finish(process)
    assert process.returncode == 1
    assert "i-PI sent 6 atoms, but the template has 3" in output


WRONG = ('name="pet"', 'name="wrong"'), ("start.xyz", "one.xyz")  # another field, and why it fails


def write_input_of_two(folder, field, other, forces, outputs=""):
    """Beside `field` the same with a template of three atoms, under the name "wrong"."""
    for old, new in WRONG:
        other = other.replace(old, new)
    path = write_input(folder, field + other)
    text = path.read_text().replace('<force forcefield="pet"/>', forces)
    path.write_text(text.replace("</output>", f"{outputs}</output>"))
    molecule("H2O").write(folder / "one.xyz")


def check_end(folder):
    """i-PI ends with the message, exit code 1 and a whole RESTART."""
    with running("i-pi", "input.xml", folder=folder) as process:
        output = finish(process)
    assert process.returncode == 1
    assert "i-PI sent 6 atoms, but the template has 3" in output
    assert "</simulation>" in (folder / "RESTART").read_text()


def test_two_failures_at_a_time_end_ipi(archive_f32, tmp_path):
    """Two threads that fail, of which one ends i-PI: it writes RESTART and waits for the other."""
    wrong = direct(archive_f32).replace('name="pet"', 'name="pet" threaded="True"')
    write_input_of_two(
        tmp_path,
        wrong.replace("start.xyz", "one.xyz"),
        wrong,
        '<force forcefield="pet"/> <force forcefield="wrong"/>',
    )
    check_end(tmp_path)


def test_failure_while_outputs_are_written_ends_ipi(archive_f32, tmp_path):
    """A field of weight 0 is evaluated for an output alone, while i-PI holds back its soft exit."""
    write_input_of_two(
        tmp_path,
        direct(archive_f32),
        direct(archive_f32),
        '<force forcefield="pet"/> <force forcefield="wrong" weight="0"/>',
        '<properties filename="out" stride="2"> [ step, pot_component_raw(1) ] </properties>',
    )
    check_end(tmp_path)


def test_unknown_parameter_in_process(archive_f32, tmp_path):
    write_input(tmp_path, direct(archive_f32, more=", gird: 2i"))
    with running("i-pi", "input.xml", folder=tmp_path) as process:
        output = finish(process)
    assert process.returncode == 1
    assert "unknown parameter 'gird'" in output
    assert "grid" in output.splitlines()[-1]
