"""What README, CONTRIBUTING and docs/ say: the chain, and commands and params that work as they stand."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise, takewhile
from pathlib import Path

import networkx
import pytest
import yaml

from pipeline import bounds, params
from pipeline.analysis.overfitting import OverfittingVerdict
from pipeline.data import sets
from pipeline.data.image_set import ImageSet
from tests.support import forks, frozen, shell, small

ROOT = Path(__file__).parents[1]
ENGLISH, JAPANESE = "README.md", "README.ja.md"
DOCS = ("method", "params", "datasets", "team", "ci", "promotion", "glossary", "programs")
OF_PEOPLE = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "AGENTS.md")
PAGES = (ENGLISH, JAPANESE, *OF_PEOPLE, "study/README.md", *(f"docs/{name}.md" for name in DOCS))
# Words of a shell's loops, which start no program.
LOOPS = {"for", "do", "done"}
# Parse each command line with the parser of the program itself, and do nothing.
PARSE_DVC = "import json, sys; from dvc.cli import parse_args; [parse_args(a) for a in json.loads(sys.argv[1])]"
PARSE_PIP = """import json, sys; from pip._internal.commands import create_command
for name, *rest in json.loads(sys.argv[1]):
    create_command(name).parser.parse_args(rest)"""
PARSE_MLFLOW = """import json, sys, mlflow.cli
for rest in json.loads(sys.argv[1]):
    name, command, parent = "mlflow", mlflow.cli.cli, None
    while True:
        context = command.make_context(name, rest, parent=parent)
        if not hasattr(command, "commands"):
            break
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        parent = context"""


@cache
def text(page: str) -> str:
    """Return a page of the project."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text(page), flags=re.DOTALL | re.MULTILINE)


def commands(page: str) -> Iterator[list[str]]:
    """Yield the words of each command in a page's blocks: without settings in front, and without the words of loops."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", "").splitlines():
            words = list(takewhile(lambda word: word != "|", shlex.split(line, comments=True)))
            while words and re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            if words and words[0].rstrip(";") not in LOOPS:
                yield words


def of_program(*start: str) -> list[list[str]]:
    """Return the arguments of each command, of all pages, that starts with these words."""
    every = [words for page in PAGES for words in commands(page)]
    found = [words[len(start) :] for words in every if words[: len(start)] == list(start)]
    assert found, f"no page calls {shlex.join(start)}"
    return found


SYSTEM = ("make", "git", "curl", "less", "mv", "rm", "mkdir", "cp", "unzip", "ls", "cat", "uv", "nvidia-smi", "pkill")


@pytest.mark.parametrize("page", [page for page in PAGES if "```sh" in (ROOT / page).read_text(encoding="utf-8")])
def test_a_pages_commands_are_found_in_their_order(page: str, tmp_path: Path) -> None:
    """In one shell, which has only what the page has told the reader to do, each program is found; they do nothing."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    environment = folder / ".venv" / "bin"
    scripts = [folder / ".ci" / path.name for path in (ROOT / ".ci").iterdir() if path.is_file()]
    own = [environment / name for name in ("python", "pip", "dvc", "mlflow", "ruff")]
    for path in [*scripts, *own, *(tmp_path / "bin" / name for name in SYSTEM)]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    (environment / "activate").write_text('PATH="$PWD/.venv/bin:$PATH"\n')
    script = "\n".join(shell.statements(text(page)))

    command = ["/bin/bash", "-eu", "-o", "pipefail", "-c", f"cd '{folder}'\n{script}"]
    done = subprocess.run(command, env={"PATH": str(tmp_path / "bin")}, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_readme_is_short() -> None:
    """A newcomer reads at most 150 lines; what else there is to know stands in docs/."""
    assert len(text(ENGLISH).splitlines()) <= 150


@cache
def outputs() -> dict[Path, bool]:
    """Return the outputs of all stages, and whether each is for git; `${key}` stands for a model."""
    found = {}
    for folder in (ROOT, ROOT / "study"):
        stages = [
            stage.get("do", stage) for stage in yaml.safe_load((folder / "dvc.yaml").read_text())["stages"].values()
        ]
        for out in [out for stage in stages for out in [*stage["outs"], *stage.get("plots", [])]]:
            ((name, options),) = out.items() if isinstance(out, dict) else [(out, {})]
            found[folder / name] = options.get("cache") is False
    return found


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_something_that_is_there(page: str) -> None:
    """Every relative link and picture leads to a file of the repository, or to what a stage writes.

    An anchor leads to a heading of the file.
    """
    # What begins with ../../ leads to a page of GitHub's about the repository, such as its runs of CI.
    here = [target for target in re.findall(r"\]\(([^)]+)\)", text(page)) if "://" not in target]
    targets = [target for target in here if not target.startswith("../../actions/")]

    for target in targets:
        name, _, anchor = target.partition("#")
        path = Path(os.path.normpath((ROOT / page).parent / name)) if name else ROOT / page
        if path.relative_to(ROOT).as_posix().startswith(frozen.CHANGING):
            assert outputs().keys() & {path, *path.parents}, target
            continue
        assert path.exists(), target
        headings = re.findall(r"^#+ (.+)$", path.read_text(), flags=re.MULTILINE) if anchor else []
        slugs = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
        assert not anchor or anchor in slugs, target


def test_every_page_of_the_documentation_is_linked_and_checked() -> None:
    """Each page in docs/ is one of those that these tests read, and can be reached from the README."""
    reached = {target for page in (ENGLISH, "CONTRIBUTING.md") for target in re.findall(r"docs/\w+\.md", text(page))}

    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")} == reached
    assert reached <= set(PAGES)


def test_the_diagram_is_dvcs_own(tmp_path: Path) -> None:
    """Its boxes are DVC's stages, models as M; its arrows are those of DVC's graph that no others imply."""
    small.copy(tmp_path, "dvc.yaml", "params.yaml")
    forks.run(tmp_path, "dvc", "init", "--quiet", "--no-scm")
    drawn = forks.run(tmp_path, "dvc", "dag", "--md", "report")
    names = {node: re.sub(r"@\w+", "@M", name) for node, name in re.findall(r'(node\d+)\["(.+?)"\]', drawn)}
    graph = networkx.DiGraph((names[a], names[b]) for a, b in re.findall(r"(node\d+)-->(node\d+)", drawn))
    (diagram,) = blocks("docs/method.md", "mermaid")
    boxes = [box.partition('["')[2].rstrip('"]') or box for box in re.split(r" --> ", diagram.splitlines()[1].strip())]

    assert len(boxes) == 5
    assert set(networkx.transitive_reduction(graph).edges) == set(pairwise(boxes))


def test_both_languages_agree() -> None:
    """The Japanese page has the commands of the English one's first block, its diagram, and no other block."""
    assert list(commands(JAPANESE)) == [words for words in commands(ENGLISH) if words[0] == "make"][:3]
    assert blocks(JAPANESE, "mermaid") == blocks(ENGLISH, "mermaid")
    assert text(JAPANESE).count("```") == 4


def test_the_version_is_the_same_everywhere() -> None:
    """The package, the citation and the latest heading of a release in the changes have one version."""
    package = tomllib.loads(text("pyproject.toml"))["project"]["version"]
    released = re.findall(r"^## (\d\S*)$", text("CHANGELOG.md"), flags=re.MULTILINE)

    assert yaml.safe_load(text("CITATION.cff"))["version"] == released[0] == package


def test_every_command_has_a_test() -> None:
    """No page calls a program, or shows a kind of block, that no test here reads."""
    known = {".venv/bin/pip", "make", "mlflow", "python", "curl", "dvc", "git", "pip", "ruff", "export"}
    programs = {words[0] for page in PAGES for words in commands(page)}

    assert {name for name in programs if not name.startswith(".ci/")} == known
    assert {kind for page in PAGES for kind in re.findall(r"^```(\w+)$", text(page), flags=re.MULTILINE)} == {
        "sh",
        "yaml",
        "mermaid",
        "python",
        "markdown",
        "json",
    }


def test_an_answer_that_is_shown_is_one() -> None:
    """Each object on the pages is JSON of the keys that a command prints where it refuses."""
    assert [json.loads(block).keys() for page in PAGES for block in blocks(page, "json")] == [{"exit_code", "error"}]


def test_make_knows_every_target() -> None:
    """Each call of make, in a block or within a sentence, is one for which make has a plan."""
    within = [words.split() for page in PAGES for words in re.findall(r"`make ([^`]+)`", text(page))]
    calls = {tuple(words) for words in [*of_program("make"), *within]}

    for words in sorted(calls):
        done = subprocess.run(["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), words


@pytest.mark.parametrize(
    ("program", "code"),
    [("dvc", PARSE_DVC), ("mlflow", PARSE_MLFLOW), (".venv/bin/pip", PARSE_PIP), ("pip", PARSE_PIP)],
    ids=lambda value: value if len(value) < 20 else "",
)
def test_programs_understand_their_commands(program: str, code: str) -> None:
    """The program's own parser takes each command line as it stands."""
    arguments = json.dumps(of_program(program))

    forks.run(ROOT, "python", "-c", code, arguments)


def test_dvc_understands_what_is_said_within_sentences() -> None:
    """Each `dvc ...` within a sentence is a command of DVC, too."""
    said = [shlex.split(words) for page in PAGES for words in re.findall(r"`dvc ([a-z][^`]*)`", text(page))]
    # A command that is only named (`dvc exp`, `dvc plots diff`) may need more words: it has a page of help.
    for words in {tuple(words) for words in said if not any("=" in word or word.startswith("-") for word in words)}:
        names = [word for word in words if "/" not in word]
        forks.run(ROOT, "dvc", *names, "--help")


def test_the_projects_own_programs_understand_their_commands(tmp_path: Path) -> None:
    """No `python -m pipeline...` of a page is answered with its usage; what it names need not be there."""
    environment = small.environment() | {"PYTHONPATH": str(ROOT)} | forks.environment()
    for module, *rest in [words for words in of_program("python", "-m") if words[0].startswith("pipeline.")]:
        command = ["python", "-m", module, *rest]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

        assert done.stderr.startswith("error: ")
        assert "usage:" not in done.stderr


def test_the_projects_own_modules_are_there() -> None:
    """Each module and file of the project that a page names is there."""
    for page in PAGES:
        modules = re.findall(r"python -m ((?:pipeline|tests|benchmarks)[\w.]*)", text(page))
        named = [f"{module.replace('.', '/')}.py" for module in modules]
        named += re.findall(
            r"`((?:pipeline|tests|study|benchmarks|\.ci|\.github)/[\w./-]*)`(?!, a new file)", text(page)
        )
        inside = re.findall(r"`(pipeline/\w+/)`: ((?:`[\w./]+`(?:, )?)+)", text(page))
        named += [folder + name for folder, names in inside for name in re.findall(r"`([\w./]+)`", names)]
        lasting = [name for name in named if not name.startswith(frozen.CHANGING)]
        assert [name for name in lasting if not (ROOT / name).exists()] == []


def test_scripts_get_the_arguments_that_they_want() -> None:
    """Each call of a script of .ci/ has as many arguments as the script's line of usage."""
    for words in [words for page in PAGES for words in commands(page) if words[0].startswith(".ci/")]:
        usage = re.findall(r"usage: \S+ ?([A-Z ]*)", (ROOT / words[0]).read_text())

        assert os.access(ROOT / words[0], os.X_OK)
        assert len(words[1:]) == len(usage[0].split() if usage else [])


def test_the_gpus_tensorflow_is_the_version_that_is_locked() -> None:
    """The page that says how to use a GPU names the version in requirements.lock."""
    (version,) = re.findall(r"^tensorflow-cpu==(\S+)", text("requirements.lock"), flags=re.MULTILINE)

    assert f"'tensorflow[and-cuda]=={version}'" in text("docs/method.md")


def test_results_are_shared_by_the_commands_that_stand_there(tmp_path: Path) -> None:
    """The first block for a team, run as it stands but for the remote's place, leaves a remote in the last commit."""
    repository, remote = tmp_path / "clone", tmp_path / "remote"
    repository.mkdir()
    small.run(repository, "git", "init", "--quiet")
    forks.run(repository, "dvc", "init", "--quiet")
    for key, value in (("user.name", "somebody"), ("user.email", "somebody@example.org")):
        small.run(repository, "git", "config", key, value)
    small.run(repository, "git", "commit", "--quiet", "--message", "first")

    forks.run(repository, "bash", "-euc", blocks("docs/team.md", "sh")[0].replace("/srv/mnist", str(remote)))

    assert f"url = {remote}" in small.run(repository, "git", "show", "HEAD:.dvc/config")
    assert forks.run(repository, "dvc", "remote", "list").startswith("team")


def test_results_are_committed_by_the_commands_that_stand_there() -> None:
    """What CONTRIBUTING adds to git after a run is what a stage writes for git, DVC's own files, and the README."""
    (added,) = [words[2:] for words in commands("CONTRIBUTING.md") if words[:2] == ["git", "add"]]
    written = {path.relative_to(ROOT).as_posix() for path, for_git in outputs().items() if for_git}
    written |= {"dvc.lock", "study/dvc.lock", "models/.gitignore", ENGLISH, JAPANESE}

    assert "reports/report.md" in written
    assert {path for path in written if not path.startswith(tuple(added))} == set()


def put(block: str, into: str) -> str:
    """Return a params file with a block of a page in it, verbatim.

    What follows the keys that are there already is put under the last of these.
    """
    rest, position = block, 0
    while (line := rest.partition("\n")[0]) and f"\n{line}\n" in into[max(position - 1, 0) :]:
        position = into.index(f"\n{line}\n", max(position - 1, 0)) + len(line) + 2
        rest = rest.partition("\n")[2]
    assert position
    return into[:position] + rest + into[position:]


def read_by_dvc(folder: Path, content: str) -> str:
    """Return the stages that DVC finds in the project with these params; it also compares them with those of a run."""
    small.copy(folder, *small.PROJECT)
    forks.run(folder, "dvc", "init", "--quiet", "--no-scm")
    (folder / "params.yaml").write_text(content, encoding="utf-8")
    assert "Running stage 'fetch'" in forks.run(folder, "dvc", "repro", "--dry", "--single-item", "fetch")
    return forks.run(folder, "dvc", "stage", "list")


def test_the_other_data_set_can_be_described(tmp_path: Path) -> None:
    """With the page's block as a file in data/sets/ and its name in params.yaml, DVC lists its stages."""
    (block,) = blocks("docs/datasets.md", "yaml")
    for folder in ("sets", "local/stones"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    (tmp_path / "data" / "sets" / "stones.yaml").write_text(block, encoding="utf-8")

    described = sets.load(tmp_path / "data" / "sets" / "stones.yaml")
    listed = read_by_dvc(tmp_path, text("tests/frozen/params.yaml").replace("dataset: mnist", "dataset: stones"))

    assert "train@cnn" in listed
    assert params.load(tmp_path / "params.yaml").data.dataset == "stones"
    assert described.sources[0].model_dump() == {"directory": "data/local/stones"}


def test_every_format_is_on_the_page() -> None:
    """The page on data sets has a line for each format, each option of it, and each key that all have."""
    page = text("docs/datasets.md")
    for kind, block in sets.FORMATS.items():
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{kind}` |")]
        options = block.model_fields["options"].annotation
        assert [name for name in options.model_fields if f"`{name}`" not in line] == []
    assert [name for name in ImageSet.model_fields if f"`{name}`" not in page] == []


def test_the_other_model_can_be_put_into_params(tmp_path: Path) -> None:
    """With the blocks for a new model and its bound, DVC lists its stages, and the gate has the bound."""
    content = text("tests/frozen/params.yaml")
    for page in ("CONTRIBUTING.md", "docs/ci.md"):
        (block,) = blocks(page, "yaml")
        content = put(block, content)

    listed = read_by_dvc(tmp_path, content)

    assert {"train@mlp_small", "evaluate@mlp_small", "train@cnn"} <= set(listed.split())
    assert "mlp_small" in params.load(tmp_path / "params.yaml").models
    assert bounds.load(tmp_path / "params.yaml").models["mlp_small"]["test_accuracy"].min == 0.97


def test_the_instructions_can_be_put_into_params(tmp_path: Path) -> None:
    """With the block for the same bits on every processor, DVC lists the same stages, and the choice is read."""
    (block,) = blocks("docs/method.md", "yaml")

    listed = read_by_dvc(tmp_path, put(block, text("tests/frozen/params.yaml")))

    assert "train@cnn" in listed
    assert params.load(tmp_path / "params.yaml").train.instructions == "avx2"


def test_the_whole_example_can_be_params(tmp_path: Path) -> None:
    """With the page's example as params.yaml DVC lists the stages of its model."""
    (block,) = blocks("docs/params.md", "yaml")

    assert "train@resnet" in read_by_dvc(tmp_path, block)


def test_every_block_of_params_is_tried() -> None:
    """No page has a block that no test puts into params.yaml; the claims of one are judged by test_own_claims.py."""
    assert {page for page in PAGES if blocks(page, "yaml")} == {
        *("docs/datasets.md", "docs/method.md", "docs/params.md"),
        *("CONTRIBUTING.md", "docs/ci.md", "study/README.md"),
    }


def test_the_readme_names_every_section_of_params() -> None:
    """A reader learns of every section of params.yaml."""
    assert [name for name in params.Params.model_fields if f"`{name}`" not in text(ENGLISH)] == []


@pytest.mark.parametrize("page", ["docs/method.md", "docs/glossary.md"])
def test_every_verdict_on_overfitting_is_explained(page: str) -> None:
    """The pages that explain the rule name every verdict that it can give."""
    assert [verdict for verdict in OverfittingVerdict if f"*{verdict}*" not in " ".join(text(page).split())] == []


def test_the_glossary_names_its_terms_once() -> None:
    """Each term has one line, also where a line has two."""
    terms = [
        term.strip(" *")
        for line in re.findall(r"^\| ([^|]+) \|", text("docs/glossary.md"), flags=re.MULTILINE)
        for term in line.split(",")
    ]

    assert len(terms) == len(set(terms)) > 30
    wanted = "network model split history run variant replicate rise onset recipe stale"
    assert {*wanted.split(), "generalization gap", "discordant pairs"} <= set(terms)
