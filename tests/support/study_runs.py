"""Synthetic replicates of a study like the project's own, as a ledger would hold them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from pipeline import files, params, schema
from pipeline.params import Params
from pipeline.study import comparisons, groups, terms
from pipeline.study.claims import Claims
from pipeline.study.groups import Rules
from pipeline.trials import ledger, plan
from pipeline.trials.ledger import Entry, EntryState, Lookup
from pipeline.trials.plan import Replicate, Study
from tests.support.frozen import FROZEN

ROOT = Path(__file__).parents[2]
SUMMARY = {
    "dataset": "mnist",
    "title": "MNIST",
    "image": [28, 28],
    "classes": list("0123456789"),
    "validation": 5000,
    "split_seed": 0,
    "sha256": "d" * 64,
    "splits": {"train": {"count": 55000}, "validation": {"count": 5000}, "test": {"count": 10000}},
}
SUMMARIES = {
    "mnist": SUMMARY,
    "fashion_mnist": {**SUMMARY, "dataset": "fashion_mnist", "title": "Fashion-MNIST", "sha256": "f" * 64},
}
BENCHMARKS = {
    "training": {
        "machine": {"cores": 2},
        "mlp_rmsprop": {"images": 27500, "epoch": {"project": {"median": 1.5, "smallest": 1.4, "largest": 1.6}}},
        "mlp_adadelta": {"images": 27500, "epoch": {"project": {"median": 1.5, "smallest": 1.4, "largest": 1.6}}},
        "cnn": {"images": 5500, "epoch": {"project": {"median": 4.0, "smallest": 3.9, "largest": 5.0}}},
    },
    "study": {
        "machine": {"cores": 2},
        "mlp_adadelta": {"images": 27500, "epoch": {"two of one thread, float32": {"median": 0.5}}},
        "cnn": {"images": 5500, "epoch": {"two of one thread, float32": {"median": 2.0}}},
    },
}
REPRODUCED = {"mlp_rmsprop": {"train_accuracy": 0.9991, "test_accuracy": 0.9829}}


@dataclass(frozen=True)
class Made:
    """Properties of a variant's replicates: final accuracies, the rise of val_loss, and how fast they learn.

    After `half` epochs, half of the way from 90% to the final accuracy is done.
    """

    test: float = 0.983
    train: float = 0.999
    running: float = 0.995
    rise: float = 1.06
    half: float = 1.0
    calibration: float = 0.009
    spread: float = 0.0004


MADE: Mapping[str, Made] = {
    "mlp_rmsprop": Made(rise=1.55, calibration=0.014),
    "mlp_rmsprop_no_dropout": Made(test=0.9815, rise=1.9, calibration=0.016),
    "mlp_adadelta_no_dropout": Made(test=0.982, rise=1.2),
    "cnn": Made(test=0.9905, train=0.9952, running=0.989, rise=1.01, half=0.5, calibration=0.003),
    "cnn_24_epochs": Made(test=0.9910, train=0.9975, running=0.992, rise=1.03, half=0.5, calibration=0.004),
    "cnn_permuted": Made(test=0.976, train=0.990, running=0.978, rise=1.02, calibration=0.003),
    "cnn_no_dropout": Made(test=0.9890, train=1.0, running=1.0, rise=1.5, half=0.5),
    "mlp_rmsprop_keras3": Made(test=0.9835, rise=1.3),
    "mlp_adadelta_keras3": Made(test=0.87, train=0.869, running=0.84, rise=1.0, calibration=0.03, spread=0.002),
    "mlp_rmsprop_unclipped": Made(rise=2.4),
    "fashion_mlp_rmsprop": Made(test=0.89, train=0.95, running=0.93, rise=1.8, spread=0.001),
    "fashion_mlp_adadelta": Made(test=0.895, train=0.95, running=0.93, spread=0.001),
    "fashion_cnn": Made(test=0.93, train=0.97, running=0.94, spread=0.001),
    "fashion_cnn_permuted": Made(test=0.89, train=0.93, running=0.90, spread=0.001),
    "fashion_cnn_batch_norm": Made(test=0.938, train=0.99, running=0.99, spread=0.001),
}


@cache
def whole() -> Study:
    """Return the project's study with seeds from 0 on; reading it takes half as long as the report on it."""
    return plan.load_study(FROZEN / "study" / "params.yaml").model_copy(update={"first_seed": 0})


@cache
def project() -> Study:
    """Return the part of the project's study that is on MNIST."""
    everything = whole()
    variants = {name: variant for name, variant in everything.variants.items() if variant.dataset == "mnist"}
    pairs = tuple(pair for pair in everything.statistics.comparisons if set(pair) <= variants.keys())
    return everything.model_copy(
        update={
            "data": everything.data.model_copy(update={"sets": ("mnist",)}),
            "variants": variants,
            "statistics": everything.statistics.model_copy(update={"comparisons": pairs}),
        }
    )


def rules(values: Params) -> Rules:
    """Return the rules of these params for the project's study."""
    return groups.rules(values, whole(), FROZEN / "params.yaml")


def study(**seeds: int) -> Study:
    """Return the part of the project's study on MNIST, with other numbers of seeds for the variants named."""
    return with_seeds(project(), **seeds)


def scaled(of: Study) -> dict[float, Claims]:
    """Return the project's claims by the multiples of the smallest effect at which they are judged."""
    return {multiple: claims(of, multiple) for multiple in comparisons.MULTIPLES}


def claims(of: Study, multiple: float = 1) -> Claims:
    """Return the project's claims, those that are about data sets of the study alone."""
    content = _content()
    fit = {number: claim for number, claim in content["claims"].items() if {*claim["datasets"]} <= {*of.data.sets}}
    context = terms.terms(of, rules(params.load(FROZEN / "params.yaml")).times(multiple), content["dataset"])
    return schema.validate(Claims, {**content, "claims": fit}, context=context)


@cache
def _content() -> Any:
    return files.read_yaml(FROZEN / "study" / "claims.yaml")


def with_seeds(of: Study, **seeds: int) -> Study:
    """Return a study with other numbers of seeds for the variants named."""
    return of.model_copy(
        update={
            "variants": {
                name: variant.model_copy(update={"seeds": seeds.get(name, variant.seeds)})
                for name, variant in of.variants.items()
            }
        }
    )


def replicates(of: Study) -> list[Replicate]:
    """Return the planned replicates."""
    return plan.replicates(of, {name: summary["sha256"] for name, summary in SUMMARIES.items()})


def entry(replicate: Replicate, made: Made | None = None, **changes: Any) -> Entry:
    """Return a synthetic replicate; `changes` are of its ingredients. Variants with the same seed share some noise."""
    made = made or MADE.get(replicate.variant, Made())
    own = np.random.default_rng([replicate.seed, *replicate.variant.encode()])
    luck = float(np.random.default_rng(replicate.seed).normal(0, made.spread) + own.normal(0, made.spread / 2))
    test = round(10_000 * (made.test + luck)) / 10_000
    history = _history(replicate.epochs, made, luck, own)
    splits = {
        "train": _split(55_000, made.train + luck / 10, made),
        "validation": _split(5_000, float(history["val_accuracy"].iloc[-1]), made),
        "test": _split(10_000, test, made),
    }
    splits["validation"]["negative_log_likelihood"] = float(history["val_loss"].iloc[-1])
    record = {
        "variant": replicate.variant,
        "seed": replicate.seed,
        "commit": "c" * 40,
        "recipe": replicate.recipe,
        "ingredients": {**replicate.ingredients, **changes},
        "parameters": 7,
        "processor": "A processor, family 1, model 2",
        "splits": splits,
    }
    # Some images are hard for every network.
    easier = int(splits["test"]["errors"]) - 40
    wrong = np.sort(np.r_[:40, 40 + own.choice(max(600, 2 * easier), easier, replace=False)])
    errors = pd.DataFrame({"image": wrong, "label": 3, "answer": 5})
    return Entry(replicate.variant, replicate.seed, record, history, errors)


def _split(count: int, accuracy: float, made: Made) -> dict[str, float]:
    errors = round(count * (1 - min(accuracy, 1)))
    loss = {"loss": 0.06 * made.rise, "negative_log_likelihood": 0.06 * made.rise}
    calibration = {"calibration_error": made.calibration, "brier": 0.03}
    return {"count": count, "errors": errors, "accuracy": 1 - errors / count, **loss, **calibration}


def _history(epochs: int, made: Made, luck: float, rng: np.random.Generator) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    left = 0.5 ** (epoch / made.half)

    def accuracy(final: float) -> np.ndarray:
        return np.minimum(final - (final - min(0.9, final - 0.05)) * left + rng.normal(0, 2e-4, epochs), 1)

    turned = np.maximum(epoch - 4, 0) / max(epochs - 5, 1)
    loss = 0.07 * (1 + 3 * left) * np.minimum(1 + (made.rise - 1) * turned, made.rise) * rng.normal(1, 0.005, epochs)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "loss": 0.3 * left + 0.01,
            "accuracy": accuracy(made.running + luck / 3),
            "val_loss": loss,
            "val_accuracy": accuracy(made.test + luck),
            "train_loss": 0.2 * left + 0.002,
            "train_accuracy": accuracy(made.train + luck / 10),
        }
    )


def lookups(of: Study, made: Mapping[str, Made] | None = None) -> list[Lookup]:
    """Return all planned replicates as a ledger would have them; `made` replaces the properties of some variants."""
    return [
        (replicate, entry(replicate, (made or {}).get(replicate.variant)), EntryState.CURRENT)
        for replicate in replicates(of)
    ]


def changed(some: list[Lookup], made: Mapping[str, Made]) -> list[Lookup]:
    """Return replicates with other properties of some variants."""
    return [
        (replicate, entry(replicate, made[replicate.variant]) if replicate.variant in made else old, state)
        for replicate, old, state in some
    ]


def lacking(some: list[Lookup], missing: Callable[[Replicate], bool] = lambda _: True) -> list[Lookup]:
    """Return replicates of which those do not exist for which `missing` holds, by default all."""
    return [
        (replicate, None, EntryState.MISSING) if missing(replicate) else (replicate, old, state)
        for replicate, old, state in some
    ]


def scores(some: list[Lookup], variant: str, of: Callable[[Entry], float]) -> np.ndarray:
    """Return a score of a variant's replicates by seed."""
    return np.array([of(made) for _, made, _ in some if made is not None and made.variant == variant])


def write(folder: Path, made: Entry) -> None:
    """Put a replicate into a ledger."""
    tables = {"history": made.history.to_dict("list"), "errors": made.errors.to_dict("list")}
    ledger.append(folder, {**made.record, **tables})


def write_study(folder: Path, of: Study) -> None:
    """Put the plan of a study into a folder, with the summaries of its data and all its replicates."""
    plan = of.model_dump(mode="json", exclude_unset=True)
    files.write_text(folder / "params.yaml", yaml.safe_dump(plan, sort_keys=False))
    for name in of.data.sets:
        files.write_json(folder / "data" / f"{name}.json", SUMMARIES[name])
    for replicate, _, _ in lookups(of):
        write(folder / "runs", entry(replicate))


def accuracy(entry: Entry) -> float:
    """Return its test accuracy, from the misclassified images."""
    return 1 - len(entry.errors) / 10_000
