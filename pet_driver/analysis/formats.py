"""The four trajectory formats of i-PI: where each frame lies in the file, and its numbers.

    xyz      count, comment "# CELL(abcABC): a b c A B C Step: n Bead: m positions{u} cell{u}",
             one line an atom
    extxyz   i-PI's format 'ase', and any extended xyz: Lattice="..." and Properties=... in the
             comment
    pdb      TITLE (with the step and the units), CRYST1, ATOM lines, END
    bin      cell (9 float64, vectors in columns), count, values, names, title (UCS-4, no length)

``scan_*`` return one :class:`FrameEntry` a frame; ``parse_*`` return the values as they stand in
the file. Units, restarts and time are the business of :mod:`pet_driver.analysis.ipi_file`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from MDAnalysis.lib.mdamath import triclinic_box

from pet_driver.analysis import fixed_width
from pet_driver.errors import PetDriverError


class FrameEntry(NamedTuple):
    """One frame in a file.

    Attributes:
        start, stop: byte range of the whole frame.
        comment: its comment.
        complete: whether it is whole.
    """

    start: int
    stop: int
    comment: str
    complete: bool


class RawFrame(NamedTuple):
    """One frame as it stands in the file.

    Attributes:
        values: [N, 3].
        cell: [6] or ``None``.
    """

    values: np.ndarray
    cell: np.ndarray | None


_LATTICE = re.compile(r'Lattice="([^"]*)"', re.IGNORECASE)
_PROPERTIES = re.compile(r"Properties=(\S+)", re.IGNORECASE)
_ABC = re.compile(r"CELL[(\[{]abcABC[)\]}]:\s*((?:[-+0-9.Ee]+\s+){5}[-+0-9.Ee]+)")


def _positions_of(data, token: bytes) -> Iterator[int]:
    found = data.find(token)
    while found >= 0:
        yield found
        found = data.find(token, found + len(token))


def _line(data, start: int) -> tuple[bytes, int]:
    """The line from ``start`` without its end, and where the next one begins (-1 at the end)."""
    end = data.find(b"\n", start)
    if end < 0:
        return data[start:], -1
    return data[start:end].rstrip(b"\r"), end + 1


def scan_xyz(data, path: str) -> tuple[int, list[FrameEntry]]:
    """Frames of an xyz or extxyz file.

    A frame that breaks off (a killed run) is marked incomplete, and the next one is found again by
    its comment, so that a file to which a restarted run appended stays readable.

    Returns:
        the number of atoms; the frames.
    """
    first, second = _line(data, 0)
    try:
        n_atoms = int(first)
    except ValueError:
        raise PetDriverError(
            f"{path}: line 1 is {first[:60].decode(errors='replace')!r}, not a number of atoms; "
            "is this an xyz or extxyz trajectory?"
        ) from None
    comment = _line(data, second)[0] if second > 0 else b""
    token = next((t for t in (b"CELL", b"Lattice=", b"Properties=") if t in comment), None)
    if token is None:
        raise PetDriverError(
            f"{path}: line 2 names neither CELL{{...}} nor Lattice=; this is not a trajectory of "
            "i-PI or an extended xyz file (read plain xyz with MDAnalysis' own format XYZ)"
        )
    comments = []
    for found in _positions_of(data, token):
        start = data.rfind(b"\n", 0, found) + 1
        if not comments or comments[-1] != start:
            comments.append(start)
    heads = [data.rfind(b"\n", 0, start - 1) + 1 for start in comments]
    frames = []
    for k, start in enumerate(comments):
        stop = heads[k + 1] if k + 1 < len(comments) else len(data)
        text, body = _line(data, start)
        end = _end_of_body(data, body, stop, n_atoms, path, k) if body > 0 else 0
        complete = end > 0
        if complete and (not frames or frames[-1].complete):
            _check_count(data[heads[k] : start], n_atoms, path, k)
        stop = end or stop
        frames.append(FrameEntry(heads[k], stop, text.decode(errors="replace"), complete))
    return n_atoms, frames


def _end_of_body(data, body: int, stop: int, n_atoms: int, path: str, k: int) -> int:
    """Where a frame ends that is whole; 0 if it is not."""
    block = data[body:stop]
    lines = block.count(b"\n")
    if lines > n_atoms:
        rows = block.rstrip()
        last = rows.rfind(b"\n") + 1
        if rows.count(b"\n") == n_atoms and rows[last:].strip() == str(n_atoms).encode():
            return body + last  # the next frame broke off behind its number of atoms
        if rows.count(b"\n") >= n_atoms:
            raise PetDriverError(
                f"{path}: frame {k} has more lines than its {n_atoms} atoms; the file is damaged "
                "there"
            )
    if lines >= n_atoms:
        return stop
    # the last line of a file may lack its end, but must be as long as the others
    tail = block[block.rfind(b"\n") + 1 :]
    whole = lines == n_atoms - 1 and len(tail) >= max(block.find(b"\n"), 1)
    return stop if whole else 0


def _check_count(line: bytes, n_atoms: int, path: str, k: int) -> None:
    if line.strip() != str(n_atoms).encode():
        raise PetDriverError(
            f"{path}: frame {k} announces {line.strip().decode(errors='replace')!r} atoms where "
            f"the first one has {n_atoms}; a trajectory must keep its number of atoms"
        )


def parse_xyz(block: bytes, n_atoms: int) -> RawFrame:
    """One xyz or extxyz frame; the columns of extxyz are chosen by :func:`value_columns`."""
    head = block.find(b"\n") + 1
    body = block.find(b"\n", head) + 1
    comment = block[head:body].decode(errors="replace")
    width, first = value_columns(comment, len(block[body : block.find(b"\n", body)].split()))
    values = fixed_width.table(block[body:], n_atoms, width, first)
    if values is not None:
        return RawFrame(values, xyz_cell(comment))
    tokens = block[body:].split()
    if len(tokens) != width * n_atoms:
        raise ValueError(f"{len(tokens)} fields for {n_atoms} atoms of {width} columns")
    columns = [list(map(float, tokens[first + axis :: width])) for axis in range(3)]
    return RawFrame(np.array(columns).T, xyz_cell(comment))


def names_xyz(block: bytes, n_atoms: int) -> list[str]:
    """The symbols of one xyz or extxyz frame."""
    head = block.find(b"\n") + 1
    body = block.find(b"\n", head) + 1
    column = name_column(block[head:body].decode(errors="replace"))
    return [line.split()[column].decode() for line in block[body:].splitlines()[:n_atoms]]


def _property_columns(comment: str) -> dict[str, tuple[int, int]]:
    match = _PROPERTIES.search(comment)
    if match is None:
        return {}
    fields = match.group(1).strip('"').split(":")
    columns, at = {}, 0
    for name, count in zip(fields[::3], fields[2::3], strict=False):
        columns[name] = (at, int(count))
        at += int(count)
    columns[""] = (at, 0)  # the width of a line
    return columns


def value_columns(comment: str, width: int) -> tuple[int, int]:
    """The number of columns and the first value column of an xyz or extxyz frame."""
    columns = _property_columns(comment)
    if not columns:
        return max(width, 4), 1
    quantity = ipi_quantity(comment)[0]
    name = quantity if quantity and quantity in columns else "pos"
    if name not in columns:
        raise ValueError(f"no column '{name}' in Properties")
    return columns[""][0], columns[name][0]


def name_column(comment: str) -> int:
    """The column that holds the symbols."""
    return _property_columns(comment).get("species", (0, 1))[0]


def xyz_cell(comment: str) -> np.ndarray | None:
    """The cell a, b, c, alpha, beta, gamma of a comment in the file's own unit, or None."""
    match = _LATTICE.search(comment)
    if match is not None:
        vectors = np.array(match.group(1).split(), float).reshape(3, 3)
        return _dimensions(vectors)
    match = _ABC.search(comment)
    if match is None:
        return None
    cell = np.array(match.group(1).split(), float)
    return cell if (cell[:3] > 0).all() else None


def _dimensions(vectors: np.ndarray) -> np.ndarray | None:
    if abs(np.linalg.det(vectors)) < 1e-12:
        return None
    scale = np.abs(vectors).max()
    # MDAnalysis knows lengths and angles alone
    if np.abs(vectors[np.triu_indices(3, 1)]).max() > 1e-6 * scale or vectors.diagonal().min() <= 0:
        raise ValueError(
            "the cell's first vector does not lie along x, its second not in the xy plane above "
            "x, or its third not above that; turn the structure with ASE's cell.standard_form()"
        )
    return np.array(triclinic_box(*vectors), float)


_QUANTITY = re.compile(r"([A-Za-z_]\w*)(\([^)]*\))?\{([^}]*)\}")
_STEP = re.compile(r"Step:\s*(-?\d+)")


def ipi_quantity(comment: str) -> tuple[str, str]:
    """The quantity and its unit from ``positions{angstrom}``; ("", "") without such a mark."""
    for name, _, unit in _QUANTITY.findall(comment):
        if name.lower() != "cell":
            return name, unit
    return "", ""


def ipi_cell_unit(comment: str) -> str | None:
    """The unit of the cell from ``cell{angstrom}``, None without such a mark."""
    for name, _, unit in _QUANTITY.findall(comment):
        if name == "cell":
            return unit
    return None


def ipi_step(comment: str) -> int:
    """The step of a comment, -1 without one."""
    match = _STEP.search(comment)
    return int(match.group(1)) if match else -1


def scan_pdb(data, path: str) -> tuple[int, list[FrameEntry]]:
    """Frames of a pdb file of i-PI."""
    token = b"TITLE" if data[:5] == b"TITLE" else b"CRYST1"
    starts = list(_positions_of(data, token))
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
    """One pdb frame; fields are counted from the right, where the atom's number cannot shift them.

    After the three coordinates (8 columns each) i-PI writes 26 more columns.
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
    """The names of one pdb frame."""
    lines = block.decode(errors="replace").splitlines()
    return [line[12:16].strip() for line in lines if line.startswith("ATOM")]


_UCS4_CELL = "cell{".encode("utf-32-le")
_UCS4_END = "}".encode("utf-32-le")
_TITLE_MAX = 4 * 1000


def scan_bin(data, path: str) -> tuple[int, list[FrameEntry]]:
    """Frames of a binary file of i-PI (little-endian, 64-bit integers).

    The title has no length of its own; it ends with the brace of ``cell{unit}``.
    """
    n_atoms, frames, at, size = 0, [], 0, len(data)
    while at < size:
        count = int(np.frombuffer(data[at + 72 : at + 80].ljust(8, b"\0"), "<i8")[0])
        if at + 80 <= size and (count <= 0 or (n_atoms and count != n_atoms)):
            raise PetDriverError(
                f"{path}: frame {len(frames)} announces {count} atoms"
                + (f" where the first one has {n_atoms}" if n_atoms else "")
                + "; the file is damaged there, or not a binary trajectory of i-PI"
            )
        end, title = _bin_title(data, at, count)
        if title is None and end < size:
            raise PetDriverError(f"{path}: frame {len(frames)} has no title; the file is damaged")
        frames.append(FrameEntry(at, end, title or "", title is not None))
        n_atoms, at = n_atoms or count, end
    return n_atoms, frames


def _bin_title(data, at: int, count: int) -> tuple[int, str | None]:
    """The end of the frame at ``at`` and its title; (end of file, None) if it breaks off."""
    size = len(data)
    names = at + 80 + 24 * count
    if names + 8 > size:
        return size, None
    title = names + 8 + 4 * int(np.frombuffer(data[names : names + 8], "<i8")[0])
    mark = data.find(_UCS4_CELL, title, title + _TITLE_MAX)
    end = data.find(_UCS4_END, mark, mark + 4 * 60) if mark >= 0 else -1
    if end < 0:
        return (size if title + _TITLE_MAX > size else title), None
    return end + 4, data[title : end + 4].decode("utf-32-le", errors="replace")


def parse_bin(block: bytes, n_atoms: int) -> RawFrame:
    """One frame of a binary file."""
    vectors = np.frombuffer(block, "<f8", 9).reshape(3, 3).T
    values = np.frombuffer(block, "<f8", 3 * n_atoms, 80).reshape(n_atoms, 3)
    return RawFrame(values, _dimensions(vectors))


def names_bin(block: bytes, n_atoms: int) -> list[str]:
    """The names of one binary frame."""
    at = 80 + 24 * n_atoms
    length = int(np.frombuffer(block, "<i8", 1, at)[0])
    return block[at + 8 : at + 8 + 4 * length].decode("utf-32-le").split("|")


SCANNERS = {"xyz": scan_xyz, "pdb": scan_pdb, "bin": scan_bin}
PARSERS = {"xyz": parse_xyz, "pdb": parse_pdb, "bin": parse_bin}
NAMES = {"xyz": names_xyz, "pdb": names_pdb, "bin": names_bin}


def kind_of(data, path: str) -> str:
    """Which format a file has: by its suffix for bin, by its first bytes otherwise."""
    if path.endswith(".bin"):
        return "bin"
    head = bytes(data[:6])
    return "pdb" if head.startswith((b"TITLE", b"CRYST1")) else "xyz"
