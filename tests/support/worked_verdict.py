"""The README's worked experiment, judged: `python -m tests.support.worked_verdict` writes docs/verdict.json.


It takes the preprocessed data, and goes on from work/verdict/ where it was interrupted. `make pages` puts the verdict
into the README.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline import machine

ROOT = Path(__file__).parents[2]
ANSWER = ROOT / "docs" / "verdict.json"
MODEL, RATE = "mlp_adadelta", 0.5


def slower() -> str:
    """Return a commit that is HEAD with the lower learning rate; no branch has it, and no file is touched."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"GIT_INDEX_FILE": f"{folder}/index"}

        def git(*arguments: str, given: str = "") -> str:
            command = ["git", "-c", "user.name=verdict", "-c", "user.email=verdict@localhost", *arguments]
            done = subprocess.run(
                command, cwd=ROOT, env=environment, input=given, check=True, capture_output=True, text=True
            )
            return done.stdout.strip()

        values = yaml.safe_load(git("show", "HEAD:params.yaml"))
        values["models"][MODEL]["optimizer"]["learning_rate"] = RATE
        git("read-tree", "HEAD")
        blob = git("hash-object", "-w", "--stdin", given=yaml.safe_dump(values, sort_keys=False))
        git("update-index", "--cacheinfo", f"100644,{blob},params.yaml")
        return git("commit-tree", git("write-tree"), "-p", "HEAD", "-m", "slower")


def sentence(answer: Mapping[str, Any]) -> str:
    """Return what the README says of the answer."""
    (comparison,) = answer["models"][0]["comparisons"]

    def number(value: float) -> str:
        return f"{value:+.4f}".replace("0.", ".", 1)

    needed = f"; {comparison['seeds_needed']} seeds would decide it" if comparison["verdict"] == "cannot tell" else ""
    smallest = f"{answer['smallest_effect']:g}".replace("0.", ".", 1)
    where = f" in {answer['minutes']} minutes ({answer['processor']})" if "minutes" in answer else ""
    other = "" if comparison["low"] == comparison["low_on_these_images"] else ", for other images too"
    return (
        f"`make verdict A=HEAD B=slower` compares the last commit with [`slower`](#an-experiment-worked), "
        f"{len(comparison['values_before'])} seeds of each{where}: *{comparison['verdict']}*{needed}. On "
        f"{answer['images']['judged']:,} held-out images the accuracy changes by "
        f"{number(comparison['difference'])} (95% interval {number(comparison['low'])} to "
        f"{number(comparison['high'])}{other}), and a change of {smallest} would matter."
    )


def main() -> None:
    """Train what is missing of both sides, then write the answer."""
    command = [sys.executable, "-m", "pipeline.verdict", "HEAD", slower(), "--model", MODEL, "--json", *sys.argv[1:]]
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout:
        raise SystemExit(done.returncode)
    answer = json.loads(done.stdout)
    if "models" not in answer:
        raise SystemExit(done.returncode)
    kept = {key: answer[key] for key in ("metric", "images", "smallest_effect", "models")}
    kept |= {"minutes": round((time.monotonic() - started) / 60), "processor": machine.processor()}
    ANSWER.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    print(sentence(kept))


if __name__ == "__main__":
    main()
