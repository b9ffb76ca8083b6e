"""The params of a small study for tests."""

import json
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def params(**changes: Any) -> dict[str, Any]:
    """Return params of a study with four tiny variants, two of which share a run; `changes` replace sections."""
    adadelta = {"name": "adadelta", "learning_rate": 1.0, "rho": 0.95, "epsilon": 1.0e-8}
    shared = {"dataset": "mnist", "loss": {"name": "crossentropy", "clip": 1.0e-7}, "precision": "float32"}
    mlp = {"network": {"name": "mlp", "units": [16], "dropout": 0.2}, "optimizer": adadelta, **shared}
    layers = {"filters": [2], "kernel": 3, "pool": 4, "pool_dropout": 0.1, "units": 8, "dropout": 0.1}
    variants = {
        "short": {**mlp, "epochs": 1, "pixels": "original", "seeds": 2},
        "long": {**mlp, "epochs": 2, "pixels": "original", "seeds": 2},
        "permuted": {**mlp, "epochs": 1, "pixels": "permuted", "seeds": 1},
        "cnn": {**mlp, "network": {"name": "cnn", **layers}, "epochs": 1, "pixels": "original", "seeds": 1},
    }
    return {
        "data": {"sets": ["mnist"], "validation": 200, "split_seed": 0, "permutation_seed": 0},
        "train": {"batch_size": 64, "threads": 1},
        "variants": variants,
        "statistics": {"level": 0.05, "comparisons": [["short", "long"], ["cnn", "long"]]},
    } | changes


def line(folder: Path, variant: str, seed: int) -> str:
    """Return the line of a replicate in the ledger."""
    lines = (folder / f"{variant}.jsonl").read_text(encoding="utf-8").splitlines()
    return next(text for text in lines if json.loads(text)["seed"] == seed)


def damage(folder: Path, variant: str, seed: int, old: str = '"parameters": ', new: str = '"parameters": 1') -> None:
    """Edit the line of a replicate in the ledger."""
    path, before = folder / f"{variant}.jsonl", line(folder, variant, seed)
    assert old in before
    content = path.read_text(encoding="utf-8")
    path.write_text(content.replace(before, before.replace(old, new, 1)), encoding="utf-8")


def write_params(path: Path, values: dict[str, Any]) -> Path:
    """Write params of a study and return their path."""
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path
