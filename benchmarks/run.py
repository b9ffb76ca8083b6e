"""All benchmarks, or some: contenders take turns, several rounds, and results.json and RESULTS.md are written anew."""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import yaml
from tqdm import tqdm

from benchmarks import described, measure, page
from benchmarks.measure import ROOT, Run, spread

PYTHON = sys.executable
# In an environment of its own: the project does not depend on PyTorch.
TORCH = str(ROOT / ".venv" / "torch" / "bin" / "python")
RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parent / "RESULTS.md"
DATA = "data/processed/mnist.npz"
MODELS = ("mlp_rmsprop", "mlp_adadelta", "cnn")
# Whole epochs would take hours: fewer steps show as much.
IMAGES = {"mlp_rmsprop": 32_000, "mlp_adadelta": 32_000, "cnn": 6_400}
STAGES = ("fetch", "preprocess", "train", "evaluate", "report")
# Those that compute no network.
LIGHT = ("fetch", "preprocess", "report")
# Epochs of a plain script that are run to know what all of them take: they are alike.
SHOWN = 3
# A `dvc repro` of a pipeline that is up to date.
IDLE = "nothing to do"
NATIVE_BFLOAT16 = {"avx512_bf16", "amx_bf16"}

Row = dict[str, Any]
K = TypeVar("K")
T = TypeVar("T")


def contender(name: str, model: str, images: int, epochs: int = 2, **options: object) -> list[str]:
    """Return the command of one contender's training."""
    python = TORCH if name.startswith("pytorch") else PYTHON
    words = [python, "-m", f"benchmarks.{name}", model, "--data", DATA]
    words += ["--images", str(images), "--epochs", str(epochs)]
    return words + [word for key, value in options.items() for word in (f"--{key}", str(value))]


def measured(rounds: int, commands: Mapping[K, Sequence[str]], folder: Path = ROOT) -> dict[K, list[Run]]:
    """Return the runs of each program, which take turns."""
    return turns(rounds, {name: partial(measure.run, *words, folder=folder) for name, words in commands.items()})


def turns(rounds: int, takers: Mapping[K, Callable[[], T]]) -> dict[K, list[T]]:
    """Return what each taker gives: everyone is called once per round, each round starting with another one."""
    order = deque(takers)
    taken: dict[K, list[T]] = {name: [] for name in takers}
    for _ in tqdm(range(rounds), desc="rounds", leave=False, disable=None):
        for name in order:
            taken[name].append(takers[name]())
        order.rotate(-1)
    return taken


def last_epoch(done: Run) -> float:
    """Return the seconds of the last epoch that a contender reports; its first holds what is done once."""
    return float(done.answer["seconds"][-1])


def last_epochs(runs: Mapping[str, Iterable[Run]]) -> dict[str, list[float]]:
    """Return the seconds of the last epoch in each run of each contender."""
    return {name: [last_epoch(done) for done in taken] for name, taken in runs.items()}


def epochs_of(model: str) -> int:
    """Return how many epochs a model of the project is trained for."""
    models = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["models"]
    return int(models[model]["epochs"])


def spreads(values: Mapping[str, Sequence[float]]) -> Row:
    """Return the spread of what each taker takes."""
    return {name: spread(taken) for name, taken in values.items()}


def ratios(values: Mapping[str, Sequence[float]], over: str) -> Row:
    """Return for each taker how many times what it takes `over` takes, from the two measured in the same round."""
    pairs = {name: zip(values[over], taken, strict=True) for name, taken in values.items()}
    return spreads({name: [base / value for base, value in both] for name, both in pairs.items()})


def training(rounds: int) -> Row:
    """Measure seconds per epoch and per process of every model, for the project, plain Keras and PyTorch.

    PyTorch also as a user would tune it, and both it and the project in bfloat16 where the processor has instructions.
    """
    ways = {name: (name, "float32") for name in ("plain", "project", "pytorch", "pytorch_tuned")}
    for precision in precisions()[1:]:
        ways |= {f"{name}, {precision}": (name, precision) for name in ("project", "pytorch_tuned")}
    table: Row = {}
    for model in MODELS:
        commands = {
            way: contender(name, model, IMAGES[model], precision=precision) for way, (name, precision) in ways.items()
        }
        runs = measured(rounds, commands)
        epochs = last_epochs(runs)
        table[model] = {
            "images": IMAGES[model],
            "epochs": epochs_of(model),
            "epoch": spreads(epochs),
            "process": spreads({name: [done.seconds for done in taken] for name, taken in runs.items()}),
            "ratio": ratios(epochs, over="plain"),
            "distinct": {name: len({done.answer["accuracy"] for done in taken}) for name, taken in runs.items()},
        }
    return table


def networks(rounds: int) -> Row:
    """Measure seconds per epoch of networks of today's kind, on grey images and in colour, changed at random or not."""
    table: Row = {}
    images = {"grey 28x28": [], "colour 32x32": ["--side", "32", "--channels", "3"]}
    cases = product(described.NETWORKS, images, ([], ["--augmented"]), precisions())
    for network, shape, augmented, precision in cases:
        options = [*images[shape], *augmented]
        commands = {
            name: contender(name, network, images=6_400, epochs=SHOWN, precision=precision) + options
            for name in ("plain", "project", "pytorch_tuned")
        }
        taken = last_epochs(measured(rounds, commands))
        what = ", ".join([network, shape, *(["augmented"] if augmented else []), precision])
        table[what] = {
            "epoch": spreads(taken),
            "ratio": {name: ratios(taken, over=name)["project"] for name in ("plain", "pytorch_tuned")},
        }
    return table


def memory(rounds: int) -> Row:
    """Measure the peak memory (MiB) of the cnn's training by the size of its images."""
    table: Row = {}
    for channels, side in product((1, 3), (28, 64, 128)):
        words = contender("project", "cnn", images=512, side=side, channels=channels)
        table[f"{side}x{side}x{channels}"] = spread([measure.run(*words).peak for _ in range(rounds)])
    return table


def instructions(rounds: int) -> Row:
    """Measure what the same bits on every processor cost: the project's training with native instructions and avx2."""
    table: Row = {}
    for model in MODELS:
        ways = {way: contender("project", model, IMAGES[model], instructions=way) for way in ("native", "avx2")}
        taken = last_epochs(measured(rounds, ways))
        table[model] = {"epoch": spreads(taken), "times": ratios(taken, over="avx2")["native"]}
    return table


def precisions() -> list[str]:
    """Return the precisions that this processor has instructions for."""
    return ["float32", *(["mixed_bfloat16"] if NATIVE_BFLOAT16 & set(measure.vectors()) else [])]


def study(rounds: int) -> Row:
    """Measure many runs: one process of two threads, two of one thread, in both precisions."""
    table: Row = {}
    for model in ("mlp_adadelta", "cnn"):

        def together(processes: int, name: str, precision: str, model: str = model) -> float:
            words = contender(name, model, IMAGES[model], threads=2 // processes, precision=precision)
            return statistics.mean(map(last_epoch, measure.side_by_side([words] * processes))) / processes

        ways = {"plain": partial(together, 1, "plain", "float32")}
        for precision in precisions():
            ways[f"one of two threads, {precision}"] = partial(together, 1, "project", precision)
            ways[f"two of one thread, {precision}"] = partial(together, 2, "project", precision)
        taken = turns(rounds, ways)
        table[model] = {"images": IMAGES[model], "ratio": ratios(taken, over="plain"), "epoch": spreads(taken)}
    return table


def step(rounds: int) -> Row:
    """Measure what a training step on one thread reaches of the processor's speed, and which operations take it."""
    table: Row = {}
    for model in MODELS:
        words = (PYTHON, "-m", "benchmarks.step", model, "--data", DATA)
        runs = measured(rounds, {precision: (*words, "--precision", precision) for precision in precisions()})
        table[model] = {
            precision: {key: spread([done.answer[key] for done in taken]) for key in ("seconds", "speed", "product")}
            | {"shares": taken[0].answer["shares"]}
            for precision, taken in runs.items()
        }
    return table


@contextmanager
def clone() -> Iterator[Path]:
    """Yield a clone of the repository in which nothing has run."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "clone"
        measure.run("git", "clone", "--quiet", str(ROOT), str(copy))
        yield copy


def shorten(folder: Path, epochs: int) -> None:
    """Have every model in a clone trained for so many epochs."""
    values = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    for model in values["models"].values():
        model["epochs"] = epochs
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def full(rounds: int) -> Row:
    """Measure `dvc repro` from nothing with all its epochs, and the plain scripts one after another."""

    def repro() -> float:
        with clone() as copy:
            return measure.run("dvc", "repro", "--no-run-cache", folder=copy).seconds

    taken = turns(rounds, {"plain scripts": lambda: sum(map(script, MODELS)), "dvc repro": repro})
    return {"seconds": spreads(taken), "share": ratios(taken, over="dvc repro")["plain scripts"]}


def script(model: str) -> float:
    """Return the seconds of a plain script from start to end; some epochs are run, and the last stands for the rest."""
    done = measure.run(*contender("plain", model, images=0, epochs=SHOWN))
    return done.seconds + (epochs_of(model) - SHOWN) * last_epoch(done)


def whole(rounds: int) -> Row:
    """Measure `dvc repro` from nothing, what of it the epochs take, and the seconds and peak memory of each stage."""
    seconds, around = [], []
    alone: dict[str, Run] = {}
    for number in tqdm(range(rounds), desc="rounds", leave=False, disable=None):
        with clone() as copy:
            shorten(copy, epochs=1)
            seconds.append(measure.run("dvc", "repro", folder=copy).seconds)
            around.append(seconds[-1] - sum(trained(copy)))
            if number == 0:
                stages = yaml.safe_load((copy / "dvc.lock").read_text(encoding="utf-8"))["stages"]
                words = ("dvc", "repro", "--force", "--single-item")
                alone = {name: measure.run(*words, name, folder=copy) for name in stages}
    return {
        "seconds": spread(seconds),
        "around": spread(around),
        "stage_seconds": {name: run.seconds for name, run in alone.items()},
        "peak_mib": {name: round(run.peak) for name, run in alone.items()},
    }


def trained(folder: Path) -> list[float]:
    """Return the seconds of every epoch that the timing files in `folder` hold."""
    lines = [path.read_text(encoding="utf-8").splitlines()[1:] for path in (folder / "reports/timing").glob("*.csv")]
    return [float(line.split(",")[1]) for rows in lines for line in rows]


def small(rounds: int) -> Row:
    """Measure a `dvc repro` that has nothing to do, the import of every stage, and what MLflow costs."""
    words: dict[str, tuple[str, ...]] = {stage: (PYTHON, "-c", f"import pipeline.{stage}") for stage in STAGES}
    words |= {IDLE: (PYTHON, "-m", "dvc", "repro"), "mlflow": (PYTHON, "-m", "benchmarks.mlflow_cost", "--data", DATA)}
    with clone() as copy:
        shorten(copy, epochs=1)
        measure.run(*words[IDLE], folder=copy)
        runs = measured(rounds, words, copy)
        imports = {name: packages(words[name], copy) for name in (*LIGHT, IDLE)}
    costs = [done.answer for done in runs.pop("mlflow")]
    return {
        "seconds": spreads({name: [done.seconds for done in taken] for name, taken in runs.items()}),
        "imports": imports,
        "mlflow": {key: spread([cost[key] for cost in costs]) for key in costs[0]},
    }


def packages(command: Sequence[str], folder: Path) -> Row:
    """Return the seconds of all imports of a Python program, and those of the packages that take most, each alone."""
    python, *words = command
    errors = measure.run(python, "-X", "importtime", *words, folder=folder).errors
    seconds: Counter[str] = Counter()
    for own, _, name in (line.split("|") for line in errors.splitlines() if line.count("|") == 2):
        if (microseconds := own.rpartition(":")[2].strip()).isdigit():
            seconds[name.strip().partition(".")[0]] += int(microseconds) / 1e6
    return {"all": seconds.total(), "most": dict(seconds.most_common(5))}


def growth(rounds: int) -> Row:
    """Measure the study's seconds as replicates and workers grow, and its memory for a plan that is long."""
    runs = measured(rounds, {case: grown(*case) for case in [(8, 2), (32, 2), (8, 1)]})
    plans = {count: measure.run(*grown(count, 2), "--stub") for count in (100, 10_000)}
    return {
        "cases": [
            {"replicates": count, "workers": workers, "seconds": spread([done.answer["seconds"] for done in taken])}
            for (count, workers), taken in runs.items()
        ],
        "plans": [
            {"planned": count, "seconds": done.answer["seconds"], "peak_mib": round(done.peak)}
            for count, done in plans.items()
        ],
    }


def grown(replicates: int, workers: int) -> list[str]:
    """Return the command that runs so many tiny replicates of a study on so many workers."""
    words = [PYTHON, "-m", "benchmarks.growth", "--data", DATA]
    return [*words, "--replicates", str(replicates), "--workers", str(workers)]


BENCHMARKS: dict[str, Callable[[int], Row]] = {
    work.__name__: work for work in (training, networks, memory, study, step, instructions, whole, full, growth, small)
}


def main() -> None:
    """Run benchmarks and write what they measured; those that are not named keep their numbers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("names", nargs="*", choices=BENCHMARKS, help="which; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if not shutil.which(TORCH):
        sys.exit(f"error: {TORCH}: not there; `make bench` makes it")
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    # Asked once: what a benchmark writes here is a change of a file that the next one would see.
    stated = {"commit": measure.commit(), "machine": measure.machine(TORCH)}
    for name in arguments.names or BENCHMARKS:
        print(name, flush=True)
        results[name] = stated | BENCHMARKS[name](arguments.rounds)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page.render(results), encoding="utf-8")


if __name__ == "__main__":
    main()
