"""Client side of the socket protocol of i-PI 3.3: ``<ffsocket mode="unix | inet | shm">``.

A message is a header of 12 ASCII characters; after some headers, binary data follow in the native
byte order: float64 for physical quantities, int32 for counts. i-PI sends, the client answers:

    STATUS    ->  the client answers NEEDINIT, READY or HAVEDATA
    INIT      ->  replica [int32], length [int32], parameters [length]
    POSDATA   ->  one structure: cell [3, 3], inverse cell [3, 3], N [int32], positions [N, 3]
                  a batch: N [int32], B x (cell, inverse cell), positions [B, N, 3]
                  shared memory: N [int32] and, the first time, the names of six segments
    GETFORCE  ->  the client answers FORCEREADY, energies [B], N [int32], forces [B, N, 3],
                  virials [B, 3, 3], B x (length [int32], extras [length])
    EXIT      ->  the client closes the connection

Lengths are in bohr, energies in hartree; cell vectors are columns. If the parameters of INIT
contain ``batch_size``, every later POSDATA and GETFORCE is a batch of B structures.
"""

import socket
from contextlib import suppress
from multiprocessing import resource_tracker, shared_memory
from typing import NamedTuple

import numpy as np

HEADER_LENGTH = 12
SEGMENTS = ("pos", "h", "ih", "pot", "force", "vir")  # names and order as in i-PI
CLOSE_TIMEOUT = 1.0  # seconds to wait for i-PI to see that a client closes the connection


class Disconnected(ConnectionError):
    """The server closed the connection."""


class Forces(NamedTuple):
    """Results for one structure, in hartree and bohr.

    Attributes:
        energy: hartree.
        forces: [N, 3] in hartree/bohr.
        virial: [3, 3] in hartree: -dE/dstrain, not divided by the volume.
        extras: JSON object with further quantities: ``raw_energy_ev`` and ``rotation_std_ev``; for
            ensembles ``ensemble_std_ev`` and ``max_force_std_ev_ang``; for random rotations
            ``rotation_counter``.
    """

    energy: float
    forces: np.ndarray
    virial: np.ndarray
    extras: str


class Connection:
    """Open socket to i-PI that reads structures and sends forces.

    Attributes:
        batch_size: number of structures in a message; set by :meth:`read_init`.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._batched = False
        self.batch_size = 1

    def close(self) -> None:
        """Shut the socket down for writing, read the remaining data, and close it.

        If a socket is closed with unread data, the kernel sends a connection reset, and i-PI 3.3
        then hangs.
        """
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            self._socket.settimeout(CLOSE_TIMEOUT)
            while self._socket.recv(2**16):
                pass
        self._socket.close()

    def read_header(self) -> str:
        """Wait for the next header and return it.

        Raises:
            Disconnected: the server closed the connection.
        """
        return self._read(HEADER_LENGTH).decode("ascii", "replace").strip()

    def send_header(self, name: str) -> None:
        """Send a header without data, such as ``"READY"``."""
        self._send(_header(name))

    def read_init(self) -> None:
        """Read the data of INIT and set ``batch_size`` from its parameters."""
        self._read_int()  # index of the replica: every client serves all replicas
        parameters = self._read(self._read_int()).decode("utf-8", "replace")
        for token in parameters.split(","):
            key, _, value = token.partition(":")
            if key.strip() == "batch_size" and value.strip().isdigit():
                self.batch_size = int(value)
        self._batched = self.batch_size > 1

    def read_structures(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the data of POSDATA.

        Returns:
            Cells [B, 3, 3] in bohr, vectors in columns; positions [B, N, 3] in bohr.
        """
        if self._batched:
            n_atoms = self._read_int()
            cells = self._read_floats(self.batch_size, 2, 3, 3)[:, 0]
        else:
            cells = self._read_floats(1, 2, 3, 3)[:, 0]
            n_atoms = self._read_int()
        return cells, self._read_floats(self.batch_size, n_atoms, 3)

    def send_forces(self, results: list[Forces]) -> None:
        """Answer GETFORCE with one result for each structure of the batch, in one message."""
        n_atoms = len(results[0].forces)
        self._send(
            _header("FORCEREADY")
            + _floats([result.energy for result in results])
            + np.int32(n_atoms).tobytes()
            + _floats([result.forces for result in results])
            + _floats([result.virial for result in results])
            + _extras(results)
        )

    def _read(self, n_bytes: int) -> bytes:
        buffer = bytearray(n_bytes)
        view = memoryview(buffer)
        while view:
            try:
                received = self._socket.recv_into(view)
            except OSError as error:
                raise Disconnected(str(error)) from error
            if received == 0:
                raise Disconnected("end of stream")
            view = view[received:]
        return bytes(buffer)

    def _read_int(self) -> int:
        return int(np.frombuffer(self._read(4), np.int32)[0])

    def _read_floats(self, *shape: int) -> np.ndarray:
        return np.frombuffer(self._read(8 * int(np.prod(shape)))).reshape(shape)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise Disconnected(str(error)) from error


class SharedMemoryConnection(Connection):
    """Connection for ``<ffsocket mode="shm">``.

    Arrays are exchanged in shared memory that i-PI owns, headers and extras through a unix socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._segments: dict[str, shared_memory.SharedMemory] = {}

    def close(self) -> None:
        super().close()
        for segment in self._segments.values():
            segment.close()
        self._segments = {}

    def read_structures(self) -> tuple[np.ndarray, np.ndarray]:
        n_atoms = self._read_int()
        if not self._segments:
            for kind in SEGMENTS:
                name = self._read(self._read_int()).decode()
                segment = shared_memory.SharedMemory(name=name)
                # without this, Python would remove the segment of i-PI when this process ends
                resource_tracker.unregister(f"/{segment.name.lstrip('/')}", "shared_memory")
                self._segments[kind] = segment
        # copies, because the segments may be closed while the arrays are in use
        cells = self._array("h", self.batch_size, 3, 3).copy()
        return cells, self._array("pos", self.batch_size, n_atoms, 3).copy()

    def send_forces(self, results: list[Forces]) -> None:
        shape = (len(results), *results[0].forces.shape)
        self._array("pot", len(results))[:] = [result.energy for result in results]
        self._array("force", *shape)[:] = [result.forces for result in results]
        self._array("vir", len(results), 3, 3)[:] = [result.virial for result in results]
        self._send(_header("FORCEREADY") + _extras(results))

    def _array(self, kind: str, *shape: int) -> np.ndarray:
        return np.ndarray(shape, np.float64, buffer=self._segments[kind].buf)


def _header(name: str) -> bytes:
    return name.ljust(HEADER_LENGTH).encode("ascii")


def _floats(values: list[float] | list[np.ndarray]) -> bytes:
    return np.asarray(values, np.float64).tobytes()


def _extras(results: list[Forces]) -> bytes:
    parts = []
    for result in results:
        text = result.extras.encode("utf-8")
        parts += [np.int32(len(text)).tobytes(), text]
    return b"".join(parts)
