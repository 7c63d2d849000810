"""Arrows point down only: a module imports what is below it, never what is above."""

import ast
from pathlib import Path

import pytest

import aejax

ROOT = Path(aejax.__file__).parent

# Lower first. A module may import modules of a lower rank and those of its own package.
RANKS = {
    "base": 0,
    "kernels": 1,
    "artefacts": 2,
    "losses": 2,
    "metrics": 2,
    "data": 3,
    "plots": 2,
    "simulate": 4,
    "nets": 4,
    "models": 5,
    "training": 6,
    "exchange": 7,
    "tasks": 7,
    "tables": 8,
    "estimators": 8,
    "export": 9,
    "reports": 9,
    "cli": 10,
    "names": 10,
    "__main__": 11,
    "__init__": 11,
}

MODULES = sorted(path for path in ROOT.rglob("*.py"))


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "aejax" else [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("aejax.")}
    return rooms


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    here = room(path)
    assert here in RANKS, f"{here} has no place in the house: give it a rank"
    for other in imported_rooms(path) - {here}:
        assert RANKS[other] < RANKS[here], f"{here} imports {other}, which is not below it"


def test_linen_stays_in_nets():
    offenders = [
        path.name for path in MODULES if "flax" in path.read_text() and room(path) not in ("nets", "artefacts")
    ]
    assert offenders == []


def test_the_library_is_loaded_as_its_names_are_used():
    """A command that prints its help should not wait for JAX."""
    import subprocess
    import sys

    code = "import sys, aejax; assert 'jax' not in sys.modules; aejax.fit; print('jax' in sys.modules, aejax.tables)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("True <module 'aejax.tables'")


def test_names_are_those_that_the_library_says_it_has():
    assert set(aejax.__all__) <= set(dir(aejax))
    for name in aejax.__all__:
        assert getattr(aejax, name) is not None
    with pytest.raises(AttributeError, match="module 'aejax' has no attribute 'no_such_name'"):
        aejax.no_such_name  # noqa: B018


def test_importing_the_library_leaves_the_heavy_parts_alone():
    """Orbax, Matplotlib and the command line are imported where they are used, not by ``import aejax``."""
    import subprocess
    import sys

    heavy = ("orbax", "matplotlib.pyplot", "tyro", "pyarrow")
    code = f"import sys, aejax; aejax.fit; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
