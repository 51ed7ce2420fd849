"""The rules of the house, checked on the source: who imports whom, how long things are, what stays light.

Each check takes a root folder and returns complaints, so that the last part can show it a small wrong tree.
"""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PACKAGES = ("model", "train", "lanhdr_cli")  # each may import those before it
FOLDERS = (*PACKAGES, "tests")
PYTHON_FOLDERS = (*FOLDERS, "benchmarks", "tools")
NOT_OURS = ("build", "dist")
MODEL_MAY = {"torch"}
PRETRAINED_MAY = {"torch", "safetensors"}
TRAIN_MAY = {"torch", "numpy", "safetensors", "click", "rich", "cv2"}
# What evaluation does without.
TRAINING = {"train.trainer", "train.run", "train.checkpoint", "train.logger", "train.lr_schedule", "train.losses"}
HEAVY = ("torch", "numpy", "av", "OpenEXR", "colour", "cv2", "safetensors")
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "managers", "manager", "registry", "common", "misc"}
FILE_LINES, FUNCTION_LINES = 500, 60  # examples of what is too long, not limits to optimize

Function = ast.FunctionDef | ast.AsyncFunctionDef
Check = Callable[[Path], list[str]]


def python_files(root: Path, folders: tuple[str, ...] = PYTHON_FOLDERS) -> Iterator[tuple[Path, ast.Module]]:
    """Yield each source file below `folders`, relative to `root`, with its tree."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            yield path.relative_to(root), ast.parse(path.read_text())


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield the dotted name and line of everything imported, wherever it stands; relative imports begin with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), node.lineno


def imported_on_load(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield what is imported as soon as the module is: not inside functions, not for type checkers alone."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop(0)
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(node)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            pending.extend(node.orelse)
        elif not isinstance(node, Function):
            pending.extend(ast.iter_child_nodes(node))


def functions(tree: ast.AST) -> Iterator[Function]:
    """Yield every function and method."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def function_lines(function: Function) -> int:
    """Count lines from `def` to the end, without the docstring."""
    last = function.end_lineno or function.lineno
    docstring = function.body[0] if ast.get_docstring(function, clean=False) is not None else None
    hidden = (docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0
    return last - function.lineno + 1 - hidden


def third_party(names: Iterator[tuple[str, int]], *, allowed: set[str]) -> Iterator[str]:
    """Yield `line: name` of imports that are neither of the standard library, nor ours, nor allowed."""
    for name, line in names:
        top = name.split(".")[0]
        if top and top not in sys.stdlib_module_names and top not in PACKAGES and top not in allowed:
            yield f"{line}: {name}"


def check_arrows(root: Path) -> list[str]:
    """Packages import absolutely and only those below them; none imports tests or benchmarks."""
    complaints = []
    for path, tree in python_files(root, PACKAGES):
        below = PACKAGES[: PACKAGES.index(path.parts[0]) + 1]
        for name, line in imported(tree):
            top = name.split(".")[0]
            if not top or (top in PYTHON_FOLDERS and top not in below):
                complaints.append(f"{path}:{line}: {name}")
    return complaints


def check_rooms_of_train(root: Path) -> list[str]:
    """Evaluation knows nothing of the training of networks; of evaluation, training takes the metrics alone."""
    complaints = []
    for path, tree in python_files(root, ("train",)):
        evaluates = path.parts[1] == "evaluation"
        for name, line in imported(tree):
            measures = name.startswith("train.evaluation")
            forbidden = name in TRAINING if evaluates else measures and name != "train.evaluation.metrics"
            if forbidden:
                complaints.append(f"{path}:{line}: {name}")
    return complaints


def check_no_circles(root: Path) -> list[str]:
    """No module imports itself by way of others, as far as imports on loading go."""
    known = {path: tree for path, tree in python_files(root, PACKAGES)}
    modules = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): tree for path, tree in known.items()}
    waiting = {
        name: {other for other, _ in imported_on_load(tree) if other in modules} for name, tree in modules.items()
    }
    while free := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in free:
            del waiting[name]
    return [f"{name} imports itself by way of {', '.join(sorted(waiting[name] & waiting.keys()))}" for name in waiting]


def check_model_dependencies(root: Path) -> list[str]:
    """`model` knows torch and the standard library; pretrained.py also safetensors."""
    complaints = []
    for path, tree in python_files(root, ("model",)):
        allowed = PRETRAINED_MAY if path == Path("model/pretrained.py") else MODEL_MAY
        complaints += [f"{path}:{found}" for found in third_party(imported(tree), allowed=allowed)]
    return complaints


def check_train_loads_without_media(root: Path) -> list[str]:
    """`train` imports without OpenEXR, PyAV and colour: those are imported in the functions that need them."""
    complaints = []
    for path, tree in python_files(root, ("train",)):
        complaints += [f"{path}:{found}" for found in third_party(imported_on_load(tree), allowed=TRAIN_MAY)]
    return complaints


def check_file_lengths(root: Path) -> list[str]:
    """No file is longer than 500 lines."""
    lengths = ((path, len((root / path).read_text().splitlines())) for path, _ in python_files(root))
    return [f"{path}: {length} lines" for path, length in lengths if length > FILE_LINES]


def check_function_lengths(root: Path) -> list[str]:
    """No function is longer than 60 lines."""
    complaints = []
    for path, tree in python_files(root):
        lengths = ((function, function_lines(function)) for function in functions(tree))
        complaints += [f"{path}:{f.lineno}: {f.name} has {n} lines" for f, n in lengths if n > FUNCTION_LINES]
    return complaints


def check_names(root: Path) -> list[str]:
    """Modules are named for what they are about."""
    return [str(path) for path, _ in python_files(root) if VAGUE_NAMES & {path.stem, *path.parts[:-1]}]


def check_folders(root: Path) -> list[str]:
    """The four folders exist, and no Python hides in another one (benchmarks and tools excepted)."""
    complaints = [f"no folder {name}" for name in FOLDERS if not (root / name).is_dir()]
    for folder in sorted(child for child in root.iterdir() if child.is_dir() and not child.name.startswith(".")):
        if folder.name not in (*PYTHON_FOLDERS, *NOT_OURS) and any(folder.rglob("*.py")):
            complaints.append(f"Python files in {folder.name}")
    return complaints


def check_light_start(root: Path) -> list[str]:
    """Importing the command line loads nothing heavy, so that `lanhdr --help` answers at once."""
    probe = f"import sys, lanhdr_cli.main; print(*sorted(set({HEAVY}) & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", probe], cwd=root, capture_output=True, text=True, check=False)
    return run.stdout.split() if run.returncode == 0 else [run.stderr]


CHECKS: tuple[Check, ...] = (
    check_arrows,
    check_rooms_of_train,
    check_no_circles,
    check_model_dependencies,
    check_train_loads_without_media,
    check_file_lengths,
    check_function_lengths,
    check_names,
    check_folders,
    check_light_start,
)

GOOD_TREE = {
    "model/__init__.py": '"""Tensors."""\n',
    "model/frames.py": "import math\n\nimport torch\n",
    "model/pretrained.py": "from safetensors.torch import load_file\n",
    "train/__init__.py": '"""Truth."""\n',
    "train/evaluation/benchmarks/synthetic.py": "from model import frames\n\n\ndef read():\n    import av\n",
    "lanhdr_cli/__init__.py": '"""Words."""\n',
    "lanhdr_cli/main.py": "import json\n\n\ndef convert():\n    import torch\n    from train import clips\n",
    "tests/test_frames.py": "import numpy\n",
}
LONG_FUNCTION = "def long():\n" + "    pass\n" * 60
LONG_DOCSTRING = 'def brief():\n    """Say.\n' + "    more\n" * 60 + '    """\n    return 1\n'
WRONG: list[tuple[Check, str, str, str]] = [
    (check_arrows, "model/bad.py", "from train import clips\n", "model/bad.py:1: train"),
    (check_arrows, "model/bad.py", "def f():\n    import lanhdr_cli.main\n", "model/bad.py:2: lanhdr_cli.main"),
    (check_arrows, "train/bad.py", "from lanhdr_cli import main\n", "train/bad.py:1: lanhdr_cli"),
    (check_arrows, "train/bad.py", "from . import clips\n", "train/bad.py:1: ."),
    (check_arrows, "train/bad.py", "from tests import conftest\n", "train/bad.py:1: tests"),
    (check_rooms_of_train, "train/evaluation/bad.py", "from train.trainer import Trainer\n", "bad.py:1: train.trainer"),
    (check_rooms_of_train, "train/bad.py", "from train.evaluation import scoring\n", "bad.py:1: train.evaluation"),
    (
        check_no_circles,
        "model/frames.py",
        "import model.frames\n",
        "model.frames imports itself by way of model.frames",
    ),
    (check_model_dependencies, "model/bad.py", "import numpy as np\n", "model/bad.py:1: numpy"),
    (check_model_dependencies, "model/bad.py", "def f():\n    import safetensors\n", "model/bad.py:2: safetensors"),
    (check_train_loads_without_media, "train/bad.py", "import OpenEXR\n", "train/bad.py:1: OpenEXR"),
    (
        check_train_loads_without_media,
        "train/bad.py",
        "try:\n    import av\nexcept ImportError:\n    av = None\n",
        ":2:",
    ),
    (check_train_loads_without_media, "train/bad.py", "class A:\n    import colour\n", "train/bad.py:2: colour"),
    (check_file_lengths, "benchmarks/bad.py", "x = 1\n" * 501, "benchmarks/bad.py: 501 lines"),
    (check_function_lengths, "train/bad.py", f"class A:\n    x = 1\n\n\n{LONG_FUNCTION}", "5: long has 61 lines"),
    (check_names, "train/utils.py", "", "train/utils.py"),
    (check_names, "train/helpers/pictures.py", "", "train/helpers/pictures.py"),
    (check_folders, "engine/core.py", "", "Python files in engine"),
    (check_light_start, "lanhdr_cli/main.py", "import decimal\n\nimport safetensors\n", "safetensors"),
    (check_light_start, "lanhdr_cli/main.py", "import no_such_module\n", "ModuleNotFoundError"),
]


def write_tree(root: Path, files: dict[str, str]) -> Path:
    """Write files below `root`."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_house_keeps_its_rules(check: Check, repository: Path) -> None:
    assert check(repository) == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_good_tree_passes(check: Check, tmp_path: Path) -> None:
    assert check(write_tree(tmp_path, {**GOOD_TREE, "train/brief.py": LONG_DOCSTRING})) == []


@pytest.mark.parametrize(("check", "name", "text", "complaint"), WRONG)
def test_a_wrong_tree_fails(check: Check, name: str, text: str, complaint: str, tmp_path: Path) -> None:
    complaints = check(write_tree(tmp_path, {**GOOD_TREE, name: text}))
    assert len(complaints) == 1
    assert complaint in complaints[0]


def test_a_missing_folder_is_noticed(tmp_path: Path) -> None:
    files = {name: text for name, text in GOOD_TREE.items() if not name.startswith("tests/")}
    assert check_folders(write_tree(tmp_path, files)) == ["no folder tests"]


def test_every_check_is_shown_to_fail() -> None:
    assert {check for check, *_ in WRONG} == set(CHECKS)
