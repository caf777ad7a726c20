"""Socket clients in place of the potential in i-PI's own process."""

from __future__ import annotations

import hashlib
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import torch

from pet_driver.runs.ipi_input import is_pet, parameters, structures_of, write

SOCKETS = "/tmp/ipi_"  # where i-PI makes its Unix sockets


def with_clients(path: Path, folder: Path, clients: int) -> list[list[list[str]]]:
    """Turn the in-process potentials of an input into sockets; clients share beads and replicas.

    Args:
        path: the input, which is written anew.
        folder: of the run; it gives the sockets names of their own.
        clients: by force field.

    Returns:
        The commands that start the clients, by force field.
    """
    root = ElementTree.parse(path).getroot()
    commands = []
    for number, field in enumerate([f for f in root.findall("ffdirect") if is_pet(f)]):
        digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
        address = f"pet-driver-{digest}-{number}"
        found = parameters(field)
        field.tag = "ffsocket"
        field.set("mode", "unix")
        for tag in ("pes", "pes_path", "parameters"):
            field.remove(field.find(tag))
        _share_batches(root, field, clients)
        # A killed i-PI leaves it, in the way of the next; the folder's lock tells that none lives.
        Path(SOCKETS + address).unlink(missing_ok=True)
        ElementTree.SubElement(field, "address").text = address
        commands.append([])
        for client in range(clients):
            device = _device_of(client, found.get("device", "cpu"))
            commands[-1].append(_client({**found, "device": device}, address))
    write(root, path)
    return commands


def _device_of(client: int, device: str) -> str:
    """Clients share the GPUs of the machine."""
    gpus = torch.cuda.device_count() if device in ("cuda", "auto") else 0
    return f"cuda:{client % gpus}" if gpus else device


def _share_batches(root: ElementTree.Element, field: ElementTree.Element, clients: int) -> None:
    """i-PI hands out batches: one that holds all beads would leave the other clients idle."""
    asked = structures_of(root, field.get("name"))
    size = field.find("batch_size")
    if size is not None and asked:
        size.text = f" {min(int(size.text), -(-asked // clients))} "


def _client(found: dict[str, str], address: str) -> list[str]:
    words = [sys.executable, "-m", "pet_driver", "ipi", found["model"], "-u", "-a", address]
    words += ["-t", found["template"], "--timeout", "600"]
    for key in ("device", "grid", "counter", "warn", "stop", "max_edges"):
        if key in found:
            words += [f"--{key.replace('_', '-')}", found[key]]
    if found.get("periodic", "True").lower() == "false":
        words.append("--non-periodic")
    return words
