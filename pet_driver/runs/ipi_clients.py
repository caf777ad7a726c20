"""Replace the in-process potentials of an i-PI input file by socket clients."""

from __future__ import annotations

import hashlib
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import torch

from pet_driver.runs.ipi_input import (
    batch_size,
    count_structures,
    is_pet,
    name_of,
    parameters,
    required,
    write_input,
)

SOCKETS = "/tmp/ipi_"  # i-PI's prefix of the paths of its unix sockets


def replace_by_clients(path: Path, folder: Path, clients: int) -> list[list[list[str]]]:
    """Replace the in-process potentials of an input file by sockets; clients share the beads.

    Args:
        path: the input file, which is overwritten.
        folder: folder of the run, from which the names of the sockets are made.
        clients: number of clients per force field.

    Returns:
        The command lines of the clients, by force field.
    """
    root = ElementTree.parse(path).getroot()
    commands: list[list[list[str]]] = []
    for number, field in enumerate([f for f in root.findall("ffdirect") if is_pet(f)]):
        digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
        address = f"pet-driver-{digest}-{number}"
        values = parameters(field)
        field.tag = "ffsocket"
        field.set("mode", "unix")
        for tag in ("pes", "pes_path", "parameters"):
            field.remove(required(field, tag))
        _share_batches(root, field, clients)
        # A killed i-PI leaves its socket, which would block the next. The lock on the folder
        # guarantees that no other run uses it.
        Path(SOCKETS + address).unlink(missing_ok=True)
        ElementTree.SubElement(field, "address").text = address
        devices = [_device_of(client, values.get("device", "cpu")) for client in range(clients)]
        commands.append([_command({**values, "device": device}, address) for device in devices])
    write_input(root, path)
    return commands


def _device_of(client: int, device: str) -> str:
    """Return the device of one client: the clients share the GPUs of the machine."""
    gpus = torch.cuda.device_count() if device in ("cuda", "auto") else 0
    return f"cuda:{client % gpus}" if gpus else device


def _share_batches(root: ElementTree.Element, field: ElementTree.Element, clients: int) -> None:
    """Reduce the batch size so that every client gets beads: i-PI sends whole batches."""
    count = count_structures(root, name_of(field))
    element = field.find("batch_size")
    if element is not None and count:
        element.text = f" {min(batch_size(field), -(-count // clients))} "


def _command(values: dict[str, str], address: str) -> list[str]:
    words = [sys.executable, "-m", "pet_driver", "ipi", values["model"], "-u", "-a", address]
    words += ["-t", values["template"], "--timeout", "600"]
    for key in ("device", "grid", "counter", "warn", "stop", "max_edges"):
        if key in values:
            words += [f"--{key.replace('_', '-')}", values[key]]
    if values.get("periodic", "True").lower() == "false":
        words.append("--non-periodic")
    return words
