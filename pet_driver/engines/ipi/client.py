"""Socket client of i-PI: serves forces to ``<ffsocket mode="unix | inet | shm">``.

    <ffsocket name="pet" mode="unix">
      <address> water </address>
    </ffsocket>

    pet-driver ipi water-small -t init.xyz -a water -u                   # mode="unix"
    pet-driver ipi water-small -t init.xyz -a water --shm                # mode="shm"
    pet-driver ipi water-small -t init.xyz -a localhost -p 31415         # mode="inet"

In Python: ``serve("water-small", "init.xyz", "water")``.
"""

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

RETRY_INTERVAL = 0.1  # seconds between two attempts to connect


@dataclass(frozen=True)
class Address:
    """Address at which i-PI listens.

    Attributes:
        mode: ``"unix"``, ``"inet"`` or ``"shm"``, as in ``<ffsocket mode="...">``.
        address: ``<address>`` of the ffsocket: name of the socket, or host name for inet.
        port: ``<port>`` of an inet ffsocket.
        prefix: path of a unix socket up to its name.

    Raises:
        PetDriverError: an ``<ffsocket>`` cannot have these values.
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
    """Serve forces to i-PI until it ends the connection.

    A client can be started before or after i-PI. Several clients of one ``<ffsocket>`` share the
    work. If a client fails, i-PI gives its work to the others, or waits for a new client.

    Args:
        model: name of a shipped model, path of an archive, an ensemble such as ``"a.pt+b.pt"``, or
            a model from :func:`pet_driver.load`.
        template: structure file with the elements of the simulation, in the order of i-PI (which
            sends no elements).
        address: ``<address>`` of the ffsocket: name of the socket, or host name for inet.
        port: ``<port>`` of an inet ffsocket.
        mode: ``"unix"``, ``"inet"`` or ``"shm"``, as in ``<ffsocket mode="...">``.
        grid: rotations to average over; ``None`` means the archive's default.
        device: torch device; used only if ``model`` is a name or path.
        periodic: whether the cell from i-PI is periodic.
        timeout: seconds to wait until i-PI listens.
        prefix: path of a unix socket up to its name, as for ``i-pi --sockets_prefix``.
        report: called with each message for the user; ``None`` prints them to standard error.
        counter: index of the first draw of a random grid, see
            :class:`pet_driver.engines.ipi.potential.Potential`; each client has its own counter.
        warn: force standard deviation of an ensemble (eV/A) above which a warning is reported.
        stop: force standard deviation of an ensemble (eV/A) above which the client stops.
        max_edges: upper bound on edges times rotations in one pass of the network, which limits
            its memory; ``None`` means the default of the device. Used only if ``model`` is a name
            or path.

    Returns:
        The number of structures evaluated.

    Raises:
        PetDriverError: an argument is invalid, no server listens within ``timeout``, positions or
            forces are not finite, a force standard deviation is above ``stop``, or the connection
            closes before any forces were sent.
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
    """Exchange of messages with i-PI over one open connection.

    Attributes:
        evaluated: number of structures evaluated.
        seconds: time spent in the model.
    """

    def __init__(self, connection: Connection, potential: Potential) -> None:
        self.connection = connection
        self.potential = potential
        self.evaluated = 0
        self.seconds = 0.0
        self._initialized = False

    @property
    def milliseconds(self) -> float:
        """Mean time of the model per structure, ms."""
        return 1e3 * self.seconds / max(self.evaluated, 1)

    def run(self) -> str:
        """Answer messages until i-PI ends the connection.

        Returns:
            A phrase that says how the connection ended.

        Raises:
            PetDriverError: the connection closed before any structure was evaluated, or a message
                breaks the protocol.
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
        return "i-PI sent EXIT"

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
                f"i-PI sent {header!r} instead of STATUS, INIT, POSDATA or EXIT; give the client "
                "the mode (unix, inet, shm) of the <ffsocket>"
            )

    def _exchange(self) -> None:
        """Read the structures that follow POSDATA and send their forces.

        By default, i-PI sends GETFORCE together with the positions. It is read before the forces
        are computed: if a client fails with unread data, the kernel sends a connection reset, and
        i-PI 3.3 then hangs; after an orderly close it gives the work to another client. A server
        with ``<consolidate_messages> False`` sends STATUS first.
        """
        cells, positions = self.connection.read_structures()
        header = self.connection.read_header()
        started = time.perf_counter()
        # With a draw for each structure (-each), the padding is evaluated too: the counter must
        # advance by the same number in every step, or a resumed run would draw other rotations.
        each = parse_grid_name(self.potential.grid).each
        n_real = len(cells) if each else _count_without_padding(cells, positions)
        results = self.potential.compute(cells[:n_real], positions[:n_real])
        self.seconds += time.perf_counter() - started
        while header == "STATUS":
            self.connection.send_header("HAVEDATA")
            header = self.connection.read_header()
        if header != "GETFORCE":
            raise PetDriverError(
                f"i-PI sent {header!r} instead of GETFORCE after the positions; this client speaks "
                "the protocol of i-PI 3.3"
            )
        self.connection.send_forces(results + results[-1:] * (len(cells) - n_real))
        self.evaluated += n_real


def _count_without_padding(cells: np.ndarray, positions: np.ndarray) -> int:
    """Return the number of structures without the copies of the last one that fill a batch."""
    count = len(positions)
    while count > 1 and np.array_equal(positions[count - 2], positions[count - 1]):
        if not np.array_equal(cells[count - 2], cells[count - 1]):
            break
        count -= 1
    return count


def connect(where: Address, timeout: float, report: Callable[[str], None]) -> Connection:
    """Connect to i-PI, and retry until it listens.

    Args:
        where: address of i-PI.
        timeout: seconds after which to give up.
        report: called once if the first attempt fails.

    Raises:
        PetDriverError: the host is unknown, or nothing listens within ``timeout``.
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
        # without a timeout, connect() to a host that drops packets takes minutes
        sock = socket.create_connection((where.address, where.port), max(timeout, RETRY_INTERVAL))
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # detects a host that is gone
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
        remedy = "start i-PI, or give the address of its <ffsocket>"
    reason = error.strerror or error
    return f"no i-PI at {where} within {timeout:g} s ({reason}); {remedy}"
