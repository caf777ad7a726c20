"""Parsers of the four trajectory formats of i-PI.

- xyz: number of atoms, comment
  ``# CELL(abcABC): a b c A B C Step: n Bead: m positions{u} cell{u}``, one line per atom
- extxyz: i-PI's format 'ase' and any extended xyz, with ``Lattice="..."`` and ``Properties=...`` in
  the comment
- pdb: TITLE (with the step and the units), CRYST1, ATOM lines, END
- bin: cell (9 float64, vectors in columns), number of atoms, values, names, title (UCS-4, without a
  length)

``scan_*`` return one :class:`FrameEntry` per frame, ``parse_*`` return the values of a frame in the
units of the file. Units, restarts and time are handled by :mod:`pet_driver.analysis.ipi_file`.

MDAnalysis' and ASE's readers of xyz and pdb ignore i-PI's cell, step and units and fail on a frame
that a killed run left incomplete; i-PI's own (``ipi.scripting.read_trajectory``) reads whole files
into memory.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np

from pet_driver.analysis import fixed_width
from pet_driver.analysis.comments import PROPERTIES, cell_dimensions, ipi_quantity, xyz_cell
from pet_driver.errors import PetDriverError


class FrameEntry(NamedTuple):
    """Location of one frame in a file.

    Attributes:
        start: offset of its first byte.
        stop: offset after its last byte.
        comment: its comment line.
        complete: whether the frame is complete.
    """

    start: int
    stop: int
    comment: str
    complete: bool


class RawFrame(NamedTuple):
    """One frame in the units of the file.

    Attributes:
        values: [N, 3].
        cell: a, b, c, alpha, beta, gamma, or ``None``.
    """

    values: np.ndarray
    cell: np.ndarray | None


Data: TypeAlias = bytes | mmap.mmap


def _find_all(data: Data, token: bytes) -> Iterator[int]:
    found = data.find(token)
    while found >= 0:
        yield found
        found = data.find(token, found + len(token))


def _line(data: Data, start: int) -> tuple[bytes, int]:
    """Return the line at ``start`` without its newline, and the next offset (-1 at the end)."""
    end = data.find(b"\n", start)
    if end < 0:
        return data[start:], -1
    return data[start:end].rstrip(b"\r"), end + 1


# in the comment of each frame; i-PI reads a comment without a cell as well
_TOKENS = (b"CELL", b"Lattice=", b"Properties=", b"positions{")


def scan_xyz(data: Data, path: str) -> tuple[int, list[FrameEntry]]:
    """Find the frames of an xyz or extxyz file.

    A frame that a killed run did not complete is marked, and the next one is found by its comment,
    so that a file to which a restarted run appended stays readable.

    Args:
        data: the content of the file.
        path: its name, for messages.

    Returns:
        The number of atoms, and the frames.

    Raises:
        PetDriverError: not a trajectory of i-PI or an extended xyz file, or a damaged one.
    """
    first, second = _line(data, 0)
    if first.startswith(b"ITEM:"):
        raise PetDriverError(
            f"{path}: is a dump of LAMMPS; read it with water_universe, or with "
            "MDAnalysis.Universe(..., format='RESTARTEDDUMP', topology_format='LAMMPSDUMP')"
        )
    try:
        n_atoms = int(first)
    except ValueError:
        raise PetDriverError(
            f"{path}: line 1 is {first[:60].decode(errors='replace')!r}, not a number of atoms; "
            "is this an xyz or extxyz trajectory?"
        ) from None
    comment = _line(data, second)[0] if second > 0 else b""
    token = next((t for t in _TOKENS if t in comment), None)
    if token is None:
        raise PetDriverError(
            f"{path}: line 2 names neither CELL{{...}} nor Lattice=; this is not a trajectory of "
            "i-PI or an extended xyz file (read plain xyz with MDAnalysis' own format XYZ)"
        )
    comments: list[int] = []
    for found in _find_all(data, token):
        start = data.rfind(b"\n", 0, found) + 1
        if not comments or comments[-1] != start:
            comments.append(start)
    starts = [data.rfind(b"\n", 0, start - 1) + 1 for start in comments]
    frames: list[FrameEntry] = []
    for k, start in enumerate(comments):
        stop = starts[k + 1] if k + 1 < len(comments) else len(data)
        text, body = _line(data, start)
        end = _end_of_body(data, body, stop, n_atoms, path, k) if body > 0 else 0
        complete = end > 0
        if complete and (not frames or frames[-1].complete):
            _check_count(data[starts[k] : start], n_atoms, path, k)
        stop = end or stop
        frames.append(FrameEntry(starts[k], stop, text.decode(errors="replace"), complete))
    return n_atoms, frames


def _end_of_body(data: Data, body: int, stop: int, n_atoms: int, path: str, k: int) -> int:
    """Return the end of a complete frame, 0 for an incomplete one."""
    block = data[body:stop]
    lines = block.count(b"\n")
    if lines > n_atoms:
        rows = block.rstrip()
        last = rows.rfind(b"\n") + 1
        if rows.count(b"\n") == n_atoms and rows[last:].strip() == str(n_atoms).encode():
            return body + last  # of the next frame, only the number of atoms was written
        if rows.count(b"\n") >= n_atoms:
            raise PetDriverError(
                f"{path}: frame {k} has more lines than its {n_atoms} atoms; the file is damaged "
                "there"
            )
    if lines >= n_atoms:
        return stop
    # the last line of a file may lack its newline, but must be as long as the others
    tail = block[block.rfind(b"\n") + 1 :]
    complete = lines == n_atoms - 1 and len(tail) >= max(block.find(b"\n"), 1)
    return stop if complete else 0


def _check_count(line: bytes, n_atoms: int, path: str, k: int) -> None:
    if line.strip() != str(n_atoms).encode():
        raise PetDriverError(
            f"{path}: frame {k} announces {line.strip().decode(errors='replace')!r} atoms where "
            f"the first one has {n_atoms}; a trajectory must keep its number of atoms"
        )


def parse_xyz(block: bytes, n_atoms: int) -> RawFrame:
    """Return the values of an xyz or extxyz frame.

    Raises:
        ValueError: the frame is damaged.
    """
    start = block.find(b"\n") + 1
    body = block.find(b"\n", start) + 1
    comment = block[start:body].decode(errors="replace")
    width, first = value_columns(comment, len(block[body : block.find(b"\n", body)].split()))
    values = fixed_width.parse_columns(block[body:], n_atoms, width, first)
    if values is None:
        tokens = block[body:].split()
        if len(tokens) != width * n_atoms:
            raise ValueError(f"{len(tokens)} fields for {n_atoms} atoms of {width} columns")
        values = np.array([list(map(float, tokens[first + k :: width])) for k in range(3)]).T
    cell, rotation = xyz_cell(comment)
    return RawFrame(values if rotation is None else values @ rotation, cell)


def names_xyz(block: bytes, n_atoms: int) -> list[str]:
    """Return the names of the atoms of an xyz or extxyz frame."""
    start = block.find(b"\n") + 1
    body = block.find(b"\n", start) + 1
    column = name_column(block[start:body].decode(errors="replace"))
    return [line.split()[column].decode() for line in block[body:].splitlines()[:n_atoms]]


def _property_columns(comment: str) -> dict[str, tuple[int, int]]:
    match = PROPERTIES.search(comment)
    if match is None:
        return {}
    fields = match.group(1).strip('"').split(":")
    columns, offset = {}, 0
    for name, count in zip(fields[::3], fields[2::3], strict=False):
        columns[name] = (offset, int(count))
        offset += int(count)
    columns[""] = (offset, 0)  # the number of columns of a line
    return columns


def value_columns(comment: str, width: int) -> tuple[int, int]:
    """Return the number of columns of an xyz or extxyz frame, and the first value column.

    Args:
        comment: the comment of the frame.
        width: the number of columns, for comments without ``Properties``.
    """
    columns = _property_columns(comment)
    if not columns:
        return max(width, 4), 1
    quantity = ipi_quantity(comment)[0]
    name = quantity if quantity and quantity in columns else "pos"
    if name not in columns:
        raise ValueError(f"no column '{name}' in Properties")
    return columns[""][0], columns[name][0]


def name_column(comment: str) -> int:
    """Return the column with the names of the atoms."""
    return _property_columns(comment).get("species", (0, 1))[0]


def scan_pdb(data: Data, path: str) -> tuple[int, list[FrameEntry]]:
    """Find the frames of a pdb file of i-PI, like :func:`scan_xyz`."""
    token = b"TITLE" if data[:5] == b"TITLE" else b"CRYST1"
    starts = list(_find_all(data, token))
    if not starts or starts[0] != 0:
        raise PetDriverError(f"{path}: starts with neither TITLE nor CRYST1; not a pdb of i-PI")
    n_atoms, frames = 0, []
    for k, start in enumerate(starts):
        stop = starts[k + 1] if k + 1 < len(starts) else len(data)
        block = data[start:stop]
        count = block.count(b"\nATOM")
        complete = block.rstrip().endswith(b"\nEND")
        if complete and not n_atoms:
            n_atoms = count
        elif complete:
            _check_count(str(count).encode(), n_atoms, path, k)
        comment = _line(data, start)[0].decode(errors="replace") if token == b"TITLE" else ""
        frames.append(FrameEntry(start, stop, comment, complete))
    return n_atoms, frames


def parse_pdb(block: bytes, n_atoms: int) -> RawFrame:
    """Return the values of a pdb frame.

    The columns are counted from the right, because a long atom number shifts the others. After the
    three coordinates (8 columns each) i-PI writes 26 more columns.

    Raises:
        ValueError: the frame is damaged.
    """
    values, cell = [], None
    for line in block.decode(errors="replace").splitlines():
        if line.startswith("ATOM"):
            if line[-53:-50].strip():
                raise ValueError(f"the coordinates {line[-53:-26].strip()} run into each other")
            values.append([float(line[at : at + 8 or None]) for at in (-50, -42, -34)])
        elif line.startswith("CRYST1"):
            edges = [6, 15, 24, 33, 40, 47, 54]
            cell = np.array([line[a:b] for a, b in pairwise(edges)], float)
    if len(values) != n_atoms:
        raise ValueError(f"{len(values)} ATOM lines for {n_atoms} atoms")
    if cell is not None and not (cell[:3] > 0).all():
        cell = None
    return RawFrame(np.array(values), cell)


def names_pdb(block: bytes, n_atoms: int) -> list[str]:
    """Return the names of the atoms of a pdb frame."""
    lines = block.decode(errors="replace").splitlines()
    return [line[12:16].strip() for line in lines if line.startswith("ATOM")]


_UCS4_CELL = "cell{".encode("utf-32-le")
_UCS4_END = "}".encode("utf-32-le")
_TITLE_MAX = 4 * 1000


def scan_bin(data: Data, path: str) -> tuple[int, list[FrameEntry]]:
    """Find the frames of a binary file of i-PI, like :func:`scan_xyz`.

    Integers are little-endian and have 64 bits. The length of the title is not in the file; the
    title ends with the brace of ``cell{unit}``.
    """
    n_atoms, offset, size = 0, 0, len(data)
    frames: list[FrameEntry] = []
    while offset < size:
        count = int(np.frombuffer(data[offset + 72 : offset + 80].ljust(8, b"\0"), "<i8")[0])
        if offset + 80 <= size and (count <= 0 or (n_atoms and count != n_atoms)):
            raise PetDriverError(
                f"{path}: frame {len(frames)} announces {count} atoms"
                + (f" where the first one has {n_atoms}" if n_atoms else "")
                + "; the file is damaged there, or not a binary trajectory of i-PI"
            )
        end, title = _bin_title(data, offset, count)
        if title is None and end < size:
            raise PetDriverError(f"{path}: frame {len(frames)} has no title; the file is damaged")
        frames.append(FrameEntry(offset, end, title or "", title is not None))
        n_atoms, offset = n_atoms or count, end
    return n_atoms, frames


def _bin_title(data: Data, offset: int, count: int) -> tuple[int, str | None]:
    """Return the end of the frame at ``offset`` and its title, None if it is incomplete."""
    size = len(data)
    names = offset + 80 + 24 * count
    if names + 8 > size:
        return size, None
    title = names + 8 + 4 * int(np.frombuffer(data[names : names + 8], "<i8")[0])
    mark = data.find(_UCS4_CELL, title, title + _TITLE_MAX)
    end = data.find(_UCS4_END, mark, mark + 4 * 60) if mark >= 0 else -1
    if end < 0:
        return (size if title + _TITLE_MAX > size else title), None
    return end + 4, data[title : end + 4].decode("utf-32-le", errors="replace")


def parse_bin(block: bytes, n_atoms: int) -> RawFrame:
    """Return the values of a frame of a binary file."""
    vectors = np.frombuffer(block, "<f8", 9).reshape(3, 3).T
    values = np.frombuffer(block, "<f8", 3 * n_atoms, 80).reshape(n_atoms, 3)
    return RawFrame(values, cell_dimensions(vectors))


def names_bin(block: bytes, n_atoms: int) -> list[str]:
    """Return the names of the atoms of a frame of a binary file."""
    offset = 80 + 24 * n_atoms
    length = int(np.frombuffer(block, "<i8", 1, offset)[0])
    return block[offset + 8 : offset + 8 + 4 * length].decode("utf-32-le").split("|")


SCANNERS = {"xyz": scan_xyz, "pdb": scan_pdb, "bin": scan_bin}
PARSERS = {"xyz": parse_xyz, "pdb": parse_pdb, "bin": parse_bin}
NAMES = {"xyz": names_xyz, "pdb": names_pdb, "bin": names_bin}


def detect_format(data: Data, path: str) -> str:
    """Return the format of a file ("xyz", "pdb" or "bin"), by its suffix or its first bytes."""
    if path.endswith(".bin"):
        return "bin"
    head = bytes(data[:6])
    return "pdb" if head.startswith((b"TITLE", b"CRYST1")) else "xyz"
