"""The socket client of i-PI: serves forces to ``<ffsocket mode="unix | inet | shm">``."""

import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pet_driver.engines.ipi.potential import Potential, read_numbers
from pet_driver.engines.ipi.protocol import Connection, Disconnected, SharedMemoryConnection
from pet_driver.errors import PetDriverError
from pet_driver.model.ensemble import Ensemble, load
from pet_driver.model.evaluator import Model
from pet_driver.symmetry.grid_names import parse_grid_name

RETRY_INTERVAL = 0.1  # seconds between two attempts to reach a server that is not there yet


@dataclass(frozen=True)
class Address:
    """Where i-PI listens.

    Attributes:
        mode: ``"unix"``, ``"inet"`` or ``"shm"``, as in ``<ffsocket mode="...">``.
        address: that of the ``<ffsocket>``: name of the socket, or host name for inet.
        port: that of an inet ``<ffsocket>``.
        prefix: start of a unix socket's path.

    Raises:
        PetDriverError: values that an ``<ffsocket>`` cannot have.
    """

    mode: str
    address: str
    port: int | None = None
    prefix: str = "/tmp/ipi_"

    def __str__(self) -> str:
        if self.mode == "inet":
            return f"{self.address}:{self.port}"
        return self.prefix + self.address

    def __post_init__(self) -> None:
        if self.mode not in ("unix", "inet", "shm"):
            raise PetDriverError(f"mode {self.mode!r}: choose unix, inet or shm, as in <ffsocket>")
        if not self.address:
            raise PetDriverError("the address is empty; give the <address> of i-PI's <ffsocket>")
        if self.mode != "inet" and self.port is not None:
            raise PetDriverError(f"port {self.port}: a {self.mode} socket has none; leave it out")
        if self.mode == "inet" and not (self.port and 0 < self.port < 65536):
            raise PetDriverError(
                f"port {self.port}: an inet socket needs the <port> of i-PI's <ffsocket> (1 to "
                "65535); for a unix socket ask for mode unix"
            )


def serve(
    model: str | Path | Model | Ensemble,
    template: str | Path,
    address: str,
    port: int | None = None,
    mode: str = "unix",
    *,
    grid: str | None = None,
    device: str = "cpu",
    periodic: bool = True,
    timeout: float = 60.0,
    prefix: str = "/tmp/ipi_",
    report: Callable[[str], None] | None = None,
    counter: int = 0,
    warn: float | None = None,
    stop: float | None = None,
    max_edges: int | None = None,
) -> int:
    """Serve forces to i-PI until it says EXIT.

    Start it before or after i-PI; start several for more throughput. When one dies, i-PI gives
    its work to the others, or waits for a new one.

    Args:
        model: a shipped model's name, the path of an archive, several as ``"a.pt+b.pt"``, or what
            :func:`pet_driver.load` returned.
        template: structure file whose elements, in i-PI's order, are used (i-PI sends none).
        address: ``<address>`` of the ffsocket: name of the socket, or host name for inet.
        port: ``<port>`` of an inet ffsocket.
        mode: ``"unix"``, ``"inet"`` or ``"shm"``, as in ``<ffsocket mode="...">``.
        grid: rotations to average over; ``None`` means the archive's default.
        device: torch device, where ``model`` is not loaded yet.
        periodic: whether the cell that i-PI sends repeats in space.
        timeout: seconds to wait for i-PI's socket to come up.
        prefix: start of a unix socket's path, as ``i-pi --sockets_prefix``.
        report: receives lines for the user; ``None`` means they go to standard error.
        counter: the first draw of a random grid, see
            :class:`pet_driver.engines.ipi.potential.Potential`; every client counts its own.
        warn: force standard deviation of an ensemble (eV/A) above which there is a warning.
        stop: force standard deviation of an ensemble (eV/A) above which the client ends.
        max_edges: bound on edges times rotations in one pass, hence on memory, where ``model`` is
            not loaded yet; ``None`` goes by the device.

    Returns:
        the number of structures evaluated.

    Raises:
        PetDriverError: bad input, a server that is not there within ``timeout``, NaN in positions
            or forces, a force standard deviation above ``stop``, or a connection that breaks before its work is
            done.
    """
    report = report or (lambda line: print(line, file=sys.stderr, flush=True))
    where = Address(mode, address, port, prefix)
    if not timeout >= 0:
        raise PetDriverError(f"timeout {timeout}: give seconds, 0 or more")
    numbers = read_numbers(template)
    loaded = model
    if not isinstance(loaded, Model | Ensemble):
        loaded = load(loaded, device, grid, max_edges)
    potential = Potential(loaded, numbers, grid, periodic, counter, warn, stop, report)
    connection = connect(where, timeout, report)
    report(f"connected to i-PI at {where}")
    try:
        session = Session(connection, potential)
        reason = session.run()
    finally:
        connection.close()
    report(f"{reason} after {session.evaluated} structures ({session.milliseconds:.2f} ms each)")
    return session.evaluated


class Session:
    """The dialogue with i-PI over one open connection.

    Attributes:
        evaluated: number of structures evaluated.
        seconds: time that the model took for them.
    """

    def __init__(self, connection: Connection, potential: Potential) -> None:
        self.connection = connection
        self.potential = potential
        self.evaluated = 0
        self.seconds = 0.0
        self._initialized = False

    @property
    def milliseconds(self) -> float:
        """Mean time of the model for one structure, ms."""
        return 1e3 * self.seconds / max(self.evaluated, 1)

    def run(self) -> str:
        """Answer until the server leaves.

        Returns:
            why it left, in words.

        Raises:
            PetDriverError: it left before its work was done.
        """
        try:
            while (header := self.connection.read_header()) != "EXIT":
                self._answer(header)
        except Disconnected as error:
            if self.evaluated == 0:
                raise PetDriverError(
                    "i-PI closed the connection before it asked for forces: look at its output"
                ) from error
            return "i-PI closed the connection"
        return "i-PI said EXIT"

    def _answer(self, header: str) -> None:
        if header == "STATUS":
            self.connection.send_header("READY" if self._initialized else "NEEDINIT")
        elif header == "INIT":
            self.connection.read_init()
            self._initialized = True
        elif header == "POSDATA":
            self._exchange()
        else:
            raise PetDriverError(
                f"i-PI sent {header!r} where STATUS, INIT, POSDATA or EXIT can stand; is the mode "
                "(unix, inet, shm) that of the <ffsocket>?"
            )

    def _exchange(self) -> None:
        """Go from POSDATA to the forces.

        i-PI sends GETFORCE together with the positions. It is read before the forces are computed:
        unread data would turn the close of a client that fails into a connection reset, which
        i-PI does not survive, whereas after an orderly close it gives the work to another client.
        A server that does not send it asks for the status first.
        """
        cells, positions = self.connection.read_structures()
        header = self.connection.read_header()
        started = time.perf_counter()
        # Where each structure has a rotation of its own, a copy is another evaluation; and the
        # counter must move alike in every step, or a resumed run draws other rotations.
        each = parse_grid_name(self.potential.grid).each
        n_asked = len(cells) if each else _count_asked(cells, positions)
        results = self.potential.compute(cells[:n_asked], positions[:n_asked])
        self.seconds += time.perf_counter() - started
        while header == "STATUS":
            self.connection.send_header("HAVEDATA")
            header = self.connection.read_header()
        if header != "GETFORCE":
            raise PetDriverError(f"i-PI sent {header!r} where GETFORCE was due")
        self.connection.send_forces(results + results[-1:] * (len(cells) - n_asked))
        self.evaluated += n_asked


def _count_asked(cells: np.ndarray, positions: np.ndarray) -> int:
    """How many structures of a batch to evaluate: i-PI fills a batch up with copies of its last."""
    count = len(positions)
    while count > 1 and np.array_equal(positions[count - 2], positions[count - 1]):
        if not np.array_equal(cells[count - 2], cells[count - 1]):
            break
        count -= 1
    return count


def connect(where: Address, timeout: float, report: Callable[[str], None]) -> Connection:
    """Open the connection, once the server's socket is there.

    Args:
        timeout: seconds to wait for it at most.
        report: is told, once, that there is a wait.

    Raises:
        PetDriverError: naming the address that cannot be reached.
    """
    deadline = time.monotonic() + timeout
    waiting = False
    while True:
        try:
            sock = _open_socket(where, timeout)
        except socket.gaierror as error:
            raise PetDriverError(f"{where.address}: unknown host ({error.strerror})") from error
        except OSError as error:
            if time.monotonic() + RETRY_INTERVAL > deadline:
                raise PetDriverError(_unreachable(where, timeout, error)) from error
            if not waiting:
                report(f"waiting up to {timeout:g} s for i-PI at {where}")
                waiting = True
            time.sleep(RETRY_INTERVAL)
        else:
            return SharedMemoryConnection(sock) if where.mode == "shm" else Connection(sock)


def _open_socket(where: Address, timeout: float) -> socket.socket:
    if where.mode == "inet":
        # a host that drops packets would hold connect() for minutes
        sock = socket.create_connection((where.address, where.port), max(timeout, RETRY_INTERVAL))
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # notices a host that vanished
        return sock
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(str(where))
    except OSError:
        sock.close()
        raise
    return sock


def _unreachable(where: Address, timeout: float, error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError) and where.mode != "inet":
        remedy = "the file is left from an earlier run: remove it, then start i-PI"
    else:
        remedy = "start i-PI, or compare the address with that of its <ffsocket>"
    reason = error.strerror or error
    return f"no i-PI at {where} within {timeout:g} s ({reason}); {remedy}"
