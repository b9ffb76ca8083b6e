"""The report: its pages, tables and figures follow from the data, and from nothing else."""

import base64
import dataclasses
import io
import json
import math
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import precision_recall_fscore_support

from pipeline import files, preprocess, report, schema
from pipeline.analysis import metrics
from pipeline.data import dataset as datasets
from pipeline.data import sets
from pipeline.data.dataset import Dataset, Split
from pipeline.params import Params
from pipeline.report import Report
from pipeline.reporting import inputs, pairwise
from pipeline.reporting.inputs import DataSummary, Metrics, ModelResult, SplitSummary
from pipeline.reporting.plots import classification, curves, grids, style
from pipeline.training.settings import Model
from tests.support.frozen import FROZEN

ROOT = Path(__file__).parents[1]
REPORTED = inputs.read_reported(ROOT / "data" / "report_history.csv")
ERRORS = {"mlp_rmsprop": 160, "mlp_adadelta": 172, "cnn": 95, "extra": 140}
CLASSES = tuple("0123456789")
TITLES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "things": "Things in colour"}
VOID = {"img", "link", "meta"}
DRAWING = (
    (curves, "comparison"),
    (curves, "training"),
    (classification, "confusion"),
    (classification, "reliability"),
    (grids, "samples"),
    (grids, "gallery"),
    (style, "png"),
)


class Page(HTMLParser):
    """An HTML page, taken apart: its addresses, alternative texts, tables, words and headings."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[tuple[str, str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the element."""
        self.tags.append((tag, dict(attrs)))
        self.addresses += [(tag, value or "") for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that elements end in the order in which they began."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note the words that are to be read."""
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All words, one blank between each."""
        return " ".join("".join(self.words).split())


def tables(markdown: str) -> dict[str, list[list[str]]]:
    """Return the tables of a Markdown page by caption, a list of cells per row, head first."""
    found = {}
    for caption, body in re.findall(r"^\*\*(.+)\*\*\n\n((?:\|.*\n)+)", markdown, re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in body.splitlines()]
        found[caption] = [rows[0], *rows[2:]]
    return found


def section(markdown: str, title: str) -> str:
    """Return the part of a Markdown page below a heading."""
    return markdown.split(f"## {title}\n")[1].split("\n## ")[0]


def answers(labels: np.ndarray, errors: int, seed: int) -> np.ndarray:
    """Return answers with so many errors, the first five images among them."""
    rng = np.random.default_rng(seed)
    wrong = np.r_[np.arange(5), 5 + rng.permutation(len(labels) - 5)][:errors]
    found = labels.astype(int)
    found[wrong] = (found[wrong] + rng.integers(1, 10, errors)) % 10
    return found


def probabilities(chosen: np.ndarray, seed: int) -> np.ndarray:
    """Return distributions whose highest probability is that of the chosen class."""
    top = np.random.default_rng(seed).uniform(0.6, 1, len(chosen))
    table = np.repeat(((1 - top) / 9)[:, None], 10, axis=1)
    table[np.arange(len(chosen)), chosen] = top
    return table.astype(np.float32)


class Experiment:
    """A made-up experiment in memory, whose models have the original's histories unless other ones are given."""

    def __init__(
        self,
        values: Params,
        models: Mapping[str, Model],
        *,
        dataset: str = "mnist",
        validation: int | None = None,
        histories: Mapping[str, pd.DataFrame] | None = None,
        errors: Mapping[str, int] | None = None,
        image: tuple[int, ...] = (28, 28),
        classes: tuple[str, ...] = CLASSES,
    ) -> None:
        rng = np.random.default_rng(7)
        sizes = {"train": 100, **({"validation": validation} if validation else {}), "test": 10_000}
        splits = {
            name: Split(
                rng.integers(0, 256, (count, *image), dtype=np.uint8), rng.integers(0, 10, count, dtype=np.uint8)
            )
            for name, count in sizes.items()
        }
        self.data = Dataset(splits["train"], splits.get("validation"), splits["test"], classes)
        block = values.data.model_copy(update={"dataset": dataset, "validation": validation or "test"})
        self.values = values.model_copy(update={"models": dict(models), "data": block})
        described = {
            name: SplitSummary(len(split), np.bincount(split.labels, minlength=10).tolist(), 0.13, 0.31)
            for name, split in splits.items()
        }
        target = 0.98 if dataset == "mnist" else None
        about = (TITLES[dataset], "image", "Somebody", target, list(image), list(classes))
        self.summary = DataSummary(dataset, *about, validation or "test", 0, "", described, True, [])
        self.results = [
            self._result(name, model, histories or {}, ERRORS | (errors or {})) for name, model in models.items()
        ]

    def _result(
        self, name: str, model: Model, histories: Mapping[str, pd.DataFrame], errors: Mapping[str, int]
    ) -> ModelResult:
        labels = self.data.test.labels
        tests = probabilities(answers(labels, errors[name], len(name)), len(name))
        scores = {"test": metrics.score(tests, labels, model.loss.clip)}
        for split in ("train", "validation"):
            images = self.data.splits().get(split)
            if images is not None:
                table = probabilities(images.labels.astype(int), 3)
                scores[split] = metrics.score(table, images.labels, model.loss.clip)
        history = histories.get(name, REPORTED.get(name, REPORTED["mlp_rmsprop"]))
        seconds = np.linspace(2, 3, model.epochs)
        kept = {
            "last": None,
            "best_val_loss": int(history["val_loss"].argmin()) + 1,
            "best_val_accuracy": int(history["val_accuracy"].argmax()) + 1,
        }[model.keep]
        made_with, names = {"recipe": name, "keras": "3.15.1"}, list(self.data.classes)
        measured = Metrics(name, 1234, model.epochs, made_with, names, scores, kept)
        rows = history[list(inputs.COLUMNS)]
        changed = model.augmentation and np.zeros((len(model.augmentation.steps), 3, *self.data.shape), np.uint8)
        return ModelResult(name, model, measured, rows, seconds, ("A processor",), tests, labels, changed)

    def report(self) -> Report:
        """Return the report on the experiment."""
        return report.report(self.values, self.data, self.summary, self.results, REPORTED)


@pytest.fixture(scope="module")
def three(values: Params) -> Experiment:
    """Return the project's three models with the original's own histories."""
    return Experiment(values, values.models)


@pytest.fixture(scope="module")
def whole(three: Experiment) -> Report:
    """Return the report on the three models, figures and all."""
    return three.report()


@pytest.fixture
def drawing() -> None:
    """Have figures drawn, as a test that is about them asks for."""


@pytest.fixture(autouse=True)
def _no_drawing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawing, for tests of words."""
    for module, name in DRAWING if "drawing" not in request.fixturenames else ():
        monkeypatch.setattr(module, name, lambda *_: b"")


def wilson(errors: int) -> str:
    """Return Wilson's 95% interval of 10,000 images by its formula, in the page's words."""
    n, z = 10_000, 1.959963984540054
    p = 1 - errors / n
    centre, spread = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = ((centre + side * spread) / (1 + z**2 / n) for side in (-1, 1))
    return f"{low:.2%} to {high:.2%}"


def test_comparison_follows_from_the_predictions(three: Experiment, whole: Report) -> None:
    """Errors, accuracy and its interval are those of the stored predictions, in the order of params.yaml."""
    head, *rows = tables(whole.markdown)["The models after their last epoch"]
    cells = {row[0]: row[1:] for row in rows}

    assert head[1:] == [f"`{name}`" for name in three.values.models]
    errors = [int(np.sum(result.probabilities.argmax(1) != three.data.test.labels)) for result in three.results]
    assert errors == [160, 172, 95]
    assert cells["Test errors"] == [str(count) for count in errors]
    assert cells["Test accuracy"] == [f"{1 - count / 10_000:.2%}" for count in errors]
    assert cells["95% interval"] == [wilson(count) for count in errors]
    assert cells["Generalization gap, points"] == ["+1.60", "+1.72", "+0.95"]
    assert cells["Epochs to 98%"] == ["6", "8", "2"]
    assert cells["Seconds per epoch"] == ["2.5"] * 3


def test_pairs_follow_from_the_predictions(three: Experiment, whole: Report) -> None:
    """Each pair's p value is the binomial sum over the discordant pairs."""
    right = {one.name: one.probabilities.argmax(1) == three.data.test.labels for one in three.results}

    rows = tables(whole.markdown)["Exact McNemar tests on the test images"][1:]

    assert len(rows) == 3
    for (first, second), row in zip(combinations(right, 2), rows, strict=True):
        counts = int(np.sum(right[first] & ~right[second])), int(np.sum(right[second] & ~right[first]))
        n = sum(counts)
        p = min(1.0, 2 * sum(math.comb(n, k) for k in range(min(counts) + 1)) / 2**n)
        assert row[0] == f"`{first}` and `{second}`"
        assert row[1:3] == [str(count) for count in counts]
        assert float(row[3]) == pytest.approx(p, rel=0.01)
        assert float(row[4]) <= min(1.0, 3 * p) * 1.01
    assert "these fitted models, trained once each" in section(whole.markdown, "Pairwise comparisons")


def test_words_on_pairs_follow_the_adjusted_p(three: Experiment, whole: Report) -> None:
    """Below 0.05 the model with fewer errors makes significantly fewer; otherwise no difference is significant."""
    errors = {f"`{one.name}`": one.metrics.splits["test"]["errors"] for one in three.results}
    said = section(whole.markdown, "Pairwise comparisons")
    short = section(whole.markdown, "In short")
    found = short.split("find significantly different error rates for ")[1]
    different, similar = found.split(". They find no significant difference for ")

    rows = tables(whole.markdown)["Exact McNemar tests on the test images"][1:]

    assert {float(row[4]) < 0.05 for row in rows} == {True, False}
    for row in rows:
        better, worse = sorted(row[0].split(" and "), key=lambda name: errors[name])
        alone, most = int(row[1]) + int(row[2]), max(int(row[1]), int(row[2]))
        if float(row[4]) < 0.05:
            assert f"- {better} makes significantly fewer errors than {worse}: of the {alone} images" in said
            assert f"it wins {most} (adjusted p" in said
            assert row[0] in different
        else:
            assert f"- {row[0]} do not differ significantly: of the {alone} images" in said
            assert row[0] in similar


def test_the_scores_of_the_original_are_compared_with_ours(whole: Report) -> None:
    """For each model the original's last epoch, the errors that follow, and the differences are given."""
    rows = tables(whole.markdown)["Test images after the last epoch, here and in the original"][1:]

    assert rows[0][:4] == ["`mlp_rmsprop`", "20", "98.40%", "160"]
    assert rows[1] == ["original", "20", "98.34%", "166", "0.1104", "6", "13.1"]
    assert rows[2][2:4] == ["+0.06", "\N{MINUS SIGN}6"]
    assert [row[3] for row in rows[1::3]] == ["166", "169", "98"]
    compared = section(whole.markdown, "Comparison with the original")
    assert f"98.40% is within the original's 95% interval, {wilson(166)}" in compared
    assert "coarse check" in compared
    assert "the choice of test images, not of seeds" in " ".join(compared.split())


@pytest.mark.parametrize(("errors", "word"), [(100, "above"), (160, "within"), (300, "below")])
def test_position_in_the_interval_of_the_original_flips(values: Params, errors: int, word: str) -> None:
    """More or fewer errors move a model out of the original's interval, in the table and in the text."""
    made = Experiment(values, {"mlp_rmsprop": values.models["mlp_rmsprop"]}, errors={"mlp_rmsprop": errors}).report()

    assert f"is {word} the original's 95% interval" in section(made.markdown, "Comparison with the original")
    assert f"`mlp_rmsprop` is {word} it" in section(made.markdown, "In short")
    assert made.tables["comparison"]["original_within"].tolist() == [word == "within"]


def test_flipped_histories_flip_the_verdicts(values: Params) -> None:
    """With the histories of the two MLPs exchanged, their verdicts are exchanged wherever they stand."""
    names = ("mlp_rmsprop", "mlp_adadelta")
    models = {name: values.models[name] for name in names}
    flipped = {names[0]: REPORTED[names[1]], names[1]: REPORTED[names[0]]}

    for histories, verdicts in (
        (None, ("grows overconfident", "slight")),
        (flipped, ("slight", "grows overconfident")),
    ):
        made = Experiment(values, models, histories=histories).report()

        assert made.tables["overfitting"]["verdict"].tolist() == list(verdicts)
        rows = tables(made.markdown)["Overfitting analysis of the histories, here and in the original"][1:]
        assert [row[-1] for row in rows[::2]] == [f"*{verdict}*" for verdict in verdicts]
        assert [row[-1] for row in rows[1::2]] == ["*grows overconfident*", "*slight*"]
        short = section(made.markdown, "In short")
        assert all(f"*{verdict}*: `{name}`" in short for name, verdict in zip(names, verdicts, strict=True))
        phrases = [verdict.replace("slight", "shows a slight rise") for verdict in verdicts]
        for name, words in zip(names, phrases, strict=True):
            assert f"- `{name}` {words}:" in section(made.markdown, "Overfitting")
        same = "the same verdict" if histories is None else "another verdict"
        assert section(made.markdown, "Overfitting").count(f"history of the original gets {same}") == 2
        differences = f"*{verdicts[0]}* for the first and *{verdicts[1]}* for the second"
        assert differences in section(made.markdown, "What the differences can show")


def test_lost_accuracy_is_called_overfitting(values: Params) -> None:
    """The same rise of the loss is called overfitting where the accuracy falls with it."""
    history = REPORTED["mlp_rmsprop"].copy()
    history.loc[15:, "val_accuracy"] -= 0.01

    made = Experiment(
        values, {"mlp_rmsprop": values.models["mlp_rmsprop"]}, histories={"mlp_rmsprop": history}
    ).report()

    assert "- `mlp_rmsprop` overfits:" in section(made.markdown, "Overfitting")
    assert "Its `val_accuracy` falls" in section(made.markdown, "Overfitting")


def test_differences_are_those_of_the_params(values: Params) -> None:
    """What is said of two models follows from their blocks: one difference, several, dropout or none."""
    mlp, other, cnn = (values.models[name] for name in ("mlp_rmsprop", "mlp_adadelta", "cnn"))
    content: Any = mlp.model_dump()
    dry = schema.validate(Model, {**content, "network": {**content["network"], "dropout": 0.5}})

    def said(second: Model) -> str:
        made = Experiment(values, {"mlp_rmsprop": mlp, "extra": second}, histories={"extra": _long(second.epochs)})
        return section(made.report().markdown, "What the differences can show")

    optimizer = said(other)
    assert "differ only in the optimizer (rmsprop and adadelta)" in optimizer
    assert "Both have dropout 0.2, so it cannot show what dropout does." in optimizer
    dropout = said(dry)
    assert "differ only in `network.dropout` (0.2 and 0.5)" in dropout
    assert "cannot show what dropout does" not in dropout
    several = said(cnn)
    assert (
        "the network (mlp and cnn), the optimizer (rmsprop and adadelta) and the number of epochs (20 and 12)"
        in several
    )
    assert "cannot be attributed to any one of these" in several
    assert "have the same settings and the same seed" in said(mlp)


def test_optional_parts_of_a_model_are_told_where_there_are_some(values: Params) -> None:
    """Schedule, augmentation and keep have columns where a model has them, and count as differences like any other."""
    plain = values.models["mlp_rmsprop"]
    content: Any = plain.model_dump()
    added = {
        "augmentation": {"shift": 2, "flip": False},
        "schedule": {"name": "step", "epochs": 5, "factor": 0.1},
        "keep": "best_val_loss",
    }
    columns = ["Model", "Network", "Parameters", "Optimizer", "Loss", "Epochs"]

    def made(**optional: Any) -> str:
        other = schema.validate(Model, content | optional)
        return Experiment(values, {"mlp_rmsprop": plain, "extra": other}, validation=500).report().markdown

    head, first, second = tables(made(**added))["Models"]
    assert head == [*columns, "Schedule", "Augmentation", "Keep"]
    assert first[-3:] == ["constant", "none", "`last`"]
    assert second[-3:] == ["step: epochs 5, factor 0.1", "shift 2, flip false", "`best_val_loss`"]
    assert "figures/augmentation-extra.png" in made(**added)
    assert "figures/augmentation-mlp_rmsprop.png" not in made(**added)
    for name, words in (
        ("augmentation", "the augmentation (none and shift 2)"),
        ("schedule", "the schedule of the learning rate (constant and step)"),
        ("keep", "the epoch that is kept (last and best_val_loss)"),
    ):
        assert f"differ only in {words}" in section(made(**{name: added[name]}), "What the differences can show")
    constant = made(schedule={"name": "constant"})
    assert tables(constant)["Models"][0] == columns
    assert "have the same settings and the same seed" in constant


KEPT = "The epoch that is kept and the last one, on the validation images"


@pytest.mark.parametrize("keep", ["best_val_loss", "best_val_accuracy"])
@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_the_epoch_that_is_kept_is_reported(values: Params, keep: str, dataset: str) -> None:
    """Both epochs have their val scores; nothing is said to be of the last epoch where another one was kept."""
    column = keep.removeprefix("best_")
    history = REPORTED["mlp_rmsprop"]
    best = history.loc[history[column].idxmin() if column == "val_loss" else history[column].idxmax()]
    best_one = values.models["mlp_rmsprop"].model_copy(update={"keep": keep})
    models = {"mlp_rmsprop": best_one, "cnn": values.models["cnn"]}

    made = Experiment(values, models, dataset=dataset, validation=500).report()

    found, last = tables(made.markdown), history.iloc[-1]
    assert 1 < best["epoch"] < last["epoch"]
    (row,) = found[KEPT][1:]
    assert row[0] == "`mlp_rmsprop`"
    for cells, epoch in ((row[2:5], best), (row[5:], last)):
        expected = [f"{epoch['epoch']:.0f}", f"{epoch['val_loss']:.4f}", f"{epoch['val_accuracy']:.2%}"]
        assert cells == expected
    assert ["Epoch that is kept", f"{best['epoch']:.0f}", "12"] in found["The models with the weights that they keep"]
    extreme = {"best_val_loss": "lowest `val_loss`", "best_val_accuracy": "highest `val_accuracy`"}[keep]
    setup = section(made.markdown, "Setup")
    assert f"`mlp_rmsprop` keeps the weights of the epoch with the {extreme} and `cnn` keeps those of the last" in setup
    assert "The results below are those of the weights that are kept." in setup
    for wrong in ("are those of the last epoch", "after their last epoch", "after the last epoch"):
        assert wrong not in made.markdown
    judged = section(made.markdown, "Overfitting").split("- `mlp_rmsprop` grows overconfident")[1].splitlines()[0]
    assert f"The weights that are kept are those of epoch {best['epoch']:.0f}" in judged
    alone = Experiment(values, {"mlp_rmsprop": best_one}, dataset=dataset, validation=500).report()
    assert "last epoch" not in section(alone.markdown, "Setup")
    assert made.metrics["mlp_rmsprop"]["kept_epoch"] == best["epoch"]
    assert made.metrics["mlp_rmsprop"]["kept_val_loss"] == best["val_loss"]
    assert "kept_epoch" not in made.metrics["cnn"]
    Page(made.html)


def test_the_whole_history_is_judged_and_drawn_whatever_is_kept(values: Params) -> None:
    """Overfitting analysis, gate metrics of the history and DVC's curves are those of all epochs, as for the last."""
    plain = values.models["mlp_rmsprop"]

    kept, last = (
        Experiment(values, {"mlp_rmsprop": model}, validation=500).report()
        for model in (plain.model_copy(update={"keep": "best_val_loss"}), plain)
    )

    pd.testing.assert_frame_equal(kept.tables["overfitting"], last.tables["overfitting"])
    pd.testing.assert_frame_equal(kept.tables["curves"], last.tables["curves"])
    assert set(kept.tables["curves"]["epoch"]) == set(range(1, 21))
    assert last.metrics["mlp_rmsprop"].items() <= kept.metrics["mlp_rmsprop"].items()


@pytest.mark.parametrize(("validation", "told"), [(500, True), (20_000, False)])
def test_that_few_images_cannot_show_that_accuracy_holds_is_told(values: Params, validation: int, told: bool) -> None:
    """Where the standard error of its change exceeds the tolerance, the sentence has it; the verdict stays."""
    made = Experiment(values, {"mlp_rmsprop": values.models["mlp_rmsprop"]}, validation=validation).report()

    said = section(made.markdown, "Overfitting").split("- `mlp_rmsprop` grows overconfident")[1]
    (row,) = made.tables["overfitting"].to_dict("records")
    error = 100 * row["val_accuracy_error"]
    assert (f"holds, as far as 500 images show (the standard error of its change is up to {error:.2f}" in said) is told
    assert ("`val_accuracy` holds: " in said) is not told


def _long(epochs: int) -> pd.DataFrame:
    return REPORTED["mlp_rmsprop"].iloc[:epochs]


def test_the_protocol_is_that_of_the_data(values: Params, three: Experiment) -> None:
    """The protocol is stated correctly in every place that mentions val_: test images, or validation images."""
    monitored = three.report().markdown
    held_out = Experiment(values, values.models, validation=500).report()

    assert "the test images are scored after every epoch" in section(monitored, "Setup")
    assert "`val_` refers to the test images" in section(monitored, "Overfitting")
    assert "held out" not in monitored
    run = section(held_out.markdown, "Setup")
    assert "500 validation images" in run
    assert "The test images are not used until the finished models are evaluated." in run
    assert "the test images are scored after every epoch" not in held_out.markdown
    assert "`val_` refers to the validation images" in section(held_out.markdown, "Overfitting")
    assert "here 500 of them are held out" in section(held_out.markdown, "Comparison with the original")
    assert held_out.metrics["cnn"]["validation_accuracy"] == 1.0


def test_nothing_speaks_of_digits_where_there_are_none(values: Params) -> None:
    """On colour images of named things the page names the classes, their number and size, and no target is counted."""
    things = ("cat", "ship", "a|b", "<b>", "$x$", "T-shirt/top", "car", "bus", "dog", "tree")

    made = Experiment(values, values.models, dataset="things", image=(32, 40, 3), classes=things).report()

    for page in (made.markdown, made.html):
        text = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page)
        assert "Things in colour" in text
        assert "32x40 pixels in colour and in one of 10 classes" in " ".join(text.split())
        assert not re.search(r"digit|28x28|(?<!Keras-)MNIST(?!, these)|98%", text)
        assert "Credit for the data: Somebody." in text
    assert r"10 classes: cat, ship, a\|b, \<b>, \$x\$, T-shirt/top, car, bus, dog and tree." in made.markdown
    assert f"10 classes: {', '.join(things[:-1])} and tree." in Page(made.html).text
    assert re.search(r"(cat|ship|a\\\|b|car|bus|dog|tree) predicted as ", made.markdown)
    assert "<b>" not in made.html
    assert "epochs_to_target" in made.tables["comparison"]
    assert made.tables["comparison"]["epochs_to_target"].isna().all()


@pytest.mark.parametrize(("count", "words"), [(1, "by the model."), (2, "by both models."), (3, "by all 3 models.")])
def test_models_are_counted_in_words(values: Params, count: int, words: str) -> None:
    """The sentence on what all models get wrong is plain English for one model, for two and for more."""
    models = dict(list(values.models.items())[:count])
    # Too long to be listed.
    names = tuple(f"a name of a class that fills half a line, {number}" for number in range(10))

    made = Experiment(values, models, dataset="things", classes=names).report()

    assert words in section(made.markdown, f"Images that {'the model' if count == 1 else 'every model'} gets wrong")
    assert "in one of 10 classes." in " ".join(made.markdown.split())


def test_scores_of_each_class_are_on_the_page(three: Experiment, whole: Report) -> None:
    """Images, precision, recall and F1 are those of scikit-learn, the class with the lowest F1 first."""
    labels = three.data.test.labels
    for one in three.results:
        columns = precision_recall_fscore_support(labels, one.probabilities.argmax(axis=1))
        expected = {str(k): [f"{c[k]:.2%}" for c in columns[:3]] for k in range(10)}

        head, *rows = tables(whole.markdown)[f"Classes by F1: {one.name}"]

        assert head == ["Class", "Images", "Precision", "Recall", "F1"]
        assert {row[0]: row[2:] for row in rows} == expected
        assert [row[0] for row in rows] == [str(k) for k in np.argsort(columns[2], kind="stable")]
        assert [int(row[1].replace(",", "")) for row in rows] == [int(np.sum(labels == int(row[0]))) for row in rows]
    share = np.mean(labels == np.bincount(three.data.train.labels).argmax())
    assert f"would give a test accuracy of {share:.2%}." in section(whole.markdown, "In short")
    assert "never predicts" not in whole.markdown
    assert "no better than that" not in whole.markdown


@pytest.mark.parametrize("predicted", [range(3), range(1)])
def test_classes_that_are_never_predicted_are_named(values: Params, predicted: range) -> None:
    """A model that answers only some classes says so at the top, and if it is no better than the largest class."""
    made = Experiment(values, {"cnn": values.models["cnn"]}, classes=(*"01234567", "a|b", "*c*"))
    one, largest = made.results[0], int(np.bincount(made.data.train.labels).argmax())
    answers = np.where(made.data.test.labels < len(predicted), made.data.test.labels, largest)
    answers = answers if len(predicted) > 1 else np.full(len(answers), largest)
    made.results[0] = dataclasses.replace(one, probabilities=probabilities(answers, 3))
    scores = metrics.score(made.results[0].probabilities, made.data.test.labels, None)
    splits = one.metrics.splits | {"test": scores}
    made.results[0] = dataclasses.replace(made.results[0], metrics=dataclasses.replace(one.metrics, splits=splits))

    page = made.report()

    absent = [r"a\|b" if k == 8 else r"\*c\*" if k == 9 else str(k) for k in range(10) if k not in {*answers.tolist()}]
    names = f"{', '.join(absent[:-1])} and {absent[-1]}"
    short = section(page.markdown, "In short")
    assert f"`cnn` never predicts {len(absent)} of the 10 classes: {names}." in short
    assert ("`cnn` is no better than that." in short) is (len(predicted) == 1)
    blank = [row[2:] for row in tables(page.markdown)["Classes by F1: cnn"][1:]]
    assert blank[: len(absent)] == [["", "0.00%", "0.00%"]] * len(absent)
    Page(page.html)


def test_many_classes_are_folded(values: Params) -> None:
    """Of more classes than a figure shows, those with the lowest F1 are in a table, and all in one that is folded."""
    names = tuple(f"class {number}" for number in range(100))
    made = Experiment(values, {"cnn": values.models["cnn"]}, dataset="things", classes=names)
    one, rng = made.results[0], np.random.default_rng(0)
    labels = rng.integers(0, 100, 10_000, dtype=np.uint8)
    test = Split(made.data.test.images, labels)
    table = rng.dirichlet(np.ones(100), 10_000).astype(np.float32)
    scores = one.metrics.splits | {"test": metrics.score(table, labels, None)}
    measured = dataclasses.replace(one.metrics, splits=scores)
    made.results[0] = dataclasses.replace(one, probabilities=table, labels=labels, metrics=measured)
    made.data = dataclasses.replace(made.data, test=test)

    page = made.report()

    found = tables(page.markdown)
    few, every = found["Classes with the lowest F1: cnn"], found["Classes by F1: cnn"]
    assert (len(few), len(every)) == (1 + 10, 1 + 100)
    assert every[: len(few)] == few
    folded = page.markdown.split("<details>")[1].split("</details>")[0]
    assert folded.split("\n")[1:4:2] == ["<summary>All 100 classes: cnn</summary>", "**Classes by F1: cnn**"]
    assert "<summary>All 100 classes: cnn</summary>" in page.html


def test_what_others_write_is_text(values: Params) -> None:
    """Signs of markup in the credit of a data set and a processor's name are shown as they are, on both pages."""
    made = Experiment(values, {"cnn": values.models["cnn"]}, dataset="things")
    made.summary = dataclasses.replace(made.summary, credit="A_B_ <b>*bold*</b> [x](https://x)")
    made.results[0] = dataclasses.replace(made.results[0], processors=("CPU *fast* [r](https://r)",))

    page = made.report()

    assert r"Credit for the data: A_B\_ \<b>\*bold\*\</b> \[x\](https://x)." in page.markdown
    assert r"on CPU \*fast\* \[r\](https://r)." in page.markdown
    for words in ("Credit for the data: A_B_ <b>*bold*</b> [x](https://x).", "on CPU *fast* [r](https://r)."):
        assert words in Page(page.html).text


@pytest.mark.parametrize(("images", "word"), [(40, "cannot be judged"), (2_000, "overfits")])
def test_a_fall_within_its_standard_error_is_not_overfitting(values: Params, images: int, word: str) -> None:
    """On few monitored images the page says why the same fall of the accuracy cannot be judged, and has no rise."""
    history = REPORTED["cnn"].assign(val_loss=[0.5, *[0.1] * 5, *[0.2] * 6], val_accuracy=[0.9] * 9 + [0.88] * 3)

    made = Experiment(values, {"cnn": values.models["cnn"]}, histories={"cnn": history}, validation=images).report()

    said = section(made.markdown, "Overfitting")
    assert made.tables["overfitting"]["verdict"].tolist() == [word]
    assert ("`val_accuracy` falls by 2.00 points, which is within the standard error of 6.99 points." in said) is (
        images == 40
    )
    assert f"({images:,} here)" in said
    rise = tables(made.markdown)["Overfitting analysis of the histories, here and in the original"][1][4]
    assert (rise == "", "val_loss_rise" in made.metrics["cnn"]) == (images == 40, images != 40)


def test_other_data_is_not_compared(values: Params) -> None:
    """Results on another data set are not compared with the original, and the page says so."""
    made = Experiment(values, values.models, dataset="fashion_mnist").report()

    compared = section(made.markdown, "Comparison with the original")
    assert "There is nothing to compare with" in compared
    assert "Fashion-MNIST" in compared
    assert not [name for table in made.tables.values() for name in table if name.startswith("original_")]
    assert "98.34%" not in made.markdown
    assert "the original's" not in made.markdown
    assert "LeCun" not in made.markdown


def test_a_model_that_the_original_does_not_have(values: Params) -> None:
    """A model of another name is not compared; its columns of the original are empty."""
    models = {"cnn": values.models["cnn"], "extra": values.models["mlp_rmsprop"]}

    both = Experiment(values, models).report()
    alone = Experiment(values, {"extra": values.models["mlp_rmsprop"]}).report()

    assert "The original has no `extra`." in section(both.markdown, "Comparison with the original")
    row = both.tables["comparison"].to_csv(index=False).splitlines()[-1]
    assert row.startswith("extra,1234,20,")
    assert row.endswith(",,,,,,,,,,,,")
    assert "has no model called `extra`" in section(alone.markdown, "Comparison with the original")


def test_one_model_has_no_pairs(values: Params) -> None:
    """With one model the page is whole, without pairs and without differences."""
    made = Experiment(values, {"cnn": values.models["cnn"]}).report()

    assert "There is only one model, so there is no pair to compare." in made.markdown
    assert "What the differences can show" not in made.markdown
    assert "`cnn` makes 95 errors on the 10,000 test images" in section(made.markdown, "In short")
    assert "95 of the 10,000 test images are misclassified by the model. 60 are shown" in made.markdown
    Page(made.html)


@pytest.mark.usefixtures("drawing")
def test_a_fourth_model_is_everywhere(values: Params, whole: Report) -> None:
    """One more block in params.yaml is in every table, list and figure; without it there is no trace."""
    made = Experiment(values, {**values.models, "extra": values.models["mlp_rmsprop"]}).report()

    assert set(made.figures) - set(whole.figures) == {"curves-extra.png", "confusion-extra.png"}
    assert made.figures["comparison.png"] != whole.figures["comparison.png"]
    assert made.figures["missed.png"] != whole.figures["missed.png"]
    for title in ("In short", "Setup", "Results", "Pairwise comparisons", "Overfitting", "Curves"):
        assert "`extra`" in section(made.markdown, title)
    assert len(tables(made.markdown)["Exact McNemar tests on the test images"]) == 1 + 6
    assert list(made.metrics) == [*made.tables["comparison"]["model"]] == [*made.tables["overfitting"]["model"]]
    assert list(made.metrics)[-1] == "extra"
    before = whole.markdown + Page(whole.html).text + json.dumps(whole.metrics) + whole.tables["comparison"].to_csv()
    assert "extra" not in before


def test_images_that_every_model_gets_wrong(values: Params, three: Experiment, whole: Report) -> None:
    """The number is that of the images without one correct answer; if there is none, there is no figure."""
    labels = three.data.test.labels
    given = [one.probabilities.argmax(1) for one in three.results]
    missed = sum(label not in of_image for label, of_image in zip(labels, zip(*given, strict=True), strict=True))
    last = section(whole.markdown, "Images that every model gets wrong")
    perfect = Experiment(values, {"cnn": values.models["cnn"]}, errors={"cnn": 0}).report()

    assert missed >= 5
    assert f"{missed} of the 10,000 test images are misclassified by all 3 models." in last
    assert "figures/missed.png" in last
    assert "None of the 10,000 test images is misclassified by the model." in perfect.markdown
    assert "missed.png" not in perfect.figures
    assert "- `cnn`: 0 errors.\n" in perfect.markdown


def test_figures_are_drawn_from_the_data(values: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves get the model's history and the original's, if it has one; the gallery gets 60 images missed."""
    drawn: dict[str, list[tuple[Any, ...]]] = {}
    for module, name in DRAWING:
        monkeypatch.setattr(module, name, lambda *given, name=name: drawn.setdefault(name, []).append(given) or b"")
    made = Experiment(
        values, {"cnn": values.models["cnn"], "extra": values.models["cnn"]}, histories={"extra": _long(12)}
    )
    made.results[1] = dataclasses.replace(made.results[0], name="extra", history=made.results[1].history)

    made.report()

    (_, with_original, cnn, _), (history, without, extra, _) = drawn["training"]
    assert (cnn, extra) == ("cnn", "extra")
    pd.testing.assert_frame_equal(with_original, REPORTED["cnn"])
    assert without is None
    pd.testing.assert_frame_equal(history, made.results[1].history)
    matrix, *named = drawn["confusion"][0]
    assert (matrix.sum(), np.trace(matrix), named) == (10_000, 10_000 - 95, [CLASSES, "cnn"])
    ((images, labels, given, classes),) = drawn["gallery"]
    missed = pairwise.missed_by_all(made.results)[:60]
    np.testing.assert_array_equal(images, made.data.test.images[missed])
    np.testing.assert_array_equal(labels, made.data.test.labels[missed])
    assert classes == CLASSES
    np.testing.assert_array_equal(given["extra"], made.results[0].probabilities.argmax(1)[missed])


def test_the_study_is_linked_where_it_has_the_answer(values: Params, whole: Report) -> None:
    """What one seed cannot show, the page refers to the study for: on its models and data, and on no others."""
    link = "[the study](../study/reports/claims.md)"
    other = Experiment(values, values.models, dataset="fashion_mnist").report()

    for title in ("In short", "What the differences can show"):
        assert link in section(whole.markdown, title)
    assert "reports/claims.md:" in (ROOT / "study" / "dvc.yaml").read_text()
    assert '<a href="../study/reports/claims.md">the study</a>' in whole.html
    assert "claims.md" not in other.markdown


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({(4, 9): 3}, "The most frequent confusion is 4 predicted as 9 (3 images)."),
        ({(7, 2): 1}, "The most frequent confusion is 7 predicted as 2 (1 image)."),
        ({(4, 9): 2, (7, 2): 2, (1, 0): 1}, "confusions are 4 predicted as 9 and 7 predicted as 2 (2 images each)."),
        (
            dict.fromkeys([(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)], 2),
            "confusions are 0 predicted as 1, 1 predicted as 2, 2 predicted as 3 and 2 others (2 images each).",
        ),
    ],
)
def test_the_most_frequent_confusions_are_a_sentence(
    values: Params, wrong: dict[tuple[int, int], int], sentence: str
) -> None:
    """One, several and many most frequent confusions are said in a sentence with its count."""
    made = Experiment(values, {"cnn": values.models["cnn"]}, errors={"cnn": 0})
    one, labels = made.results[0], made.data.test.labels
    answers = labels.astype(int)
    for (truth, answer), count in wrong.items():
        answers[np.flatnonzero(labels == truth)[:count]] = answer
    made.results[0] = dataclasses.replace(one, probabilities=probabilities(answers, 3))

    assert sentence in section(made.report().markdown, "Errors on the test images")


@pytest.mark.parametrize("epochs", [1, 3, 4])
def test_too_few_epochs_cannot_be_judged(values: Params, epochs: int) -> None:
    """A model of no more epochs than the rule averages gets no verdict on overfitting, and the page says why."""
    short = values.models["cnn"].model_copy(update={"epochs": epochs})

    made = Experiment(values, {"cnn": short}, histories={"cnn": REPORTED["cnn"].iloc[:epochs]}).report()

    judged = epochs > values.overfitting.window
    said = section(made.markdown, "Overfitting")
    assert (made.tables["overfitting"]["verdict"].tolist() == ["cannot be judged"]) is not judged
    assert ("shows no sign" in said) is judged
    reason = f"`cnn` cannot be judged: it was trained for {epochs} epoch{'s' * (epochs > 1)}, and the rule needs more"
    assert (reason in said) is not judged
    cells = tables(made.markdown)["Overfitting analysis of the histories, here and in the original"][1]
    assert (cells[4] == "") is not judged
    assert ("*cannot be judged*: `cnn`" in section(made.markdown, "In short")) is not judged
    assert ("val_loss_rise" in made.metrics["cnn"]) is judged


@pytest.mark.usefixtures("drawing")
def test_a_hundred_models_fit_on_a_page(values: Params, tmp_path: Path) -> None:
    """All models are in the tables, figures and sentences are of the three best and three worst, and nothing warns."""
    names = [f"model_{number}" for number in range(100)]
    errors = {name: 100 + (37 * number) % 100 for number, name in enumerate(names)}
    models = dict.fromkeys(names, values.models["cnn"])
    histories = dict.fromkeys(names, REPORTED["cnn"])

    made = Experiment(values, models, errors=errors, histories=histories).report()
    made.write(tmp_path)

    ranked = sorted(names, key=errors.__getitem__)
    shown = {*ranked[:3], *ranked[-3:]}
    assert {name.removeprefix("curves-").removesuffix(".png") for name in made.figures if "curves" in name} == shown
    assert len(made.figures) == 2 * 6 + 3
    found = tables(made.markdown)
    for caption in ("Models", "The models after their last epoch", "Overfitting analysis of the histories"):
        assert [row[0] for row in found[caption][1:]] == [f"`{name}`" for name in names]
    assert len(found["Exact McNemar tests on the test images"]) == 1 + 15
    assert "adjusted for all 4,950 pairs" in made.markdown
    for title in ("Curves", "Errors on the test images"):
        part = section(made.markdown, title)
        assert {name for name in names if f"`{name}`" in part} == shown
    assert made.tables["comparison"]["model"].tolist() == made.tables["overfitting"]["model"].tolist() == names
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.*")) < 5_000_000
    assert len(made.markdown) < 100_000
    Page(made.html)


def test_html_needs_nothing_else(whole: Report) -> None:
    """The page has no script and loads nothing; its links lead to its own parts, the original and the study."""
    page = Page(whole.html)

    for tag, address in page.addresses:
        inside = address.startswith(("#", "data:"))
        linked = address.startswith(("https://github.com/psato/", "../study/reports/"))
        assert inside or (tag == "a" and linked), address
    assert "script" not in {tag for tag, _ in page.tags}
    assert not re.search(r"@import|url\(", whole.html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {address[1:] for _, address in page.addresses if address.startswith("#")} <= set(ids)


@pytest.mark.usefixtures("drawing")
def test_html_holds_every_figure_with_an_alternative_text(three: Experiment, whole: Report) -> None:
    """The pictures of the page are the report's figures and the digits, each a PNG with an alternative text."""
    pictures = [attributes for tag, attributes in Page(whole.html).tags if tag == "img"]

    decoded = [base64.b64decode(str(one["src"]).removeprefix("data:image/png;base64,")) for one in pictures]
    digits = style.png(grids.samples(three.data.train.images, 9, 9))
    assert set(decoded) == {digits, *whole.figures.values()}
    for png in decoded:
        with Image.open(io.BytesIO(png)) as picture:
            picture.load()
    assert all(len(str(one["alt"])) > 20 for one in pictures)


def test_html_has_landmarks_and_described_tables(whole: Report) -> None:
    """The page states its language, has one main, a navigation, named sections, and header cells in every row."""
    page = Page(whole.html)
    tags = [tag for tag, _ in page.tags]

    assert ("html", {"lang": "en"}) in page.tags
    assert [tags.count(name) for name in ("main", "nav", "header", "h1")] == [1, 1, 1, 1]
    sections = [attributes["aria-labelledby"] for tag, attributes in page.tags if tag == "section"]
    assert sections == [attributes["id"] for tag, attributes in page.tags if tag == "h2"]
    assert tags.count("caption") == tags.count("table") == len(tables(whole.markdown))
    rows = sum(len(table) - 1 for table in tables(whole.markdown).values())
    assert [attributes for tag, attributes in page.tags if tag == "th"].count({"scope": "row"}) == rows
    assert "prefers-color-scheme: dark" in whole.html


def test_both_pages_say_the_same(whole: Report) -> None:
    """Every sentence and every cell of the Markdown page is on the HTML page."""
    text = Page(whole.html).text.replace(" ", "")

    for line in whole.markdown.splitlines():
        if line.startswith(("!", "<img", "|---")):
            continue
        plain = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", line.lstrip("#- ").strip("*"))
        for part in plain.split(" | "):
            assert re.sub(r"[`*| ]", "", part) in text, part


def test_markdown_links_to_files_that_are_written(whole: Report, tmp_path: Path) -> None:
    """Each relative link of the Markdown page leads to a file of the report, or to the digits of preprocess."""
    whole.write(tmp_path)

    links = re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", whole.markdown)
    local = {a or b for a, b in links if not (a or b).startswith("https://")}
    elsewhere = {"samples.png", "../study/reports/claims.md", "../study/reports/noise.csv"}
    assert local - elsewhere == {
        *("comparison.csv", "overfitting.csv", "metrics.json"),
        *(f"figures/{name}" for name in whole.figures),
    }
    assert all((tmp_path / link).is_file() for link in local - elsewhere)


def test_writing_leaves_nothing_of_removed_models(whole: Report, tmp_path: Path) -> None:
    """Figures and scores of an earlier report are removed; other files, and those of other stages, stay."""
    stale = [tmp_path / "figures" / "curves-removed.png", tmp_path / "scores" / "removed.json"]
    kept = [tmp_path / "samples.png", tmp_path / "figures" / "note.txt"]
    for path in (*stale, *kept):
        files.write_bytes(path, b"x")

    whole.write(tmp_path)

    assert [path for path in stale if path.exists()] == []
    assert all(path.exists() for path in kept)
    assert {path.name for path in (tmp_path / "figures").glob("*.png")} == set(whole.figures)


@pytest.mark.usefixtures("drawing")
def test_equal_inputs_give_equal_bytes(values: Params, whole: Report, tmp_path: Path) -> None:
    """A second report on the same experiment is the same in every byte."""
    whole.write(tmp_path / "first")
    Experiment(values, values.models).report().write(tmp_path / "second")

    paths = sorted(path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*") if path.is_file())
    assert len(paths) == 7 + len(whole.metrics) + len(whole.figures)
    for path in paths:
        assert (tmp_path / "first" / path).read_bytes() == (tmp_path / "second" / path).read_bytes(), path


@pytest.mark.parametrize(("validation", "monitored"), [(None, "test"), (500, "validation")])
def test_curves_name_the_monitored_split(values: Params, validation: int | None, monitored: str) -> None:
    """The curves have the training images, and the split that was monitored under the protocol, by its name."""
    made = Experiment(values, values.models, validation=validation).report()

    assert made.tables["curves"].groupby("model", sort=False)["split"].unique().map(list).to_dict() == {
        name: ["train", monitored] for name in values.models
    }


def test_versions_are_given_once_or_by_model(values: Params) -> None:
    """Libraries are named once; if one model was made with others, each is named with its models."""
    made = Experiment(values, values.models)
    assert section(made.report().markdown, "Setup").count("keras 3.15.1") == 1

    old = made.results[0]
    older = Metrics("mlp_rmsprop", 1234, 20, {"keras": "3.14.0"}, list(CLASSES), old.metrics.splits)
    made.results[0] = dataclasses.replace(old, metrics=older)

    run = section(made.report().markdown, "Setup")
    assert "`mlp_rmsprop` with keras 3.14.0; `mlp_adadelta` and `cnn` with keras 3.15.1." in run


def test_page_says_how_pictures_were_changed(values: Params) -> None:
    """What was converted or fitted is counted for each split; of other data there is no such sentence."""
    made = Experiment(values, {"cnn": values.models["cnn"]})
    assert "pictures that were read" not in made.report().markdown

    made.summary.splits["train"].pictures.update({"converted from RGBA": 1045, "of another aspect ratio": 0})
    made.summary.splits["test"].pictures.update({"converted from I;16": 1})

    said = (
        "Of the pictures that were read, 1,045 were converted from RGBA (train) and 1 was converted from I;16 (test)."
    )
    assert said in " ".join(section(made.report().markdown, "Setup").split())


def test_page_names_the_processors_beside_the_seconds(values: Params) -> None:
    """Each processor that computed an epoch is named once, whichever model it was for."""
    made = Experiment(values, {name: values.models[name] for name in ("mlp_rmsprop", "mlp_adadelta")})
    made.results[0] = dataclasses.replace(made.results[0], processors=("A processor", "Another (model 2)"))

    assert ", on A processor and Another (model 2)." in section(made.report().markdown, "Results")


def test_command_reads_files_and_takes_the_models_from_params(
    values: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command reports on the models of params.yaml and on no other that has files, and says where."""
    made = Experiment(values, {"cnn": values.models["cnn"], "extra": values.models["mlp_rmsprop"]})
    _write_inputs(made, tmp_path)
    text = (FROZEN / "params.yaml").read_text()
    small = re.sub(r"\n  mlp_rmsprop:\n    network.*?(?=\n  cnn:\n    network)", "", text, flags=re.DOTALL)
    (tmp_path / "params.yaml").write_text(small)
    options = {name: tmp_path / name for name in ("history", "timing", "metrics", "predictions")}
    options |= {"data": tmp_path / "mnist.npz", "summary": tmp_path / "data.json", "output": tmp_path / "out"}
    options |= {"reported": ROOT / "data" / "report_history.csv", "params": tmp_path / "params.yaml"}
    monkeypatch.setattr("sys.argv", ["report", *(f"--{name}={path}" for name, path in options.items())])

    assert report.main() == 0

    assert list(json.loads((tmp_path / "out" / "metrics.json").read_text())) == ["cnn"]
    assert [path.name for path in (tmp_path / "out" / "scores").iterdir()] == ["cnn.json"]
    for name in ("curves", "confusion"):
        assert set(pd.read_csv(tmp_path / "out" / f"{name}.csv")["model"]) == {"cnn"}
    assert "extra" not in (tmp_path / "out" / "report.md").read_text()
    assert "report.html: cnn" in capsys.readouterr().out


def _write_inputs(made: Experiment, directory: Path) -> None:
    datasets.save(directory / "mnist.npz", made.data)
    described = preprocess.summarise(
        made.values.data,
        sets.load(ROOT / "data" / "sets" / "mnist.yaml"),
        made.data,
        files.sha256(directory / "mnist.npz"),
    )
    files.write_json(directory / "data.json", described)
    for one in made.results:
        files.write_csv(directory / "history" / f"{one.name}.csv", one.history)
        timing = pd.DataFrame({"epoch": one.history["epoch"], "seconds": one.seconds, "processor": "A processor"})
        files.write_csv(directory / "timing" / f"{one.name}.csv", timing)
        measured = vars(one.metrics)
        files.write_json(directory / "metrics" / f"{one.name}.json", measured)
        path = directory / "predictions" / f"{one.name}.npz"
        path.parent.mkdir(exist_ok=True)
        np.savez(path, probabilities=one.probabilities, labels=one.labels)
