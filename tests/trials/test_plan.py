"""study/params.yaml: what it plans, and how mistakes in it are reported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import InputError
from pipeline.training import recipe
from pipeline.trials import plan
from pipeline.trials.plan import Replicate, Study
from tests.support.frozen import FROZEN
from tests.support.study_ledger import params, write_params

DATA = {"mnist": "d" * 64, "fashion_mnist": "f" * 64}


@pytest.fixture(scope="module")
def study() -> Study:
    """Return the project's own study."""
    return plan.load_study(FROZEN / "study" / "params.yaml")


def small(tmp_path: Path, change: Callable[[dict[str, Any]], None] = lambda _: None) -> list[Replicate]:
    """Return the replicates of the small study after a change of its params."""
    values = params()
    change(values)
    return plan.replicates(plan.load_study(write_params(tmp_path / "params.yaml", values)), DATA)


def changed(values: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Return the values after a change of them; two comparisons across data sets would not be allowed."""
    change(values)
    values["statistics"]["comparisons"] = [["short", "long"]]
    return values


def on_another_set(values: dict[str, Any]) -> None:
    """Move one variant to another data set."""
    values["data"]["sets"].append("kmnist")
    values["variants"]["cnn"]["dataset"] = "kmnist"


def names(replicates: list[Replicate]) -> list[tuple[str, int]]:
    """Return variant and seed of each replicate."""
    return [(replicate.variant, replicate.seed) for replicate in replicates]


def test_replicates_come_seed_by_seed(tmp_path: Path) -> None:
    """Every variant gets its first seed before any gets its second."""
    expected = [("short", 0), ("long", 0), ("permuted", 0), ("cnn", 0), ("short", 1), ("long", 1)]

    assert names(small(tmp_path)) == expected


def test_one_more_seed_is_one_more_replicate(tmp_path: Path) -> None:
    """Replicates that were planned before keep their recipes."""
    before = {one.recipe for one in small(tmp_path)}

    after = small(tmp_path, lambda values: values["variants"]["cnn"].update(seeds=2))

    assert names([one for one in after if one.recipe not in before]) == [("cnn", 1)]
    assert before < {one.recipe for one in after}


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (lambda values: values["variants"]["cnn"].update(epochs=3), {"cnn"}),
        (lambda values: values["variants"]["long"].update(precision="mixed_bfloat16"), {"long"}),
        (lambda values: values["data"].update(permutation_seed=1), {"permuted"}),
        (lambda values: values["train"].update(threads=2), {"short", "long", "permuted", "cnn"}),
        (lambda values: values["statistics"].update(level=0.1), set()),
    ],
    ids=["model", "precision", "permutation", "threads", "statistics"],
)
def test_a_recipe_changes_with_what_determines_the_result(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], changed: set[str]
) -> None:
    """A change of params gives new recipes to the replicates that it affects, and to no others."""
    before = {one.recipe for one in small(tmp_path)}

    assert {one.variant for one in small(tmp_path, change) if one.recipe not in before} == changed


def test_the_name_of_a_data_set_is_no_part_of_a_recipe(tmp_path: Path) -> None:
    """A variant on another data set has another recipe, by the checksum of that; with the same data it has the same."""
    before = {one.variant: one for one in small(tmp_path)}
    loaded = plan.load_study(write_params(tmp_path / "params.yaml", changed(params(), on_another_set)))

    other, same = (
        {one.variant: one for one in plan.replicates(loaded, {"mnist": "d" * 64, "kmnist": sha256})}
        for sha256 in ("e" * 64, "d" * 64)
    )

    assert {name for name, one in other.items() if one.recipe != before[name].recipe} == {"cnn"}
    assert other["cnn"].ingredients == before["cnn"].ingredients | {"data": "e" * 64}
    assert {name: one.ingredients for name, one in same.items()} == {n: one.ingredients for n, one in before.items()}


def test_a_recipe_covers_data_and_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other data, another version of results or of a library gives all replicates new recipes."""
    before = {one.recipe for one in small(tmp_path)}
    loaded = plan.load_study(tmp_path / "params.yaml")
    assert not before & {one.recipe for one in plan.replicates(loaded, {"mnist": "e" * 64})}
    for name, another in (("RESULTS", 0), ("versions", lambda: "another")):
        with monkeypatch.context() as other:
            other.setattr(recipe, name, another)
            assert not before & {one.recipe for one in small(tmp_path)}


def test_variants_that_differ_only_in_epochs_are_trained_once(tmp_path: Path) -> None:
    """Per seed, `short` and `long` are one training run; a variant that is wanted alone is trained alone."""
    wanted = small(tmp_path)

    short = [one for one in wanted if one.variant == "short"]
    together, alone = ([names([*run.replicates]) for run in plan.trajectories(some)] for some in (wanted, short))

    assert together[:3] == [[("short", 0), ("long", 0)], [("permuted", 0)], [("cnn", 0)]]
    assert together[3:] == [[("short", 1), ("long", 1)]]
    assert alone == [[("short", 0)], [("short", 1)]]


def test_a_schedule_that_depends_on_the_number_of_epochs_is_not_shared(tmp_path: Path) -> None:
    """With a cosine, whose first epochs differ too, `short` and `long` are two training runs; with steps one."""

    def with_schedule(**schedule: Any) -> list[int]:
        def change(values: dict[str, Any]) -> None:
            for name in ("short", "long"):
                values["variants"][name] |= {"schedule": schedule, "seeds": 1, "epochs": 4 if name == "short" else 8}
            values["variants"] = {name: values["variants"][name] for name in ("short", "long")}
            values["statistics"]["comparisons"] = [["short", "long"]]

        return [len(one.replicates) for one in plan.trajectories(small(tmp_path, change))]

    assert with_schedule(name="cosine") == [1, 1]
    assert with_schedule(name="step", epochs=3, factor=0.1) == [2]


def test_the_cnn_of_the_study_is_trained_once_for_both_lengths(study: Study) -> None:
    """12 and 24 epochs of the CNN are one training run per seed; no other variants share one."""
    shared = [one for one in plan.trajectories(plan.replicates(study, DATA)) if len(one.replicates) > 1]

    assert {tuple(one.variant for one in each.replicates) for each in shared} == {("cnn", "cnn_24_epochs")}
    assert len(shared) == study.variants["cnn"].seeds


def test_networks_that_differ_only_in_dropout_start_alike(study: Study) -> None:
    """Dropout, optimizer and pixels do not affect the initial weights; another network does."""
    variants = study.variants

    alike = ["mlp_adadelta", "mlp_rmsprop_no_dropout", "mlp_adadelta_permuted", "mlp_rmsprop_keras3"]
    assert all(plan.same_seeds(variants["mlp_rmsprop"], variants[name]) for name in alike)
    assert plan.same_seeds(variants["cnn"], variants["cnn_no_dropout"])
    assert not plan.same_seeds(variants["cnn"], variants["mlp_adadelta"])
    for change in ({"first_seed": 9}, {"training_images": "all"}, {"varied": "order"}):
        other = variants["mlp_rmsprop"].model_copy(update=change)
        assert plan.same_network(variants["mlp_rmsprop"], other)
        assert not plan.same_seeds(variants["mlp_rmsprop"], other)


@pytest.mark.fault("study/params.yaml: invalid plan")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: v["statistics"]["comparisons"].append(["cnn", "rnn"]), "comparisons: cnn, rnn: no variant rnn"),
        (lambda v: v["statistics"]["comparisons"].append(["long", "short"]), "expected two variants, compared once"),
        (lambda v: v["variants"].update(twin=v["variants"]["cnn"] | {"seeds": 9}), "variants.twin: is the same as cnn"),
        (lambda v: v["variants"]["cnn"].pop("seeds"), "variants.cnn.seeds: missing"),
        (lambda v: v["variants"]["cnn"].update(seed=3), "variants.cnn: unknown key 'seed'; did you mean seeds?"),
        (lambda v: v["variants"].update({"../up": v["variants"]["cnn"]}), "variants"),
        (lambda v: v["variants"].update({"cnn.2": v["variants"]["cnn"]}), "variants.'cnn.2': expected a name of"),
        (lambda v: v["variants"].update(CNN=v["variants"]["cnn"] | {"epochs": 9}), "cnn and CNN differ only in case"),
        (lambda v: v["variants"]["cnn"].update(keep="best_val_loss"), "variants.cnn.keep: expected 'last'"),
        (lambda v: v["variants"]["cnn"].update(seeds=10**18), "cnn.seeds: expected less than or equal to 10000"),
        (lambda v: v.update(first_seed=2**32 - 1), "first_seed: expected less than or equal to 4294957296"),
        (lambda v: v.pop("data"), "data: missing"),
        (lambda v: v["variants"]["cnn"].pop("dataset"), "variants.cnn.dataset: missing"),
        (lambda v: v["variants"]["cnn"].update(dataset="kmnist"), "variants.cnn.dataset: kmnist is not listed in data"),
        (lambda v: v["data"].update(sets=["mnist", "kmnist"]), "data.sets: no variant uses kmnist"),
        (lambda v: v["data"].update(sets=["mnist", "mnist"]), "data.sets: expected each data set once"),
        (on_another_set, "comparisons: cnn, long: expected two variants on the same data set"),
        (lambda v: v["variants"]["short"].update(training_images="all"), "variants that hold out the same images"),
        (lambda v: v["variants"]["short"].update(training_images="none"), "variants.short.training_images: expected"),
        (lambda v: v["variants"]["short"].update(varied="seed"), "variants.short.varied: expected"),
        (lambda v: v["statistics"].update(added=[["long", "short"]]), "expected two variants, compared once"),
        (lambda v: v["statistics"].update(added=[["long", "cn"]]), "statistics.added: long, cn: no variant cn"),
        (lambda v: v["variants"]["long"].update(first_seed=1), "variants.long.first_seed: short has some of its seeds"),
    ],
)
def test_a_fault_in_the_params_is_one_line(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    """It names the file, the key and what is wrong, before anything is run."""
    values = params()
    change(values)

    with pytest.raises(InputError) as refused:
        plan.load_study(write_params(tmp_path / "params.yaml", values))

    assert str(refused.value).startswith(f"{tmp_path}/params.yaml: ")
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
