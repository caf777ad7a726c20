"""Write the pages of the Python API from the package itself, so that no public name is left out.

A page names what it documents in a marker:

    <!-- public names -->       names in `pet_driver.__all__`
    <!-- package NAME -->       names in `pet_driver.NAME.__all__`
    <!-- modules NAME -->       these and the modules of `pet_driver.NAME`, under headings
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pet_driver

MARKER = re.compile(r"<!-- (public names|package|modules) ?([\w.]*) -->")


def setup(app: Any) -> dict[str, bool]:
    """Connect the extension to Sphinx."""
    app.connect("source-read", _insert)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _insert(app: Any, page: str, source: list[str]) -> None:
    if page.startswith("reference/api/"):
        source[0] = expand(source[0])


def expand(text: str) -> str:
    """Replace the markers of a page by directives of autodoc."""
    return MARKER.sub(lambda match: "\n".join(_directives(match[1], match[2])), text)


def _directives(kind: str, name: str) -> Iterator[str]:
    if kind == "public names":
        for public in pet_driver.__all__:
            yield from _block(f"auto{_kind(getattr(pet_driver, public))}:: pet_driver.{public}")
        return
    package = importlib.import_module(f"pet_driver.{name}")
    documented = set(pet_driver.__all__)
    yield from _block(f"automodule:: pet_driver.{name}", documented)
    if kind == "modules":
        documented |= set(getattr(package, "__all__", ()))
        for module in pkgutil.iter_modules(package.__path__):
            if not module.ispkg:
                full = f"pet_driver.{name}.{module.name}"
                yield from (f"## {full}", "")
                yield from _block(f"automodule:: {full}", documented)


def _block(directive: str, excluded: Iterable[str] = ()) -> Iterator[str]:
    """Yield a directive; names that are documented elsewhere are excluded."""
    yield from ("```{eval-rst}", f".. {directive}")
    if excluded:
        yield f"   :exclude-members: {', '.join(sorted(excluded))}"
    yield from ("```", "")


def _kind(obj: Any) -> str:
    if not inspect.isclass(obj):
        return "function"
    return "exception" if issubclass(obj, Exception) else "class"
