"""What holds for the repository as a whole, where ruff cannot see it."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"accelerate", "datasets", "peft", "sentence_transformers", "torch", "transformers", "trl", "vllm"}
UNSAFE_IN_THE_LAB = ("gr.Plot(", "{{", 'datatype="html"', "share=True")
NOT_IN_THE_TREE = re.compile(r"__init__\.py|__pycache__|\..*|.*\.egg-info|py\.typed")


def read_tree(readme: str) -> dict[str, bool]:
    """The README's file tree as paths; True for a folder whose content is listed."""
    block = re.search(r"^```text\n(launch\.py.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert block, "the README has no file tree: a ```text block that starts with launch.py"
    listed: dict[str, bool] = {}
    folders: list[tuple[int, str]] = []
    for line in block[1].splitlines():
        depth = len(line) - len(line.lstrip())
        names = re.split(r"  +", line.strip())[0].split(", ")
        folders = [folder for folder in folders if folder[0] < depth]
        parent = folders[-1][1] if folders else ""
        if parent:
            listed[parent] = True
        for name in names:
            listed.setdefault(parent + name, False)
        if names[-1].endswith("/"):
            folders.append((depth, parent + names[-1]))
    return listed


def tracked_children(folder: str) -> set[str]:
    """Names in a folder that git knows, folders with a slash; what the tree leaves out everywhere is left out."""
    try:
        command = ["git", "-C", str(ROOT), "ls-files", "--", folder or "."]
        paths = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("git does not know this folder")
    children = set()
    for path in paths:
        name, slash, _ = path.removeprefix(folder).partition("/")
        if not NOT_IN_THE_TREE.fullmatch(name) and (ROOT / path).exists():
            children.add(name + slash)
    return children


def test_every_path_in_the_readme_tree_exists() -> None:
    listed = read_tree((ROOT / "README.md").read_text())
    missing = [path for path in listed if not (ROOT / path).exists()]
    assert not missing, f"the README's file tree names what is not there: {missing}"


def test_the_readme_tree_lists_every_file_of_the_folders_it_opens() -> None:
    listed = read_tree((ROOT / "README.md").read_text())
    opened = [""] + [path for path, is_open in listed.items() if is_open]
    left_out = [
        folder + name for folder in opened for name in sorted(tracked_children(folder)) if folder + name not in listed
    ]
    assert not left_out, f"add to the README's file tree: {left_out}"


def test_the_tree_reader_notices_a_file_that_was_left_out() -> None:
    tree = read_tree(
        "```text\nlaunch.py   open\na/          things\n  b.py, c/  two\n    d.py    deep\ne/          closed\n```\n"
    )
    assert tree == {"launch.py": False, "a/": True, "a/b.py": False, "a/c/": True, "a/c/d.py": False, "e/": False}


def module_level_imports(path: Path) -> Iterator[str]:
    """Dotted names that importing a file may load; functions and TYPE_CHECKING blocks do not count."""
    pending: list[ast.AST] = list(ast.parse(path.read_text()).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            pending.extend(ast.iter_child_nodes(node))


def heavy_by_exception() -> dict[str, str]:
    """Path to dotted name of our modules that may load torch when imported."""
    ignored = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]["per-file-ignores"]
    paths = (path for path, rules in ignored.items() if "TID253" in rules and path.endswith(".py"))
    return {path: path.removesuffix(".py").replace("/", ".") for path in paths}


@pytest.mark.parametrize("package", ["dreamgym", "lab"])
def test_no_module_loads_torch_when_it_is_imported(package: str) -> None:
    excepted = heavy_by_exception()
    found = []
    for path in (ROOT / package).rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        for imported in module_level_imports(path):
            if name not in excepted and (imported.split(".")[0] in HEAVY or imported in excepted.values()):
                found.append(f"{name} imports {imported}")
    assert not found, "import it in the functions that need it, or list the file in pyproject's per-file-ignores"


@pytest.mark.skipif(not (ROOT / "lab/app.py").exists(), reason="lab/app.py does not exist yet")
def test_opening_the_app_leaves_torch_out() -> None:
    code = f"import sys, lab.app; print(sorted({HEAVY | {'alfworld', 'textworld'}} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("unsafe", UNSAFE_IN_THE_LAB)
def test_the_lab_keeps_away_from_unsafe_gradio_features(unsafe: str) -> None:
    """Templates run model text as JavaScript, HTML cells run it as HTML, gr.Plot drops zoom, sharing opens a tunnel."""
    files = [path for path in (ROOT / "lab").rglob("*") if path.suffix in {".py", ".js", ".html"}]
    assert files
    found = [
        f"{path.relative_to(ROOT)}:{n}"
        for path in files
        for n, line in enumerate(path.read_text().splitlines(), 1)
        if unsafe in line
    ]
    assert not found
