"""The client exchanges messages with the socket class of i-PI, without a simulation."""

import socket
import threading

import numpy as np
import pytest
from ase.build import molecule
from ipi.engine.forcefields import ForceRequest
from ipi.interfaces.sockets import Driver, Status

from pet_driver.engines.ipi.client import Session, serve
from pet_driver.engines.ipi.driver import PETDriver
from pet_driver.engines.ipi.potential import Potential, read_numbers
from pet_driver.engines.ipi.protocol import Connection
from pet_driver.errors import PetDriverError

CELL = np.diag([20.0, 21.0, 22.0])


class ClientThread(threading.Thread):
    """Session on one end of a pair of sockets; `server` is the object of i-PI for the other end."""

    def __init__(self, model, batch_size: int = 1, grid: str = "0") -> None:
        super().__init__(daemon=True)
        mine, theirs = socket.socketpair()
        theirs.settimeout(5.0)
        self.server = Driver(theirs)
        theirs.close()
        self.server.batch_size = batch_size
        self.connection = Connection(mine)
        self.session = Session(self.connection, Potential(model, [8, 1, 1], grid))
        self.ended: str | Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.ended = self.session.run()
        except PetDriverError as error:
            self.ended = error
        finally:
            self.connection.close()

    def wait(self) -> str | Exception | None:
        self.join(30)
        assert not self.is_alive()
        return self.ended


def request(positions: np.ndarray) -> ForceRequest:
    """Return a request as i-PI gives it to its end of a connection."""
    return ForceRequest(
        id=0,
        pos=positions.flatten(),
        active=np.arange(positions.size),
        cell=(CELL, np.linalg.inv(CELL)),
        pars=" model : water , ",
        result=None,
        status="Queued",
        offset=0.0,
        start=-1,
    )


@pytest.fixture
def positions() -> np.ndarray:
    """[N, 3] in bohr."""
    return molecule("H2O").positions * 1.9 + 5.0


def receive(server: Driver, asked: ForceRequest) -> bool:
    server.settimeout(30.0)
    return server.dispatch_recv(asked)


def test_consolidated_and_separate_messages_give_the_same(model_f64, positions):
    """These are `consolidate_messages` True and False of i-PI."""
    results = []
    for consolidated in (True, False):
        client = ClientThread(model_f64)
        client.server.get_status()
        asked = request(positions)
        if consolidated:
            assert client.server.dispatch_send(asked)
            assert receive(client.server, asked)
        else:
            client.server.dispatch(asked)
        results.append(asked["result"])
        client.server.shutdown()
        assert client.wait() == "i-PI sent EXIT"
        assert client.session.evaluated == 1
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert np.abs(results[0][1]).max() > 1e-3


def test_padding_of_a_batch_is_not_evaluated(model_f64, positions):
    client = ClientThread(model_f64, batch_size=4)
    client.server.get_status()
    asked = [request(positions), request(positions * 1.01)]
    assert client.server.dispatch_send_batch(asked)
    client.server.settimeout(30.0)
    assert client.server.dispatch_recv_batch(asked)
    assert client.server.status & Status.Ready
    client.server.shutdown()
    assert client.wait() == "i-PI sent EXIT"
    assert client.session.evaluated == 2
    for one in asked:
        alone = energy_alone(model_f64, one["pos"])
        assert one["result"][0] == pytest.approx(alone, abs=1e-11)


def test_padding_of_a_batch_takes_draws_of_random_each(model_f64, positions):
    """The counter then follows from the step, whether beads coincide or not."""
    client = ClientThread(model_f64, batch_size=4, grid="random-each@5")
    client.server.get_status()
    asked = [request(positions) for _ in range(4)]
    assert client.server.dispatch_send_batch(asked)
    client.server.settimeout(30.0)
    assert client.server.dispatch_recv_batch(asked)
    client.server.shutdown()
    client.wait()
    assert client.session.evaluated == client.session.potential.counter == 4
    assert len({one["result"][0] for one in asked}) == 4


def energy_alone(model, positions: np.ndarray) -> float:
    return Potential(model, [8, 1, 1]).compute([CELL], [positions.reshape(-1, 3)])[0].energy


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize(
    ("fault", "message"),
    [("nan", "not finite"), ("atoms", "i-PI sent 2 atoms, but the template has 3")],
)
def test_bad_positions_close_the_connection_in_order(
    model_f64, positions, batch_size, fault, message
):
    """i-PI reads the end of the stream; a connection reset would make it hang."""
    client = ClientThread(model_f64, batch_size)
    client.server.get_status()
    if fault == "nan":
        positions[1, 1] = np.nan
    else:
        positions = positions[:2]
    asked = [request(positions) for _ in range(batch_size)]
    if batch_size == 1:
        assert client.server.dispatch_send(asked[0])
    else:
        assert client.server.dispatch_send_batch(asked)
    error = client.wait()
    assert isinstance(error, PetDriverError)
    assert message in str(error)
    assert client.server.recv(1) == b""  # a reset would raise ConnectionResetError


def test_closed_connection_is_an_error_only_before_any_work(model_f64, positions):
    idle = ClientThread(model_f64)
    idle.server.close()
    assert "before it asked for forces" in str(idle.wait())
    worked = ClientThread(model_f64)
    worked.server.get_status()
    asked = request(positions)
    worked.server.dispatch_send(asked)
    receive(worked.server, asked)
    worked.server.close()
    assert worked.wait() == "i-PI closed the connection"


def test_unknown_header_is_refused(model_f64):
    client = ClientThread(model_f64)
    client.server.sendall(b"HELLO".ljust(12))
    assert "'HELLO'" in str(client.wait())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "tcp"}, "'tcp'"),
        ({"mode": "inet"}, "port None"),
        ({"mode": "inet", "port": 70000}, "port 70000"),
        ({"port": 31415}, "port 31415"),
        ({"address": ""}, "address is empty"),
        ({"timeout": -1.0}, "timeout -1.0"),
        ({"address": "localhost", "mode": "inet", "port": 1}, "no i-PI at localhost:1 within 0 s"),
        ({"template": "nowhere.xyz"}, "nowhere.xyz: no such template"),
        ({"grid": "7x"}, "7x"),
        ({"model": "no-such-model"}, "no-such-model"),
    ],
)
def test_client_refuses_invalid_arguments(model_f64, tmp_path, change, message):
    molecule("H2O").write(tmp_path / "water.xyz")
    arguments = {"model": model_f64, "template": tmp_path / "water.xyz", "address": "nobody"}
    with pytest.raises(PetDriverError, match=message):
        serve(**(arguments | {"timeout": 0.0} | change))


def test_unknown_element_is_refused_before_connecting(model_f64, tmp_path):
    molecule("NaCl").write(tmp_path / "salt.xyz")
    lines = []
    with pytest.raises(PetDriverError, match="element Na, Cl; it was trained for H, O"):
        serve(model_f64, tmp_path / "salt.xyz", "nobody", report=lines.append)
    assert not lines, "it must not wait for i-PI"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "'model'"),
        ({"template": None}, "'template'"),
        ({"gird": "2i"}, "'gird'"),
        ({"periodic": "maybe"}, "'maybe'"),
        ({"device": "abacus"}, "abacus"),
        ({"grid": 99}, "99"),
        ({"counter": "soon"}, "counter: 'soon'"),
    ],
)
def test_driver_refuses_invalid_parameters(archive_f32, tmp_path, change, message):
    molecule("H2O").write(tmp_path / "water.xyz")
    parameters = {"model": str(archive_f32), "template": str(tmp_path / "water.xyz")}
    with pytest.raises(PetDriverError, match=message):
        PETDriver(**(parameters | change))


def test_templates_of_ase_and_ipi_are_read(tmp_path):
    molecule("H2O").write(tmp_path / "water.xyz")
    (tmp_path / "ipi.xyz").write_text(
        "3\n# CELL(abcABC): 10.0 10.0 10.0 90.0 90.0 90.0 Step: 0 Bead: 0 positions{angstrom}\n"
        "       O 0 0 0\n       H 0 0 1\n       H 0 1 0\n"
    )
    (tmp_path / "broken.xyz").write_text("3\n\nO 0 0\n")
    for name in ("water.xyz", "ipi.xyz"):
        np.testing.assert_array_equal(read_numbers(tmp_path / name), [8, 1, 1])
    with pytest.raises(PetDriverError, match=r"broken\.xyz"):
        read_numbers(tmp_path / "broken.xyz")


@pytest.mark.parametrize("comment", ["", "# CELL(abcABC): 9.0 9.0 9.0 90.0 90.0 90.0 Step: 0"])
def test_isotopes_in_a_template_are_their_elements(tmp_path, comment):
    labels = ["D", "T", "H2", "O17", "O18", "C13", "O"]
    lines = "".join(f"{label} {k} 0 0\n" for k, label in enumerate(labels))
    (tmp_path / "heavy.xyz").write_text(f"{len(labels)}\n{comment}\n{lines}")
    np.testing.assert_array_equal(read_numbers(tmp_path / "heavy.xyz"), [1, 1, 1, 8, 8, 6, 8])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("water.data", "", "is a data file of LAMMPS.*give the .xyz file"),
        ("water.xyz", "1\n\nOW 0 0 0\n", "'Ow' is no element; write symbols of elements"),
        ("water.xyz", "OW 0 0 0\n", "first line is not the number of atoms"),
    ],
)
def test_templates_that_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(PetDriverError, match=message):
        read_numbers(tmp_path / name)


def test_cell_is_ignored_without_periodicity(model_f64, positions):
    """With periodicity, two images of the molecule are within the cutoff of each other."""
    cell = np.diag([6.0, 30.0, 30.0])
    energies = {}
    for periodic in (True, False):
        potential = Potential(model_f64, [8, 1, 1], periodic=periodic)
        energies[periodic] = potential.compute([cell], [positions])[0].energy
    assert energies[False] == pytest.approx(energy_alone(model_f64, positions), abs=1e-11)
    assert abs(energies[True] - energies[False]) > 1e-6
