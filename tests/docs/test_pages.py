"""The documentation is complete, and what it links to exists."""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import pet_driver
from pet_driver.cli import app
from pet_driver.runs import Run

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
API = DOCS / "reference" / "api"
PAGES = sorted(
    [
        *DOCS.rglob("*.md"),
        *ROOT.glob("*.md"),
        *(ROOT / "workflows").rglob("*.md"),
        *(ROOT / "inputs").rglob("*.md"),
    ]
)
sys.path.append(str(DOCS / "_extensions"))

# Packages whose public names are the list ``__all__``, which autodoc documents in full.
PUBLIC_PACKAGES = (
    *("analysis", "building", "checkpoints", "engines.ipi", "engines.lammps", "network"),
    *("probe", "report", "runs", "symmetry"),
)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_readme_has_at_most_120_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_internal_links_resolve(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target}: there is no such file"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{target}: there is no such heading"


def links(page: Path) -> Iterator[str]:
    """Yield the targets of links and images that are not addresses."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page: headings as GitHub and MyST write them, commands, targets."""
    text = page.read_text()
    if page == DOCS / "reference" / "command-line.md":
        from command_reference import command_reference

        text += command_reference()
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    found = {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in headings}
    return found | set(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))


def test_every_page_is_at_most_two_clicks_from_the_start() -> None:
    start = DOCS / "index.md"
    reached = {start}
    for _ in range(2):
        for page in list(reached):
            targets = (target.partition("#")[0] for target in links(page))
            linked = {(page.parent / target).resolve() for target in targets if target}
            reached |= {found for found in linked if found.suffix == ".md"}
    assert set(DOCS.rglob("*.md")) <= reached


def test_questions_have_answers() -> None:
    rows = [line for line in (DOCS / "questions.md").read_text().splitlines() if "?" in line]
    assert len(rows) >= 10
    assert all(re.search(r"\]\([^)]+\.md", row) for row in rows)


def test_command_line_reference_has_every_command_and_option() -> None:
    from command_reference import MARKER, command_reference, commands

    assert MARKER in (DOCS / "reference" / "command-line.md").read_text()
    text = command_reference()
    names = []
    for name, command in commands(typer.main.get_command(app), "pet-driver"):
        names.append(name)
        section = text.split(f"## {name}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert option in section, f"{name} {option}"
    registered = len(app.registered_commands) + sum(
        len(group.typer_instance.registered_commands) for group in app.registered_groups
    )
    assert len(names) == registered >= 11


def test_api_reference_has_every_public_name() -> None:
    from api_reference import expand

    text = expand((API / "pet_driver.md").read_text())
    for name in pet_driver.__all__:
        assert re.search(rf":: pet_driver\.{name}$", text, re.MULTILINE), name


@pytest.mark.parametrize("package", PUBLIC_PACKAGES)
def test_api_reference_has_every_public_package(package: str) -> None:
    module = importlib.import_module(f"pet_driver.{package}")
    pages = "".join(page.read_text() for page in API.glob("*.md"))
    assert re.search(rf"<!-- (package|modules) {re.escape(package)} -->", pages), package
    assert module.__all__
    for name in module.__all__:
        documented = getattr(module, name)
        if callable(documented):
            assert documented.__doc__, f"{package}.{name} has no docstring"


@pytest.mark.parametrize("package", ["model", "neighbors", "symmetry", "engines.ipi"])
def test_api_reference_has_every_module(package: str) -> None:
    from api_reference import expand

    text = expand("".join(page.read_text() for page in API.glob("*.md")))
    folder = ROOT.joinpath("pet_driver", *package.split("."))
    for path in folder.glob("[!_]*.py"):
        assert f":: pet_driver.{package}.{path.stem}\n" in text, path


def test_table_of_run_json_has_its_entries() -> None:
    text = (DOCS / "reference" / "outputs.md").read_text()
    table = text.split("## Record of a run")[1].split("\n## ")[0]
    named = [re.findall(r"`(\w+)`", row.split("|")[1]) for row in table.splitlines() if "|" in row]
    entries = {field.name for field in dataclasses.fields(Run)}
    assert {name for names in named for name in names} <= entries


def test_input_files_page_has_every_folder() -> None:
    text = (DOCS / "guide" / "input-files.md").read_text()
    folders = {page.parent.name for page in (ROOT / "inputs").glob("*/README.md")}
    assert set(re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)) == folders


def test_modules_named_in_developer_pages_exist() -> None:
    for page in (DOCS / "developer").glob("*.md"):
        paths = r"`((?:pet_driver|lammps_plugin|tests|docs)/[\w/.-]+\.\w+)`"
        for name in re.findall(paths, page.read_text()):
            assert (ROOT / name).exists() or "NAME" in name, f"{page.name}: {name}"
