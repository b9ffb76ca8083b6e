"""What the rest of the pipeline uses of tracking, and how tracking imports MLflow."""

import ast
import re
from pathlib import Path

from pipeline import tracking

PACKAGE = Path(__file__).parents[2] / "pipeline"
FOLDER = PACKAGE / "tracking"
OUTSIDE = [path for path in PACKAGE.rglob("*.py") if FOLDER not in path.parents]


def used(path: Path) -> set[str]:
    """Return the names that a module takes from tracking: imported from it, or as attributes of it."""
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree))
    attributes = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tracking"
    }
    imported = {
        alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "pipeline.tracking"
        for alias in node.names
    }
    return attributes | imported


def test_stages_and_commands_use_the_surface_and_all_of_it() -> None:
    """No module outside reaches into a module of tracking, and no name is offered that none of them uses."""
    reached = [
        path for path in OUTSIDE if re.search(r"pipeline\.tracking\.\w|import pipeline\.tracking", path.read_text())
    ]

    assert reached == []
    offered = [
        node for node in ast.parse((FOLDER / "__init__.py").read_text()).body if isinstance(node, ast.ImportFrom)
    ]
    assert set().union(*map(used, OUTSIDE)) == {alias.asname for node in offered for alias in node.names}


def test_mlflow_is_imported_after_our_settings() -> None:
    """Only client imports mlflow at the top of a module; the others take it from there."""
    importers = {
        path.stem
        for path in FOLDER.glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        and re.search(r"\bmlflow\b", ast.unparse(node))
        and "pipeline.tracking.client" not in ast.unparse(node)
    }

    assert importers == {"client"}


def test_imports_only_lead_down_the_map() -> None:
    """A module of tracking imports no module that the map lists above it."""
    order = re.findall(r"^    ([a-z_]+)  ", tracking.__doc__ or "", flags=re.MULTILINE)
    upwards = []
    for position, module in enumerate(order):
        nodes = list(ast.walk(ast.parse((FOLDER / f"{module}.py").read_text())))
        froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
        imported = {node.module.removeprefix("pipeline.tracking.") for node in froms}
        imported |= {alias.name for node in froms if node.module == "pipeline.tracking" for alias in node.names}
        upwards += [f"{module}: {other}" for other in imported & set(order[: position + 1])]

    assert len(order) > 10
    assert upwards == []
