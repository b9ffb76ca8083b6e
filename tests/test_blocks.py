"""Each page's commands, run for real as they stand, on small digits and networks.

They run in their order, in one shell that has only what the page has told the reader to do, in a clone of its own for
each page. What is left out is listed with the reason.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support import changes, shell, small
from tests.support.local_server import free_port
from tests.support.shell import ACTIVATION
from tests.test_contributing import complete
from tests.test_readme import PAGES, text

ROOT = Path(__file__).parents[1]
_SUITE = "the tests, this one among them"
_HAS_SUITE = "begins with the tests, this one among them; its other parts are run elsewhere on the pages"
_NETWORK = "asks a server on the internet"
_OTHER_TEST = "run by tests/{}"
# By page, the beginnings of the commands that are not run here, and why.
LEFT: dict[str, dict[str, str]] = {
    "README.md": {
        "make test": _SUITE,
        **dict.fromkeys(
            ("# One change", "dvc params", "dvc metrics", "# A grid", "dvc exp", "dvc plots", "git commit"),
            _OTHER_TEST.format("test_experiments.py"),
        ),
    },
    "README.ja.md": dict.fromkeys(("make quick", "make repro", "make test"), "the same commands as in README.md"),
    "CONTRIBUTING.md": {
        **dict.fromkeys(
            ("ruff format", "make repro ", "python -m tests.support.bits", "dvc commit"),
            _OTHER_TEST.format("test_contributing.py"),
        ),
        "make test": _SUITE,
        "make check": _HAS_SUITE,
        "make audit": _NETWORK,
    },
    "AGENTS.md": {"make quick": "run as README.md has it", "make check": _HAS_SUITE},
    "study/README.md": {
        "pip install git+": _NETWORK,
        "DASK_SCHEDULER_ADDRESS": "needs a cluster; tests/trials/test_cluster.py has one, with TLS",
    },
    "docs/ci.md": {
        ".ci/run": _HAS_SUITE,
        ".ci/digits": _OTHER_TEST.format("test_ci.py"),
        ".ci/audit": _NETWORK,
    },
    "docs/method.md": {".venv/bin/pip": "fetches gigabytes for a GPU"},
}
# By page, what it tells the reader in a sentence to do before a command.
BEFORE: dict[str, dict[str, str]] = {
    "README.md": {"make serve": "make promote MODEL=cnn"},
    "AGENTS.md": {"python -m pipeline.verdict": "sed -i 's/epochs: 3/epochs: 1/' params.yaml"},
    "study/README.md": {"python -m pipeline.study.run": "cp study/params.yaml my-plan.yaml"},
    "docs/ci.md": {
        ".ci/summary": """sed -i 's/epochs: 3/epochs: 1/' params.yaml
            make repro; git commit --quiet --all --message Less""",
    },
    "docs/promotion.md": {
        "dvc push": """git add reports/promotion.json; git commit --quiet --message Champion
            dvc remote add --quiet --default team /srv/mnist; git commit --quiet --message Remote .dvc/config
            make promote MODEL=cnn GTO=1""",
    },
    "docs/team.md": {
        "dvc remote modify --local team access_key_id": "dvc remote modify team url s3://BUCKET/mnist",
        "dvc exp show": "git checkout --quiet .dvc/config; rm .dvc/config.local",
    },
}
# By page, what shows that its commands had their effect.
AFTER = {
    "docs/promotion.md": "cmp ../model.keras models/cnn.keras",
    "docs/team.md": "make sync | grep 'cnn: added to MLflow'",
}
# Exit codes that are an answer, too.
CODES = {"python -m pipeline.verdict": "0 1 2"}
# Programs that serve until they are ended, the option for the port, and where they answer.
SERVERS = {"make demo": ("PORT=", "/"), "make serve": ("PORT=", "/health"), "mlflow server": ("--port ", "/health")}
# A page that gives a command for any folder means one outside of the clone.
ANYWHERE = "dvc artifacts get"


def kept(page: str) -> list[str]:
    """Return the commands of a page that are run."""
    return [one for one in shell.statements(text(page)) if not one.startswith(tuple(LEFT.get(page, ())))]


def test_nothing_is_left_out_in_silence() -> None:
    """Each command that is not run, or that something precedes, is on its page."""
    for table in (LEFT, BEFORE):
        for page, starts in table.items():
            found = [*shell.statements(text(page))]
            assert [start for start in starts if not any(one.startswith(start) for one in found)] == [], page


def study(clone: Path) -> None:
    """Give a clone a study of three small networks on the digits, with the claims of the page and no replicates."""
    page = text("study/README.md")
    (claims,) = [one for one in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "claims:" in one]
    (clone / "study" / "claims.yaml").write_text(claims.replace("kmnist", "digits"))
    (clone / "my-claims.yaml").write_text(claims.replace("kmnist", "digits"))
    (clone / "study" / "dvc.lock").unlink()
    for folder in ("study/runs", "study/reports"):
        shutil.rmtree(clone / folder)
        (clone / folder).mkdir()
    chosen = {"digits_mlp": "mlp_adadelta", "digits_cnn": "cnn", "digits_cnn_permuted": "cnn_permuted"}
    with small.edited(clone / "study" / "params.yaml") as values:
        own = {"dataset": "digits", "seeds": 3, "epochs": 1}
        values["variants"] = {name: values["variants"][old] | own for name, old in chosen.items()}
        values["data"] |= {"sets": ["digits"], "validation": 400}
        values["statistics"]["added"] = []
        values["statistics"]["comparisons"] = [["digits_cnn", "digits_mlp"], ["digits_cnn_permuted", "digits_cnn"]]
    with small.edited(clone / "study" / "dvc.yaml") as values:
        run = values["stages"]["report"]
        run["cmd"] = run["cmd"].replace(" --pilot study/pilot.yaml", "")
        run["deps"].remove("pilot.yaml")


@pytest.fixture(scope="module")
def project(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with this project's files and with results on the digits, all committed."""
    folder = complete(reproduced, tmp_path_factory.mktemp("project") / "clone")
    study(folder)

    def judged(values: dict[str, Any]) -> None:
        values["verdict"] = {"digits": {"accuracy": 0.01}}

    changes.edit(folder, judged)
    small.run(folder, "dvc", "repro", "--quiet")
    small.commit(folder, "small")
    return folder


@pytest.fixture
def clone(project: Path, tmp_path: Path) -> Path:
    """Return a clone of it with results and an environment, whose origin is a repository of its own."""
    folder, origin = tmp_path / "a clone", tmp_path / "origin.git"
    shutil.copytree(project, folder, symlinks=True)
    small.run(folder, "git", "branch", "--move", "main")
    small.run(folder, "git", "clone", "--quiet", "--bare", str(folder), str(origin))
    small.run(folder, "git", "remote", "add", "origin", str(origin))
    small.run(folder, "git", "push", "--quiet", "--set-upstream", "origin", "main")
    for key, value in (("user.name", "somebody"), ("user.email", "somebody@example.org")):
        small.run(folder, "git", "config", key, value)
    (folder / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        (folder / ".venv" / path.name).symlink_to(path)
    (folder / ".venv" / "complete").unlink(missing_ok=True)
    (folder / ".venv" / "complete").write_text(f"{folder.resolve()}\n")
    for name in ("photo.jpg", "digit.png"):
        Image.fromarray(small.digits().test.images[0]).save(folder / name)
    return folder


class Shell:
    """The script of a page, and what stands for the addresses on it."""

    def __init__(self, clone: Path) -> None:
        self.clone = clone
        self.ports = {name: free_port() for name in SERVERS}
        place = clone.parent
        tracker = f"127.0.0.1:{self.ports['mlflow server']}"
        self._stand_ins = {
            "/srv/mnist": str(place / "remote"),
            "https://git.example.org/mnist.git": str(place / "origin.git"),
            "postgresql://mlflow@127.0.0.1/mlflow": f"sqlite:///{place}/server.db",
            "/srv/mlflow": str(place / "artifacts"),
            "https://mlflow.example.org": f"http://{tracker}",
            "mlflow.example.org": tracker,
            "http://127.0.0.1:5002": f"http://127.0.0.1:{self.ports['make serve']}",
        }

    def script(self, page: str) -> str:
        """Return the commands of a page that are run."""
        before, lines = BEFORE.get(page, {}), []
        for statement in kept(page):
            lines += [before[start] for start in before if statement.startswith(start)]
            lines.append(self._line(statement))
        found = "\n".join([*lines, AFTER.get(page, "")])
        for address, stand_in in self._stand_ins.items():
            found = found.replace(address, stand_in)
        return found

    def _line(self, statement: str) -> str:
        for name, (option, path) in SERVERS.items():
            if name in statement:
                port = self.ports[name]
                line = statement.replace(name, f"{name} {option}{port}", 1).strip()
                answers = f"curl -fso /dev/null http://127.0.0.1:{port}{path}"
                return f"{{ {line}\n}} &\nuntil {answers}; do kill -0 $!; sleep .2; done"
        if statement.startswith(ANYWHERE):
            return f"( cd .. && {statement} )"
        codes = next((CODES[start] for start in CODES if statement.startswith(start)), "0")
        return f"code=0; {{ {statement}\n}} || code=$?; [[ ' {codes} ' == *\" $code \"* ]]"

    def run(self, page: str) -> str:
        """Run them in one shell and return what it printed; what they started in the background ends with it."""
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.clone.parent), "LANG": "C.UTF-8"}
        log = self.clone.parent / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                ["bash", "-eux", "-o", "pipefail", "-c", self.script(page)],
                cwd=self.clone,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                code = process.wait()
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        printed = log.read_text()
        assert code == 0, printed[-8000:]
        return printed


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if {*kept(page)} - {ACTIVATION.strip("`")}])
def test_a_pages_commands_work_as_they_stand(page: str, clone: Path) -> None:
    """Each ends as the page says, in a shell whose PATH has nothing of the environment before it is activated."""
    printed = Shell(clone).run(page)

    assert "Traceback" not in printed
