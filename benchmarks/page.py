"""RESULTS.md from results.json: tables, and each target with what was reached."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

Results = Mapping[str, Any]
# A text, a number, or a spread: the median with the smallest and the largest value.
Cell = Any
Row = tuple[Cell, ...]
HEAD = """# Benchmarks

Written by `make bench`. The contenders take turns in each round. A cell shows the median, with minimum and maximum in
brackets; a ratio is between two measurements of the same round, since the speed of a shared machine varies. `plain` is
`model.fit` on float arrays and nothing else (`plain.py`), `pytorch` the same networks in PyTorch (`pytorch.py`),
`pytorch_tuned` with channels last and optimizers that update all weights at once, `project` this project's training
loop (`pipeline/training/loop.py`).

TensorFlow divides each operation among its threads, which wait for each other at the end of it. In this project's loop
each thread takes a part of the batch from images to gradients instead, in one compiled loop. Batch normalization takes
mean and variance from all parts, so the threads meet there, and nowhere else.
`train.precision: mixed_bfloat16` is for processors with AVX512_BF16 or AMX, where *Many runs* shows what it gains; on
others it is many times slower than `float32`."""
TRIED = """## Tried and left

- `model.fit` with many steps per execution: the work of its iterator between two steps remains.
- XLA for the whole step of an MLP: no faster than this project's loop, and it takes seconds to compile. XLA for the
  pooling and its gradient: faster in isolation, not within the step.
- XLA, or a convolution with exchanged roles, for the gradient of the second convolution's kernel: faster in isolation
  on one thread of a processor with AVX2. Not tried within the step, since nobody would expect such code.
- XLA for the update rules: RMSprop 1.2 to 1.5 times faster than TensorFlow's kernel, Adadelta twice as slow, a third of
  a second to compile; its instructions, and with them the bits, would depend on the processor.
- A gradient of ReLU for bfloat16 by 16-bit integers, by a selection, or by the sign: no faster within the step. XLA
  halves its time, 2 to 4% of a step, but compiles it for each shape of a batch.
- Dropout's mask by a selection instead of a product: no faster.
- 8 random bits for a dropout of 0.2: an MLP 1.03 times faster, at a rate of 0.199.
- Larger thresholds in malloc and huge pages; batches in more parts than threads: no faster, or slower.
- Batch normalization of parts by sums and sums of squares: fewer passes, but the variance of values whose mean is many
  times their deviation is wrong. As a Gram matrix these sums take longer in float32 than TensorFlow's fused kernel.
- The correction of a part's gradient as a product with a diagonal matrix, which oneDNN adds in one pass: faster in
  isolation, but in bfloat16 the factors would be rounded.
- With `TF_DISABLE_MKL` a training takes as much memory.
- Smaller slices of large images: of 128 MiB instead of 256, another 50 to 130 MiB less for the cnn at 128x128x3, but
  1.27 times as long, since a dense layer's kernel is read, and its gradient added up, for each. With 256 MiB it is 1.04
  times as long as without slices, and takes 2400 MiB instead of 3250.
- A start of `train` or `evaluate` takes 3.4 s of processor time: 2 TensorFlow, 1.1 MLflow, half a second scikit-learn,
  which Keras' wrappers import and `evaluate` needs anyway.
- An `evaluate` without TensorFlow, which scores probabilities that `train` leaves: 4.7 s instead of 6.9 for an MLP (on
  an EPYC with AVX-512), but 1.2 of these would be spent in `train`, and nothing would try the model file then. What
  remains is MLflow, scikit-learn and figures. The rest of an evaluation of the cnn is the forward pass of all images,
  16 s of 22.
- MLflow's share of a short run is its own import and writing the model, both while the training continues. What a stage
  without TensorFlow takes to start is its packages, listed above.
- Parsing YAML took most of an idle `dvc repro` while it was done in Python. DVC uses the parser in C where it is
  installed, so the project requires it. What remains is imports and checking every file of the pipeline."""
PLANNED = 10_000
IMAGES = 60_000
# Two ways to do many runs: that of `dvc repro`, and that of the study.
_BOTH = "one of two threads, float32"
_ALONE = "two of one thread, float32"
_FAST_STAGES = ("fetch", "preprocess", "report")


def render(results: Results) -> str:
    """Return the page as Markdown."""
    parts = [HEAD, "## Targets", _table("what | target | measured | reached", _targets(results))]
    for name, (title, section) in SECTIONS.items():
        parts.append(f"## {title}")
        if name in results:
            parts += [_machine(results[name]), *section(results)]
        else:
            parts.append(f"Not measured yet: `python -m benchmarks.run {name}` does it.")
    return "\n\n".join([*parts, TRIED]) + "\n"


def _targets(results: Results) -> Iterator[Row]:
    for model, row in _rows(results, "training"):
        yield _judged(f"{model}: training in float32, times as fast as plain", row["ratio"]["project"], at_least=1.25)
        same = row["distinct"]["project"] == 1
        yield "", "the same scores in every round", "yes" if same else "no", _yes(same)
    for case, row in _rows(results, "networks"):
        yield _judged(f"{case}: times as fast as plain", row["ratio"]["plain"], at_least=1.3)
        bound = 0.83 if "bfloat16" in case else 1.0
        yield _judged(f"{case}: times as fast as pytorch_tuned", row["ratio"]["pytorch_tuned"], at_least=bound)
    if "memory" in results:
        yield _judged("cnn at 128x128x3: peak memory, MiB", results["memory"]["128x128x3"], at_most=2560)
    if "full" in results:
        shares = results["full"]["share"]
        yield _judged("`dvc repro` from nothing, times as long as the plain scripts", shares, at_most=1.05)
    for model, row in _rows(results, "study"):
        for way, ratio in row["ratio"].items():
            if way.startswith("two"):
                bound = 2.5 if "bfloat16" in way else 1.4
                yield _judged(f"{model}: many runs, {way}, times as fast as plain", ratio, at_least=bound)
        if not any("bfloat16" in way for way in row["ratio"]):
            what = f"{model}: many runs, two of one thread, mixed_bfloat16, times as fast as plain"
            yield what, "at least 2.5", "the processor has no instructions for it", "not known"
    if "small" in results:
        seconds = results["small"]["seconds"]
        yield _judged("`dvc repro` with nothing to do, seconds", seconds["nothing to do"], at_most=1.5)
        for stage in _FAST_STAGES:
            yield _judged(f"import of {stage}, seconds", seconds[stage], at_most=1.0)
    if {"small", "study", "training"} <= results.keys():
        for model, row in _rows(results, "study"):
            yield _judged(f"{model}: MLflow, share of a run", _mlflow_share(results, model, row), at_most=0.02)
    if "growth" in results:
        further = _further(results["growth"]["cases"])
        yield _judged("each further tiny replicate of a study, core-seconds", further, at_most=1.0)
    if "whole" in results:
        peaks = {name: peak for name, peak in results["whole"]["peak_mib"].items() if name.startswith("train@")}
        name = max(peaks, key=peaks.__getitem__)
        yield _judged(f"peak memory of training ({name}), MiB", peaks[name], at_most=1536)


def _rows(results: Results, name: str) -> Iterator[tuple[str, Results]]:
    for model, row in results.get(name, {}).items():
        if model not in ("commit", "machine"):
            yield model, row


def _judged(what: str, found: Cell, at_least: float = 0.0, at_most: float = float("inf")) -> Row:
    median = found["median"] if isinstance(found, Mapping) else found
    target = f"at least {at_least}" if at_least else f"at most {at_most}"
    return what, target, found, _yes(at_least <= median <= at_most)


def _yes(reached: bool) -> str:
    return "yes" if reached else "**no**"


def _mlflow_share(results: Results, model: str, row: Results) -> float:
    """Return MLflow's share of a training with two threads, both measured on one machine."""
    costs = {key: spread["median"] for key, spread in results["small"]["mlflow"].items()}
    epochs = results["training"][model]["epochs"]
    seconds = sum(cost for key, cost in costs.items() if key not in ("epoch", "store")) + epochs * costs["epoch"]
    return seconds / (epochs * row["epoch"][_BOTH]["median"] * IMAGES / row["images"])


def _training(results: Results) -> Iterator[str]:
    yield _table(
        "model | images | contender | seconds, last epoch | times plain's speed | seconds, two epochs with start",
        (
            (model, row["images"], name, row["epoch"][name], row["ratio"][name], row["process"][name])
            for model, row in _rows(results, "training")
            for name in row["epoch"]
        ),
    )


def _networks(results: Results) -> Iterator[str]:
    yield (
        "Six convolutions with batch normalization (`batch_norm`), or three residual blocks of two (`residual`), as in "
        "`described.py`, trained on 6,400 images by Adam: seconds of the third epoch."
    )
    yield _table(
        "network | plain | project | pytorch_tuned | times plain's speed | times pytorch_tuned's",
        ((case, *row["epoch"].values(), *row["ratio"].values()) for case, row in _rows(results, "networks")),
    )


def _memory(results: Results) -> Iterator[str]:
    yield "Peak memory of the cnn's training, two epochs of 512 images in batches of 128, without tracking."
    yield _table("images | MiB", _rows(results, "memory"))


def _study(results: Results) -> Iterator[str]:
    yield "Seconds per epoch and run: where two run at the same time, half of what each takes."
    yield _table(
        "model | images | way | seconds per epoch | times plain's speed",
        (
            (model, row["images"], way, seconds, row["ratio"][way])
            for model, row in _rows(results, "study")
            for way, seconds in row["epoch"].items()
        ),
    )


def _step(results: Results) -> Iterator[str]:
    yield (
        "One step of one batch on one thread. GFLOP/s count the layers' matrix products, forward and backward; for "
        "comparison, the speed at which the same thread multiplies two large matrices; then the slowest operations."
    )
    yield _table(
        "model | precision | milliseconds | GFLOP/s | matrix product, GFLOP/s | operations",
        (
            (
                model,
                precision,
                _times(step["seconds"], 1e3),
                _times(step["speed"], 1e-9),
                _times(step["product"], 1e-9),
                ", ".join(f"{kind} {100 * share:.0f}%" for kind, share in step["shares"].items()),
            )
            for model, row in _rows(results, "step")
            for precision, step in row.items()
        ),
    )


def _instructions(results: Results) -> Iterator[str]:
    yield "Seconds of an epoch of as many images as above, on two threads, by `train.instructions`."
    yield _table(
        "model | native | avx2 | times as long",
        ((model, *row["epoch"].values(), row["times"]) for model, row in _rows(results, "instructions")),
    )


def _times(spread: Results, factor: float) -> Results:
    return {key: value if key == "count" else value * factor for key, value in spread.items()}


def _whole(results: Results) -> Iterator[str]:
    found = results["whole"]
    yield (
        f"`dvc repro` of a fresh clone, every model trained for one epoch: {_cell(found['seconds'])} seconds, "
        f"{_cell(found['around'])} of them outside the epochs: fetching, starting programs, tracking, evaluation, "
        "report."
    )
    yield _table(
        "stage, run alone by DVC | seconds | peak memory, MiB",
        ((name, f"{seconds:.1f}", found["peak_mib"][name]) for name, seconds in found["stage_seconds"].items()),
    )


def _full(results: Results) -> Iterator[str]:
    yield (
        "`dvc repro` of a fresh clone with all epochs, and the three plain scripts one after another. A plain script "
        "runs only a few epochs; the others are taken to last as long as the last of these."
    )
    yield _table("what | seconds", results["full"]["seconds"].items())


def _small(results: Results) -> Iterator[str]:
    found = results["small"]
    names = {name: f"import of {name}" for name in found["seconds"]}
    names["nothing to do"] = "`dvc repro` with nothing to do"
    yield _table("what | seconds", ((names[name], spread) for name, spread in found["seconds"].items()))
    yield "Imports in one more run, and the slowest packages, each without the packages that it imports:"
    packages = {
        name: ", ".join(f"{package} {seconds:.2f}" for package, seconds in imports["most"].items())
        for name, imports in found["imports"].items()
    }
    yield _table(
        "what | imports, seconds | of these",
        ((names[name], f"{found['imports'][name]['all']:.2f}", slowest) for name, slowest in packages.items()),
    )
    yield "Seconds of MLflow for one run, all cores; the training continues meanwhile:"
    yield _table("part | seconds", found["mlflow"].items())


def _growth(results: Results) -> Iterator[str]:
    yield (
        "Tiny runs, each in a process of its own, forked from one that has imported TensorFlow. Nearly all the time "
        "is this import, once for each worker, and what a process does before its first step."
    )
    yield _table(
        "replicates | workers | seconds | core-seconds per replicate",
        (
            (count, workers, case["seconds"], _times(case["seconds"], workers / count))
            for case in results["growth"]["cases"]
            for count, workers in [(case["replicates"], case["workers"])]
        ),
    )
    yield "Plans whose task does nothing, to measure the plan itself:"
    yield _table(
        "planned | seconds | milliseconds each | peak memory, MiB",
        (
            (one["planned"], one["seconds"], f"{1000 * one['seconds'] / one['planned']:.1f}", one["peak_mib"])
            for one in results["growth"]["plans"]
        ),
    )
    if {"study", "training"} <= results.keys():
        hours = (
            f"{_cell(_hours(results, name, row))} core-hours for `{name}`" for name, row in _rows(results, "study")
        )
        yield f"{PLANNED:,} runs of one model, extrapolated from *Many runs* above: {', '.join(hours)}."


def _hours(results: Results, model: str, row: Results) -> float:
    """Return the core-hours of many complete runs of a model, one thread each."""
    seconds = row["epoch"][_ALONE]["median"] * results["study"]["machine"]["cores"]
    return float(PLANNED * results["training"][model]["epochs"] * seconds * IMAGES / row["images"] / 3600)


def _further(cases: Sequence[Results]) -> float:
    """Return the core-seconds of a replicate beyond the first few: between the two cases with as many workers."""
    few, many = (case for case in cases if case["workers"] == 2)
    seconds = many["seconds"]["median"] - few["seconds"]["median"]
    return float(seconds * many["workers"] / (many["replicates"] - few["replicates"]))


def _machine(section: Results) -> str:
    machine = section["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"Commit {section['commit']}; {machine['cores']} cores of {machine['processor']}, "
        f"{', '.join(machine['vectors'])}; {machine['memory_gib']} GiB; Python {machine['python']}, {versions}."
    )


def _table(header: str, rows: Iterable[Row]) -> str:
    """Return a table whose `header` has bars between its columns."""
    rule = " | ".join("---" for _ in header.split("|"))
    return "\n".join(f"| {line} |" for line in (header, rule, *(" | ".join(map(_cell, row)) for row in rows)))


def _cell(value: Cell) -> str:
    match value:
        case {"median": median, "smallest": smallest, "largest": largest}:
            return f"{_cell(median)} ({_cell(smallest)} to {_cell(largest)})"
        case str():
            return value
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


SECTIONS: Mapping[str, tuple[str, Callable[[Results], Iterator[str]]]] = {
    "training": ("Training", _training),
    "networks": ("Networks of today's kind", _networks),
    "memory": ("Memory by the size of images", _memory),
    "study": ("Many runs", _study),
    "step": ("Where a step's time goes", _step),
    "instructions": ("What the same bits on every processor cost", _instructions),
    "whole": ("What the pipeline adds to its epochs", _whole),
    "full": ("The whole pipeline", _full),
    "growth": ("How the study grows", _growth),
    "small": ("Small costs", _small),
}
