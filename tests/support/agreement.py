"""What has to agree among committed results: the study's ledger, its report, and the gate's bounds.

Each function yields a line for whatever does not, and nothing where there is nothing to compare.
"""

import contextlib
import io
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from pipeline import bounds, files, params
from pipeline.data import original as originals
from pipeline.reporting import render
from pipeline.trials import ledger, other_seeds, plan, prepared
from pipeline.trials.ledger import EntryState

STUDY = Path("study")
# So many files are named.
FEW = 2


def ledger_faults() -> Iterator[str]:
    """Yield each replicate in the ledger that is damaged, or belongs to another experiment of the same name."""
    if not (STUDY / "runs").exists():
        return
    study = plan.load_study(STUDY / "params.yaml")
    planned = plan.replicates(study, prepared.checksums(prepared.load(STUDY / "reports" / "data", study.data.sets)))
    with contextlib.redirect_stderr(io.StringIO()) as notices:
        states = [(replicate, state) for replicate, _, state in ledger.look_up(STUDY / "runs", planned)]
    yield from notices.getvalue().splitlines()
    for replicate, state in states:
        if state is EntryState.FOREIGN:
            place = f"study/runs/{replicate.variant}.jsonl: seed {replicate.seed}"
            yield f"{place} was made with other params or data than study/params.yaml has"


def report_faults() -> Iterator[str]:
    """Yield each file of the study's report that does not follow from its ledger and the other committed results."""
    written = STUDY / "reports"
    if not (written / "claims.md").exists():
        return
    stage = files.read_yaml(STUDY / "dvc.yaml")["stages"]["report"]
    words = shlex.split(stage["cmd"].partition("python ")[2])
    with tempfile.TemporaryDirectory() as folder:
        words[words.index("--output") + 1] = folder
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            yield f"study/reports cannot be written: {done.stderr.strip()}"
            return
        made, committed = _contents(Path(folder)), _contents(written)
    if names := [name for name in sorted(made.keys() | committed.keys()) if made.get(name) != committed.get(name)]:
        more = [f"{len(names) - FEW} more"] if len(names) > FEW else []
        named = render.series([*names[:FEW], *more])
        yield f"study/reports does not follow from the ledger and the other results ({named})"


def _contents(folder: Path) -> dict[str, bytes]:
    """Return the committed files of the report by name: without what other stages write, and without HTML."""
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {
        name: content
        for name, content in contents.items()
        if not name.startswith(("data/", "missed/")) and ".html" not in name
    }


def gate_faults() -> Iterator[str]:
    """Yield each bound of the gate that the model's seed alone breaks too often: a drop, or a floor.

    It is known for the models that the study has too, with the same settings, on the same data.
    """
    path, table = Path("params.yaml"), STUDY / "reports" / "spread.csv"
    values = params.load(path)
    if values.data.dataset != originals.DATASET or not table.exists():
        return
    required, spread = bounds.load(path).models, files.read_csv(table).set_index("variant")
    study = plan.load_study(STUDY / "params.yaml")
    for name, variant in other_seeds.alike(values.models, values.train, values.data, study):
        bound, where = (
            required[name].get("test_accuracy"),
            f"params.yaml: gate.{originals.DATASET}: {name}.test_accuracy",
        )
        if bound is None or variant not in spread.index:
            continue
        allowed, lowest = spread.loc[variant, ["allowed_drop", "lowest"]]
        if bound.max_drop is not None and bound.max_drop < allowed:
            yield f"{where}.max_drop is {bound.max_drop}, less than the {allowed:.4f} of study/reports/spread.csv"
        if bound.min is not None and bound.min > lowest:
            yield f"{where}.min is {bound.min}, more than the {lowest:.4f} of study/reports/spread.csv"


def pair_faults() -> Iterator[str]:
    """Yield each pair of models of which reports/report.md calls the one significantly better, and the study the other.

    A difference that the study leaves open, or that may be of either sign there, contradicts nothing.
    """
    report, table = Path("reports/report.md"), STUDY / "reports" / "comparisons.csv"
    if not (report.exists() and table.exists()):
        return
    ends = files.read_csv(table).set_index(["first", "second"])[["simultaneous_low", "simultaneous_high"]]
    sentence = re.compile(r"^- `(\w+)` makes significantly fewer errors than `(\w+)`", re.MULTILINE)
    for better, worse in sentence.findall(report.read_text(encoding="utf-8")):
        listed, reversed_ = (better, worse) in ends.index, (worse, better) in ends.index
        if (listed and ends.loc[(better, worse)].max() < 0) or (reversed_ and ends.loc[(worse, better)].min() > 0):
            yield f"{report}: {better} makes fewer errors than {worse}, and over the seeds of {table} it makes more"


def tuning_faults() -> Iterator[str]:
    """Yield each variant `NAME_tuned` of the study whose settings are not those of the best candidate.

    The candidates are NAME and NAME_rate_..., with dropout and without. The best has the highest mean accuracy on the
    held-out images over the first seeds, as many as all have; while one of these is missing, none is the best.
    """
    if not (STUDY / "runs").exists():
        return
    study = plan.load_study(STUDY / "params.yaml")
    held_out = [replicate for replicate in ledger.read(STUDY / "runs") if replicate.has("validation", "accuracy")]
    rows = [(replicate.variant, replicate.seed, replicate.score("validation", "accuracy")) for replicate in held_out]
    scores = pd.DataFrame(rows, columns=["variant", "seed", "accuracy"])
    tuned_variants = {name[:-6]: variant for name, variant in study.variants.items() if name.endswith("_tuned")}
    for base, tuned in tuned_variants.items():
        pattern = rf"{base}(_rate_\w+?)?(_no_dropout)?"
        candidates = {name: variant for name, variant in study.variants.items() if re.fullmatch(pattern, name)}
        seeds = range(study.first_seed, study.first_seed + min(variant.seeds for variant in candidates.values()))
        compared = scores[scores["variant"].isin(candidates) & scores["seed"].isin(seeds)]
        if len(compared) < len(candidates) * len(seeds):
            continue
        best = candidates[compared.groupby("variant")["accuracy"].mean().idxmax()]
        if (best.network, best.optimizer) != (tuned.network, tuned.optimizer):
            yield f"study/params.yaml: {base}_tuned has other settings than the best candidate on the held-out images"
