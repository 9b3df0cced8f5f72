"""Who may import whom, read off the sources: the dependency rule of the project."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
QT = {"PySide6", "shiboken6", "pyqtgraph", "qdarkstyle", "qtpy"}
OURS = ("app", "engine", "training")
TORCH_ALLOWED = {
    "app.__main__",  # inside a function, for Windows alone: there torch must be loaded before Qt
    "engine.method",
    "engine.networks",
    "engine.one_pass",
    "engine.checkpoint",
    "engine.covariance",
    "engine.splits",
    "engine.denoise",
    "engine.device",
    "engine.foreign",
    "engine.spandrel_networks",
}


RUN_NETWORKS = {"app.single", "app.options", "app.batch.run", "app.batch.command"}
"""Of the app: what the command line loads, and the window on the thread that runs networks."""


def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name; a package goes by its own."""
    found = {}
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(source: str, module: str, *, is_package: bool = False, at_start: bool = False) -> Iterator[str]:
    """Dotted names that a module imports; `from a import b` gives a.b, since b may be a module.

    Args:
        source: the module's text.
        module: its dotted name, to resolve relative imports.
        is_package: whether the source is a package's __init__.py.
        at_start: only what is imported when the module is: not inside functions, nor for type checkers alone.
    """
    base = module.split(".") if is_package else module.split(".")[:-1]
    nodes: list[ast.AST] = [ast.parse(source)]
    while nodes:
        node = nodes.pop()
        if at_start:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                nodes += node.orelse
                continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = base[: len(base) - node.level + 1] if node.level else []
            name = ".".join([*start, *([node.module] if node.module else [])])
            yield from (f"{name}.{alias.name}" for alias in node.names)
        nodes += ast.iter_child_nodes(node)


def top(name: str) -> str:
    return name.split(".")[0]


def offenders(module: str, names: set[str]) -> list[str]:
    """Of the imports of a module, anywhere in it, those whose top-level name is among `names`."""
    path = MODULES[module]
    found = imports(path.read_text(encoding="utf-8"), module, is_package=path.name == "__init__.py")
    return sorted(name for name in found if top(name) in names)


def loaded_with(module: str) -> dict[str, list[str]]:
    """What importing a module imports at once, ours and foreign: name -> the chain of modules that leads there."""
    chains: dict[str, list[str]] = {}
    open_ends = [(module, [module])]
    while open_ends:
        name, chain = open_ends.pop()
        while name not in MODULES and top(name) in OURS and "." in name:
            name = name.rpartition(".")[0]  # a name inside a module
        if name in chains:
            continue
        chains[name] = chain
        if name not in MODULES:
            continue
        parent = name.rpartition(".")[0]
        if parent:
            open_ends.append((parent, [*chain, parent]))  # its package is imported first
        path = MODULES[name]
        source = path.read_text(encoding="utf-8")
        for other in imports(source, name, is_package=path.name == "__init__.py", at_start=True):
            open_ends.append((other, [*chain, other]))
    return chains


def chains_to(module: str, names: set[str]) -> list[str]:
    return [" > ".join(chain) for name, chain in loaded_with(module).items() if top(name) in names]


MODULES = modules()


def test_the_reader_of_imports_sees_every_form():
    source = (
        "import a.b, c\nfrom d import e\nfrom . import f\nfrom ..g import h\n"
        "def later():\n    import i\nif TYPE_CHECKING:\n    import j\n"
        "try:\n    import k\nexcept ImportError:\n    pass\n"
    )
    all_of_them = {"a.b", "c", "d.e", "x.y.f", "x.g.h", "i", "j", "k"}
    assert set(imports(source, "x.y.z")) == all_of_them
    assert set(imports(source, "x.y.z", at_start=True)) == all_of_them - {"i", "j"}
    assert set(imports("from .m import n", "x.y", is_package=True)) == {"x.y.m.n"}


def test_every_package_has_modules():
    assert {top(module) for module in MODULES} == set(OURS)


@pytest.mark.parametrize("module", MODULES)
def test_only_the_app_imports_qt(module):
    if top(module) != "app":
        assert not offenders(module, QT)


@pytest.mark.parametrize("module", MODULES)
def test_torch_is_imported_only_where_networks_are_run(module):
    allowed = module in TORCH_ALLOWED or module.startswith("engine.methods.") or top(module) == "training"
    if not allowed:
        assert not offenders(module, {"torch", "torchvision"})


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_towards_the_engine(module):
    forbidden = {"engine": {"app", "training"}, "training": {"app"}, "app": set()}[top(module)]
    assert not offenders(module, forbidden)


@pytest.mark.parametrize("module", ["app.cli", "app.__main__"])
def test_the_command_line_loads_without_qt(module):
    assert module in MODULES
    assert not chains_to(module, QT)


@pytest.mark.parametrize(
    "module",
    [
        module
        for module in MODULES
        if top(module) == "app" and not module.startswith(("app.cli", "app.studies")) and module not in RUN_NETWORKS
    ],
)
def test_the_window_opens_before_torch_is_loaded(module):
    assert not chains_to(module, {"torch"})
