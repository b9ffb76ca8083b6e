"""The parts of pages such as README.md that follow from committed results, each between two comments of its own."""

import json
import re
import textwrap
from collections.abc import Callable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import files, params
from pipeline.analysis.overfitting import OverfittingVerdict
from pipeline.data import original as originals
from pipeline.reporting import render
from pipeline.study import prediction
from tests.support import looks, worked_verdict


class Language(IntEnum):
    """The place of each language's words."""

    ENGLISH = 0
    JAPANESE = 1


# What the rows of the table of results are called.
ROWS = {
    "model": ("After the last epoch", "最終エポック後"),
    "accuracy": ("Test accuracy", "テスト正解率"),
    "original": ("Test accuracy of the original", "元レポートのテスト正解率"),
    "errors": ("Test errors, of {images:,}", "テスト画像 {images:,} 枚中の誤り"),
    "train": ("Train accuracy, without dropout", "訓練正解率（ドロップアウトなし）"),  # noqa: RUF001
    "rise": (
        "Rise: mean `val_loss` of the last {window} epochs, divided by the lowest such mean",
        "上昇率：最後の {window} エポックの平均 `val_loss` ÷ その最小値",  # noqa: RUF001
    ),
    "verdict": ("Verdict on overfitting", "過学習の判定"),
}
JAPANESE_VERDICTS = {
    OverfittingVerdict.NOT_JUDGED: "判定できない",
    OverfittingVerdict.NO_SIGN: "兆候なし",
    OverfittingVerdict.SLIGHT: "わずか",
    OverfittingVerdict.OVERCONFIDENT: "過信が強まる",
    OverfittingVerdict.OVERFITS: "過学習",
}
# The final scores are the test accuracy, test loss, running accuracy and rise of each model.
REPRODUCED = (
    "**The reproduction worked**: {within} of {n} final scores of the original, printed or computed from what it "
    "printed, are as one more training run would give them (in its 95% [prediction "
    "interval](study/reports/claims.md#one-more-seed)).",
    "**再現は成功しました**: 元レポートの最終スコア {n} 個のうち {within} 個が、もう一つのシードの"
    "[95% 予測区間](study/reports/claims.md#one-more-seed)に入ります。",
)
NOT_REPRODUCED = (
    "Of {n} final scores of the original, printed or computed from what it printed, only {within} are as one more "
    "training run would give them (in its 95% [prediction interval](study/reports/claims.md#one-more-seed)).",
    "元レポートの最終スコア {n} 個のうち、もう一つのシードの"
    "[95% 予測区間](study/reports/claims.md#one-more-seed)に入るのは {within} 個だけです。",
)
NONE = "\u2013"


def results(language: Language) -> str:
    """Return the table of results: a column for each model, and the original's numbers where it has such a model."""
    metrics = files.read_json(Path("reports/metrics.json"))
    data = files.read_json(Path("reports/data.json"))
    overfitting = files.read_csv(Path("reports/overfitting.csv")).set_index("model")
    printed = _original(data["dataset"])
    words = {
        "images": data["splits"]["test"]["count"],
        "window": params.load(Path("params.yaml")).overfitting.window,
    }
    cells = {
        "model": [f"`{name}`" for name in metrics],
        "accuracy": [render.percent(of_model["test_accuracy"]) for of_model in metrics.values()],
        "original": [render.percent(printed[name]) if name in printed else NONE for name in metrics],
        "errors": [f"{of_model['test_errors']:,}" for of_model in metrics.values()],
        "train": [render.percent(of_model["train_accuracy"]) for of_model in metrics.values()],
        "rise": [f"{rise:.2f}" if pd.notna(rise) else NONE for rise in overfitting["rise"][[*metrics]]],
        "verdict": [_verdict(verdict, language) for verdict in overfitting["verdict"][[*metrics]]],
    }
    if not printed.keys() & metrics.keys():
        del cells["original"]
    head, *body = (f"| {ROWS[key][language].format(**words)} | {' | '.join(row)} |" for key, row in cells.items())
    return "\n".join([head, f"|---|{'---:|' * len(metrics)}", *body])


def _original(dataset: str) -> dict[str, float]:
    """Return the test accuracies that the original printed for its models, if they are for this data set."""
    if dataset != originals.DATASET:
        return {}
    printed = files.read_csv(Path("data/report_history.csv"))
    return dict(printed.groupby("model")["val_accuracy"].last())


def _verdict(verdict: str, language: Language) -> str:
    return f"*{verdict}*" if language is Language.ENGLISH else JAPANESE_VERDICTS[OverfittingVerdict(verdict)]


def predictions(language: Language) -> str:
    """Return the sentence on the original's numbers and the study's intervals, or nothing without a study of them."""
    path = Path("study/reports/prediction.csv")
    intervals = files.read_csv(path).dropna(subset="original") if path.exists() else pd.DataFrame()
    if intervals.empty:
        return ""
    within = int(intervals["within"].astype(bool).sum())
    sentence = (REPRODUCED if prediction.reproduced(within, len(intervals)) else NOT_REPRODUCED)[language]
    text = sentence.format(n=len(intervals), within=within)
    return _filled(text) if language is Language.ENGLISH else text


def verdict(_: Language) -> str:
    """Return what `make verdict` says of the worked experiment, and how long it takes for each model."""
    answer = json.loads(worked_verdict.ANSWER.read_text(encoding="utf-8"))
    return _filled(f"{worked_verdict.sentence(answer)}{_time(answer)}")


def _time(answer: Mapping[str, Any]) -> str:
    """Return in a sentence how long as many seeds of both sides take, by the benchmark of many runs on two cores."""
    path = Path("benchmarks/results.json")
    measured = files.read_json(path).get("study", {}) if path.exists() else {}
    models = {name: model for name, model in params.load(Path("params.yaml")).models.items() if name in measured}
    if not models:
        return ""
    seeds = len(answer["models"][0]["comparisons"][0]["values_before"])
    # All but those that are held out to judge by.
    images = files.read_json(Path("reports/data.json"))["splits"]["train"]["count"] - answer["images"]["judged"]
    parts = []
    for name, model in models.items():
        timing = measured[name]
        epoch = timing["epoch"]["two of one thread, float32"]["median"] * images / timing["images"]
        parts.append(f"{2 * seeds * model.epochs * epoch / 60:.0f} minutes for `{name}`")
    return f" On two cores of {measured['machine']['processor']} this takes about {render.series(parts)}."


PARTS: Mapping[str, Callable[[Language], str]] = {
    "results": results,
    "predictions": predictions,
    "verdict": verdict,
    "power": lambda _: looks.power_table(),
}


def renewed(page: str, language: Language) -> str:
    """Return the page with each of its parts as the committed results have it; a page may have some of them or none."""
    for name, content in PARTS.items():
        part = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=^<!-- /{name} -->$)", re.DOTALL | re.MULTILINE)
        if part.search(page):
            text = content(language)
            page = part.sub(lambda _, text=text: text and f"{text}\n", page)
    return page


def _filled(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)
