"""The README says what the project is: its results, its chain, its files; and says the same in both languages."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import yaml

from pipeline import params
from pipeline.reporting import render

ROOT = Path(__file__).parents[1]


def results() -> list[str]:
    """Return the lines of the README's table of results, from what the report stage wrote."""
    scores = pd.read_csv(ROOT / "reports" / "comparison.csv", index_col="model")
    judged = pd.read_csv(ROOT / "reports" / "overfitting.csv", index_col="model")
    rows = {
        "After the last epoch": [render.code(name) for name in scores.index],
        "Test accuracy": map(render.percent, scores["test_accuracy"]),
        "the original's": map(render.percent, scores["report_accuracy"]),
        "Test errors, of 10,000": map(str, scores["test_errors"]),
        "Train accuracy, dropout off": map(render.percent, scores["train_accuracy"]),
        "`val_loss` at the end over its lowest": (render.fixed(rise, 2) for rise in judged["rise"]),
        "which is called": (f"*{verdict}*" for verdict in judged["verdict"]),
    }
    head, *body = (f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())
    return [head, f"|---|{'---:|' * len(scores)}", *body]


def test_the_results_on_the_first_screen_are_the_committed_ones() -> None:
    """The README's table of results is, line by line, what follows from reports/."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()

    assert [line for line in results() if line not in readme] == []


def test_the_files_that_the_readme_points_to_are_there() -> None:
    """Every relative link and picture leads to a file of the repository."""
    for name in ("README.md", "README.ja.md", "study/README.md"):
        page_ = ROOT / name
        targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page_.read_text(encoding="utf-8"))
        local = [target for target in targets if "://" not in target]
        assert local
        assert [target for target in local if not (page_.parent / target).exists()] == []


def blocks(name: str) -> list[str]:
    """Return the fenced blocks of a page, each with the word after its fence."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(r"^```(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def test_the_diagram_is_dvcs_own() -> None:
    """The README shows what `dvc dag` draws of what the report needs: the root's stages, none of the study's."""
    dvc = str(Path(sys.executable).with_name("dvc"))
    drawn = subprocess.run([dvc, "dag", "--md", "report"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert f"```{blocks('README.md')[1]}```\n" == drawn


def test_the_other_data_set_is_valid_params(tmp_path: Path) -> None:
    """The block that the README gives for Fashion-MNIST can take the place of the project's own."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    (block,) = [text for text in blocks("README.md") if text.startswith("yaml\n")]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values | yaml.safe_load(block.removeprefix("yaml\n"))))

    assert params.load(tmp_path / "params.yaml").data.dataset == "fashion_mnist"


def commands(block: str) -> list[list[str]]:
    """Return the words of each line of a block, without comments."""
    return [words for line in block.replace("\\\n", "").splitlines() if (words := shlex.split(line, comments=True))]


def numbers(name: str) -> Counter[str]:
    """Return how often each number stands in a page, outside its blocks and other than inside a word."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return Counter(re.findall(r"(?<![A-Za-z0-9_.])\d+(?:[.,]\d+)*(?:e-\d+)?%?", text))


def test_both_languages_have_the_same_commands_and_numbers() -> None:
    """Block by block the Japanese page has the English one's commands, and outside them the same numbers as often."""
    english, japanese = blocks("README.md"), blocks("README.ja.md")

    assert [commands(block) for block in japanese] == [commands(block) for block in english]
    assert numbers("README.ja.md") == numbers("README.md")
    assert len(numbers("README.md")) > 30


def test_both_languages_have_the_same_sections_and_links() -> None:
    """Each page has as many sections, and links to the same places, but for the link to the other."""
    english, japanese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ja.md"))

    def targets(text: str) -> set[str]:
        return set(re.findall(r"\]\(([^)]+)\)", text)) - {"README.md", "README.ja.md"}

    assert targets(japanese) == targets(english)
    assert japanese.count("\n## ") == english.count("\n## ") > 10
