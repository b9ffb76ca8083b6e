"""The models of each side, trained with the same seeds by the side's own code, until the verdicts are final.

A seed stands for initial weights, order and dropout masks. Verdicts are judged on images that were held out of the
training images, never on test images: nobody is to choose by these.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client
from tqdm import tqdm

from pipeline import dvc_lock, files, machine, params, revision, schema
from pipeline.analysis import metrics
from pipeline.errors import InputError, PipelineError
from pipeline.training import recipe
from pipeline.training.settings import Model, Training
from pipeline.trials import ledger, prepared
from pipeline.trials import run as engine
from pipeline.trials.ledger import Entry, EntryState
from pipeline.trials.plan import Replicate
from pipeline.trials.prepared import PreparedData
from pipeline.trials.run import Code, Engine
from pipeline.trials.tracker import Tracker
from pipeline.verdicts import difference
from pipeline.verdicts.judgement import FEWEST_IMAGES, ImageSample, Scores
from pipeline.verdicts.side import PARAMS, PROCESSED, Side

# Where the params hold no images out: this share of the training images, but at most these.
HELD_OUT_SHARE, MOST_HELD_OUT = 0.1, 5000
# Of fewer held-out images than these, each seed draws others, so that not all depends on a few of them.
FIXED = 2000
# The split of a replicate that has the held-out images: they stand in for the test images.
JUDGED = "test"


@dataclass(frozen=True)
class JudgedImages:
    """Which images verdicts are judged on.

    `count` images are drawn from those that params.yaml leaves for training and validation, with `seed`, or with each
    replicate's own if that is None; `given`: the validation images that the data bring instead.
    """

    count: int
    left: int
    seed: int | None
    given: bool = False

    def sample(self, chosen_on: int = 0) -> ImageSample:
        """Return the images as a sample, where an epoch is chosen on so many of the others."""
        return ImageSample(self.count, None if self.given or self.seed is not None else self.left - chosen_on)

    def ingredient(self, seed: int, choosing: bool) -> dict[str, Any]:
        """Return what a replicate with this seed does; `choosing`: it also needs images to choose its epoch by."""
        drawn = None if self.given else seed if self.seed is None else self.seed
        return {"count": self.count, "seed": drawn, "chosen_on": self.count if choosing else 0}


@dataclass(frozen=True)
class SideModel:
    """A model as one side has it, with the replicates of as many seeds as may be trained."""

    side: Side
    model: str
    replicates: tuple[Replicate, ...]


def prepared_data(path: Path) -> PreparedData:
    """Return the preprocessed data of the workspace, which the summary at `path` describes.

    Raises:
        InputError: It is missing or damaged.
    """
    summary = prepared.read(path)
    data = PreparedData(PROCESSED / f"{summary['dataset']}.npz", summary)
    dvc_lock.verify(data.path)
    if files.sha256(data.path) != data.sha256:
        raise InputError(f"is not the file that {path} describes", path=data.path, fix="`dvc repro preprocess`")
    return data


def check_data(side: Side, data: PreparedData) -> None:
    """Check that the preprocessed data are a side's.

    Raises:
        InputError: They are other data.
    """
    fix = "check out its params and data, then `dvc repro preprocess`"
    for key in ("dataset", "validation", "split_seed"):
        if (found := data.summary.get(key)) != (expected := side.data[key]):
            raise InputError(f"the preprocessed data have {key} {found}, and {side} has {expected}", fix=fix)
    if side.data_md5 is not None and (md5 := files.md5(data.path)) != side.data_md5:
        raise InputError(f"has md5 {md5}, not {side.data_md5} as dvc.lock of {side} records", path=data.path, fix=fix)


def hold_out(data: PreparedData) -> JudgedImages:
    """Return on which images of a data set verdicts are judged.

    Raises:
        InputError: There are too few.
    """
    trained, validation = data.count("train"), data.summary["validation"]
    held = data.count("validation") if "validation" in data.summary["splits"] else 0
    if held and not isinstance(validation, int):
        return JudgedImages(held, trained, None, given=True)
    count = held or min(MOST_HELD_OUT, max(FEWEST_IMAGES, int(HELD_OUT_SHARE * trained)))
    left = trained + held - count
    if count < FEWEST_IMAGES or left < count:
        what = f"{trained + held} training images are too few to judge a change by: {count} would be held out"
        raise InputError(what, fix=f"collect {4 * FEWEST_IMAGES} or more, of which {FEWEST_IMAGES} are held out")
    return JudgedImages(count, left, int(data.summary["split_seed"]) if count >= FIXED else None)


def plan(side: Side, model: str, seeds: int, data: PreparedData, held_out: JudgedImages) -> SideModel:
    """Return a model of a side with the replicates that may be trained, of the seeds from 0 on."""
    settings = difference.settings(side, model)
    common = {**settings, **side.implementation, "data": data.sha256, "code": side.source.digest}
    choosing = settings["model"].get("keep", "last") != "last"

    def ingredients(seed: int) -> dict[str, Any]:
        training = {**settings["train"], "seed": seed}
        return {**common, "train": training, "held_out": held_out.ingredient(seed, choosing)}

    # What determines a result, the seed apart, is part of the name: no replicate of the ledger is ever replaced.
    variant = f"{model}-{recipe.digest([common, held_out.ingredient(0, choosing)])[:12]}"
    return SideModel(side, model, tuple(Replicate(variant, seed, ingredients(seed)) for seed in range(seeds)))


def check_memory(candidates: Iterable[SideModel], data: PreparedData) -> None:
    """Check that this machine has the memory for the networks.

    Raises:
        InputError: One is too large. Settings that this code does not know, the side's own checks where it trains.
    """
    for one in candidates:
        settings = difference.settings(one.side, one.model)
        try:
            model = schema.validate(Model, settings["model"])
            shared = schema.validate(Training, settings["train"])
        except InputError:
            continue
        path, count = Path(f"{one.side.name}:{PARAMS}"), data.count("train")
        params.check_images({one.model: model}, shared, data.shape, count, path, memory=machine.memory())


def scores(entries: Sequence[Entry], metric: str, held_out: JudgedImages) -> Scores:
    """Return the scores of replicates, seed by seed, and which images each has right, where all saw the same ones.

    A share of images is a multiple of one image.

    Raises:
        InputError: A replicate was made before `metric` existed.
    """
    values = np.array([one.score(JUDGED, metrics.comparable(metric)) for one in entries])
    by_image = metric == "accuracy" and not held_out.sample().trained
    correct = np.stack([one.correct for one in entries]) if by_image else None
    return Scores(values, correct, 1 / held_out.count if metrics.SCORES[metric].share else 0.0)


def same_results(first: Sequence[Entry], second: Sequence[Entry]) -> bool:
    """Return whether replicates have the same scores and histories to the last bit."""
    return all(
        a.record["splits"] == b.record["splits"] and a.history.equals(b.history)
        for a, b in zip(first, second, strict=True)
    )


@dataclass(frozen=True)
class Trainer:
    """Where replicates are trained and kept, connected to when the first one is missing."""

    data: PreparedData
    where: Engine
    tracker: Tracker
    connect: Callable[[], Client]
    metric: str

    def entries(self, candidates: Sequence[SideModel]) -> Iterator[dict[str, list[Entry]]]:
        """Yield what is known of the candidates of one model after each seed: their entries by the side's name.

        Replicates that the ledger has come first and together; the others, and those that were made before the metric
        existed, are trained, and each is kept at once. Whoever knows enough stops asking, and no more are trained.

        Raises:
            PipelineError: A training run failed.
            UnavailableError: No scheduler answers at the address, or it was lost.
        """
        # Seed by seed, so that what an interrupted call leaves are pairs.
        turns = [*zip(*(one.replicates for one in candidates), strict=True)]
        planned = {replicate.recipe: replicate for turn in turns for replicate in turn}
        score = metrics.comparable(self.metric)
        known = {
            one.recipe: entry
            for one, entry, state in ledger.look_up(self.where.folder, planned.values())
            if entry and state is EntryState.CURRENT and entry.has(JUDGED, score)
        }
        for entry in known.values():
            self.tracker.add(entry)
        missing = [one for key, one in planned.items() if key not in known]
        seeds = 0
        for trained in chain([None], self._train(missing, candidates)):
            if trained is not None:
                known[trained.record["recipe"]] = trained
                self.tracker.add(trained)
            done = sum(1 for _ in takewhile(lambda turn: all(one.recipe in known for one in turn), turns))
            if done > seeds:
                seeds = done
                yield {
                    one.side.name: [known[replicate.recipe] for replicate in one.replicates[:seeds]]
                    for one in candidates
                }

    def _train(self, missing: Sequence[Replicate], candidates: Sequence[SideModel]) -> Iterator[Entry]:
        if not missing:
            return
        sides = [one.side for one in candidates]
        code = {side.source.digest: Code(side.archive, side.commit or revision.described()) for side in sides}
        letters = {one.replicates[0].variant: one.side.letter for one in candidates}
        for trained in engine.train(self.connect(), missing, [self.data], self.where.folder, "verdict", code):
            if isinstance(trained, str):
                # After a traceback, its last line is the reason.
                variant, reason = trained.partition(": ")[0].rpartition("-")[0], trained.rpartition("\n")[2]
                raise PipelineError(f"a training run of {letters[variant]} failed: {reason}")
            accuracy = trained.score(JUDGED, "accuracy")
            who = f"{letters[trained.variant]}  {candidates[0].model}  seed {trained.seed}"
            # Not over the progress bar.
            tqdm.write(f"{who}: accuracy {accuracy:.4f}", file=sys.stderr)
            yield trained


def expected_minutes(candidates: Sequence[SideModel], where: Engine) -> float | None:
    """Return how long the seeds that are not in the ledger would take, as long as those there; None if it has none."""
    planned = [replicate for one in candidates for replicate in one.replicates]
    found = list(ledger.look_up(where.folder, planned))
    seconds = [float(entry.record["seconds"]) for _, entry, _ in found if entry and "seconds" in entry.record]
    missing = sum(state is not EntryState.CURRENT for _, _, state in found)
    return missing * sum(seconds) / len(seconds) / where.workers / 60 if seconds else None
