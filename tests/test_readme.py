"""The README's numbers are those of the committed results."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from pipeline import page

ROOT = Path(__file__).parents[1]


def results() -> list[str]:
    """Return the lines of the README's table of results, from what the report stage wrote."""
    scores = pd.read_csv(ROOT / "reports" / "comparison.csv", index_col="model")
    judged = pd.read_csv(ROOT / "reports" / "overfitting.csv", index_col="model")
    rows = {
        "After the last epoch": [page.code(name) for name in scores.index],
        "Test accuracy": map(page.percent, scores["test_accuracy"]),
        "the original's": map(page.percent, scores["report_accuracy"]),
        "Test errors, of 10,000": map(str, scores["test_errors"]),
        "Train accuracy, dropout off": map(page.percent, scores["train_accuracy"]),
        "`val_loss` at the end over its lowest": (page.fixed(rise, 2) for rise in judged["rise"]),
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
    for name in ("README.md", "study/README.md"):
        page_ = ROOT / name
        targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page_.read_text(encoding="utf-8"))
        local = [target for target in targets if "://" not in target]
        assert local
        assert [target for target in local if not (page_.parent / target).exists()] == []
