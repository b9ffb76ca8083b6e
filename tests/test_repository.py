"""Truths that hold across files: imports, dvc.yaml, the lock file, the maps of packages."""

import ast
import os
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import forks, frozen, list_faults, small

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pipeline"
# A package counts as the module that its __init__ is: where that has no more than a docstring, nothing imports it.
MODULES = sorted(
    path.relative_to(PACKAGE).with_suffix("").as_posix().removesuffix("/__init__")
    for path in PACKAGE.rglob("*.py")
    if path != PACKAGE / "__init__.py"
)
PACKAGES = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))
STAGES = {"fetch", "preprocess", "train", "evaluate", "report"}
STUDY = {"study/prepare", "study/run", "study/report", "study/missed"}
# A stage that both pipelines have.
SHARED = {"study/fetch": "fetch"}
# How a stage is started and what MLflow is told change no output, so an edit there must not run anything again.
NO_DEPS = {"cli", "errors", *(module for module in MODULES if module.partition("/")[0] == "tracking")}
# Modules that a module starts as programs.
STARTED = {"trials/worker": {"trials/forkserver"}}
LIGHT = [
    "analysis/means",
    "analysis/multitest",
    "analysis/overfitting",
    "analysis/power",
    "analysis/prediction",
    "analysis/proportions",
    "analysis/verdicts",
    "data/dataset",
    "data/download",
    "demo",
    "fetch",
    "files",
    "gate",
    "inference/classifier",
    "inference/handwriting",
    "params",
    "predict",
    "preprocess",
    "report",
    "study/claims",
    "study/prepare",
    "study/report",
    "training/checkpoint",
    "trials/cluster",
]


@cache
def tree(module: str) -> ast.Module:
    """Return the parsed source of a module of the package, without what only type checkers read."""

    class RunTime(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    return RunTime().visit(ast.parse(source(module).read_text()))


def source(module: str) -> Path:
    """Return the file of a module, or of a package's own code."""
    file = PACKAGE / f"{module}.py"
    return file if file.exists() else PACKAGE / module / "__init__.py"


def imports(module: str) -> set[str]:
    """Return the dotted names that a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def siblings(module: str) -> set[str]:
    """Return the modules of the package that a module imports itself, or starts."""
    dotted = {name.removeprefix("pipeline.") for name in imports(module) if name.startswith("pipeline.")}
    names = {"/".join(name.split(".")[:depth]) for name in dotted for depth in (1, 2, 3)}
    return {name for name in names & set(MODULES) if has_code(name)} | STARTED.get(module, set())


def has_code(module: str) -> bool:
    """Return whether a module has more than a docstring."""
    return len(tree(module).body) > 1


def reached(module: str) -> set[str]:
    """Return the modules whose code a stage runs, itself included; what lies behind tracking is not followed."""
    seen: set[str] = set()
    waiting = {module}
    while waiting:
        current = waiting.pop()
        seen.add(current)
        waiting |= set() if current in NO_DEPS else siblings(current) - seen
    return seen


def covers(dep: str, module: str) -> bool:
    """Return whether a dep, a file or a folder below pipeline/, has a module in it."""
    return f"{module}.py" == dep or module == dep or module.startswith(f"{dep}/")


@pytest.fixture(scope="module")
def stages() -> dict[str, Any]:
    """Return the stages of both pipelines, a foreach stage as its body; names and paths are relative to the root."""
    loaded = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    study = yaml.safe_load((ROOT / "study" / "dvc.yaml").read_text())["stages"]
    stages = loaded | {f"study/{name}": from_root(stage.get("do", stage)) for name, stage in study.items()}
    return {name: stage.get("do", stage) for name, stage in stages.items()}


def from_root(stage: dict[str, Any]) -> dict[str, Any]:
    """Return a stage of the study, whose paths are relative to its folder, with paths relative to the root."""

    def path(entry: Any) -> Any:
        if isinstance(entry, dict):
            return {path(name): options for name, options in entry.items()}
        return os.path.normpath(f"study/{entry}".replace("study/pipeline/", "pipeline/"))

    return stage | {key: [path(entry) for entry in stage.get(key, [])] for key in ("deps", "outs", "params")}


@pytest.mark.parametrize(
    ("packages", "door"),
    [
        ({"mlflow"}, "tracking"),
        ({"matplotlib"}, "reporting/plots"),
        ({"tensorflow", "keras"}, "training/backend"),
        ({"ruamel", "yaml"}, "files"),
    ],
)
def test_each_package_of_weight_has_one_door(packages: set[str], door: str) -> None:
    """MLflow, matplotlib, TensorFlow with Keras, and YAML are each imported by one module."""
    importers = {module for module in MODULES if packages & {name.split(".")[0] for name in imports(module)}}

    assert {door if module.startswith(f"{door}/") else module for module in importers} == {door}


def test_stages_do_not_import_stages() -> None:
    """What two stages need lies in a module that is no stage."""
    assert {stage: siblings(stage) & STAGES for stage in STAGES} == {stage: set() for stage in STAGES}
    assert {stage: siblings(stage) & STUDY for stage in STUDY} == {stage: set() for stage in STUDY}


def test_no_modules_import_each_other() -> None:
    """There is no circle of imports in the package, those inside of functions included."""
    # A module's own package is there before the module is: it is none of its imports.
    imported = {m: {name for name in siblings(m) if not f"{m}/".startswith(f"{name}/")} for m in MODULES}

    # Raises CycleError with the modules of a circle.
    assert set(TopologicalSorter(imported).static_order()) == set(MODULES)


def test_a_name_of_a_type_means_one_thing() -> None:
    """No two classes of the package share a name, and no other type is called like a class."""
    classes: list[str] = []
    others: set[str] = set()
    for module in MODULES:
        for node in tree(module).body:
            if isinstance(node, ast.ClassDef):
                classes.append(node.name)
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):
                others |= {target.id for target in node.targets if isinstance(target, ast.Name)}

    assert sorted(classes) == sorted(set(classes))
    assert set(classes) & others == set()
    assert len(classes) > 100


def test_a_module_fits_on_a_few_screens() -> None:
    """No module of the package has more than 300 lines."""
    assert {module: n for module in MODULES if (n := len(source(module).read_text().splitlines())) > 300} == {}


@pytest.mark.parametrize(("folder", "command"), [("study", ""), ("change", "verdict")])
def test_nothing_else_knows_of_the_study_or_of_verdicts(folder: str, command: str) -> None:
    """No module outside of these folders imports one in them, but for the command of verdicts; both stand on trials."""
    outside = [module for module in MODULES if not module.startswith(f"{folder}/") and module != command]

    assert [module for module in outside if any(name.startswith(f"{folder}/") for name in siblings(module))] == []


def test_the_engine_knows_of_nothing_that_stands_on_it() -> None:
    """Of the package, trials imports single modules and the lower folders alone."""
    own = [module for module in MODULES if module.startswith("trials/")]
    below = {name.partition("/")[0] for module in own for name in siblings(module) if "/" in name}

    assert below <= {"analysis", "data", "tracking", "training", "trials"}


LOAD = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(f"pipeline.{name.replace('/', '.')}")
    print(name, *({"tensorflow", "keras", "mlflow"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """Return the heavy packages that are there after the import of each light module, one after another."""
    line = [sys.executable, "-c", LOAD, *LIGHT]
    printed = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name: found for name, *found in map(str.split, printed.splitlines())}


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_load_no_heavy_package(loaded: dict[str, list[str]], module: str) -> None:
    """What computes no network starts without TensorFlow and MLflow; all after the first that loads them fail, too."""
    assert loaded[module] == []


@pytest.mark.parametrize("stage", sorted(STAGES | STUDY | SHARED.keys()))
def test_a_stage_depends_on_all_code_it_runs(stages: dict[str, Any], stage: str) -> None:
    """DVC follows no imports: the deps of a stage cover every module that can change its outputs, and each has one."""
    deps = [dep.removeprefix("pipeline/") for dep in stages[stage]["deps"] if dep.startswith("pipeline/")]
    needed = reached(SHARED.get(stage, stage)) - NO_DEPS

    assert {module for module in needed if not any(covers(dep, module) for dep in deps)} == set()
    assert [dep for dep in deps if not any(covers(dep, module) for module in needed)] == []


@pytest.mark.parametrize("stage", sorted(STAGES | STUDY))
def test_a_stage_compares_its_inputs_with_what_it_read(stage: str) -> None:
    """Each of them does, by the name that its dvc.yaml has for it."""
    code = ast.unparse(tree(stage))

    assert re.search(rf"files\.Inputs\(f?'{stage.replace('study/', 'study/dvc.yaml:')}[@']", code)
    assert re.search(r"(inputs|unchanged)\.check\(\)", code)


@pytest.mark.parametrize("stage", ["train", "evaluate", "study/run"])
def test_a_new_format_or_page_trains_nothing(stages: dict[str, Any], stage: str) -> None:
    """What computes networks depends on no folder with formats or pages in it."""
    assert {"pipeline/data", "pipeline/data/formats", "pipeline/reporting"}.isdisjoint(stages[stage]["deps"])


def test_no_dep_holds_what_python_leaves_behind() -> None:
    """Bytecode, which is written whenever a module is imported, is not part of a folder to DVC."""
    for folder in (ROOT, ROOT / "study"):
        assert "__pycache__/" in (folder / ".dvcignore").read_text().splitlines()
    assert (ROOT / "study" / "pipeline").readlink() == Path("../pipeline")


def test_dvc_yaml_fits_on_a_screen_or_two() -> None:
    """The file of the reproduction has at most 130 lines, that of the study at most 100."""
    lengths = [len((ROOT / name).read_text().splitlines()) for name in ("dvc.yaml", "study/dvc.yaml")]

    assert lengths[0] <= 130
    assert lengths[1] <= 100


@pytest.mark.parametrize("stage", sorted(STAGES | STUDY | SHARED.keys()))
def test_the_paths_in_a_command_are_those_that_dvc_knows(stages: dict[str, Any], stage: str) -> None:
    """Every path that a stage is handed is a dep or an out of it, or the folder that these lie in."""
    body = stages[stage]
    listed = [*body["deps"], *body.get("outs", []), *body.get("plots", [])]
    known = {entry if isinstance(entry, str) else next(iter(entry)) for entry in listed}
    handed = re.findall(r"--(?!params)[a-z]+ (\S+)", body["cmd"])

    assert handed
    assert {path for path in handed if path not in known and not any(k.startswith(f"{path}/") for k in known)} == set()


def test_no_stage_depends_on_the_gate(stages: dict[str, Any]) -> None:
    """A change of the gate's bounds runs nothing again."""
    entries = [entry for stage in stages.values() for entry in stage.get("params", [])]
    # A key of params.yaml, or a file with its keys.
    keys = [
        key for entry in entries for key in ([entry] if isinstance(entry, str) else chain.from_iterable(entry.values()))
    ]

    assert [key for key in keys if key.startswith("gate")] == []


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_the_map_of_a_package_names_every_module(folder: Path) -> None:
    """The docstring of a package names each module and package in it, and nothing that is not there."""
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    there = {path.parent.name for path in folder.glob("*/__init__.py")} | {path.stem for path in folder.glob("*.py")}

    assert sorted(re.findall(r"^ *([a-z_]+)  ", text, flags=re.MULTILINE)) == sorted(there - {"__init__"})


@pytest.mark.fault("npz with pickled objects")
def test_arrays_are_read_without_pickle() -> None:
    """Every np.load says allow_pickle=False."""
    calls = [
        ast.unparse(node)
        for module in MODULES
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"np.load", "numpy.load"}
    ]

    assert calls
    assert all("allow_pickle=False" in call for call in calls)


@pytest.mark.fault("model file that runs code")
def test_models_are_loaded_safely() -> None:
    """The one place that loads a Keras file does so with safe_mode on and without compiling."""
    sources = {module: source(module).read_text() for module in MODULES}

    assert {module for module, source in sources.items() if "load_model(" in source} == {"training/model_file"}
    assert "load_model(path, compile=False, safe_mode=True)" in sources["training/model_file"]


def test_the_lock_file_pins_every_direct_dependency_and_no_address() -> None:
    """Each package of pyproject.toml stands in requirements.lock with hashes, and no index address does."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lock = (ROOT / "requirements.lock").read_text()
    pinned = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", lock, flags=re.MULTILINE))

    names = {re.split(r"[<>=;\[ ]", requirement)[0].replace(".", "-") for requirement in direct}
    assert names <= pinned.keys()
    assert "://" not in lock
    assert len(re.findall(r"^[a-z0-9.-]+==", lock, flags=re.MULTILINE)) <= lock.count("--hash=sha256:")


def test_what_shows_a_fault_says_what_it_requires() -> None:
    """Each test that is marked with a fault has a docstring, which FAULTS.md shows."""
    assert list_faults.shown()
    assert [one.test for one in list_faults.shown() if not one.claim] == []


def test_every_option_has_a_help_text() -> None:
    """What `--help` lists of a command says what each option is for."""
    mute = [
        f"{module}: {ast.unparse(node.args[0])}"
        for module in MODULES
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith(".add_argument")
        and "help" not in {keyword.arg for keyword in node.keywords}
    ]

    assert mute == []


# How a test has a program start in the root.
IN_ROOT = r"(cwd=|run\(|chdir\()ROOT\b"
OPEN = """
import sys
try:
    open(sys.argv[1])
except AssertionError:
    print("refused")
"""


@pytest.mark.parametrize("name", frozen.CHANGING)
def test_no_test_reads_what_a_user_changes(name: str) -> None:
    """Neither a test nor a program that it forks can open params, locks and results of this repository."""
    path = ROOT / name / "record.json" if not Path(name).suffix else ROOT / name
    opened = forks.run(ROOT, "python", "-c", OPEN, str(path))

    with pytest.raises(AssertionError, match="is the user's"):
        path.read_bytes()
    with pytest.raises(AssertionError, match="is the user's"):
        os.open(path, os.O_RDONLY)
    assert opened == "refused\n"


@pytest.mark.slow
def test_the_tests_pass_where_there_is_nothing_of_a_user(tmp_path: Path) -> None:
    """Without params, locks and results the tests pass that start programs in the root, which no guard watches."""
    copy = tmp_path / "copy"
    small.run(ROOT, "git", "checkout-index", "--all", f"--prefix={copy}/")
    for name in frozen.CHANGING:
        small.run(copy, "rm", "-r", name)
    small.run(copy, "git", "init", "--quiet")
    small.commit(copy, "all")
    files = [path for path in (copy / "tests").rglob("test_*.py") if re.search(IN_ROOT, path.read_text())]
    done = small.execute(copy, sys.executable, "-m", "pytest", "--quiet", "--numprocesses", "2", *map(str, files))

    assert len(files) > 10
    assert done.returncode == 0, done.stdout
