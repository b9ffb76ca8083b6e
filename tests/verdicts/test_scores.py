"""`python -m pipeline.verdict --scores`: anyone's scores."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline import verdict
from pipeline.analysis.verdicts import Verdict
from pipeline.errors import InputError
from pipeline.verdicts import judgement
from pipeline.verdicts.judgement import ImageSample, Question, Scores, SideVerdict
from pipeline.verdicts.scores import resolution
from tests.support import small


def write(path: Path, shift: float, seeds: int = 8, sides: str = "ab") -> Path:
    """Write scores of sides that differ by `shift`, seed by seed, in an order of their own."""
    random = np.random.default_rng(0)
    rows = [
        f"{side},{seed},{0.9 + shift * number + random.normal(0, 0.001):.6f}"
        for number, side in enumerate(sides)
        for seed in range(seeds)
    ]
    path.write_text("\n".join(["side,seed,score", *sorted(rows, key=hash)]) + "\n")
    return path


def call(path: Path, *options: str) -> int:
    """Call the command on a file."""
    return verdict.main(["--scores", str(path), "--effect", "0.01", *options])


@pytest.mark.parametrize(("shift", "code", "words"), [(0.1, 0, "better"), (-0.1, 1, "worse"), (0.0, 0, "no relevant")])
def test_scores_of_anyone_are_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shift: float, code: int, words: str
) -> None:
    """The second side is judged against the first, which can be named, by the order of seeds and not of rows."""
    path = write(tmp_path / "scores.csv", shift)
    assert call(path, "a", "b") == code
    assert words in capsys.readouterr().out.splitlines()[-1]


def test_answers_per_image_count_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a column `image`, the interval is for other images too."""
    path = tmp_path / "scores.csv"
    path.write_text(answers(images=90))

    assert call(path, "--json") == 2

    (one,) = json.loads(capsys.readouterr().out)["models"][0]["comparisons"]
    assert one["difference"] == pytest.approx(-2 / 90)
    assert one["low"] < one["low_on_these_images"]


@pytest.mark.parametrize(("metric", "code", "words"), [("accuracy", 0, "better"), ("loss", 1, "worse")])
@pytest.mark.parametrize("per_image", [False, True], ids=["by seed", "by image"])
def test_the_metric_says_what_is_better(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metric: str, code: int, words: str, *, per_image: bool
) -> None:
    """More accuracy and more loss are opposites, also where there is a row for each image: answers, or losses."""
    random, images = np.random.default_rng(0), range(60) if per_image else [None]
    rows = ["side,seed,image,score" if per_image else "side,seed,score"]
    for side, seed, image in itertools.product("ab", range(8), images):
        score = random.random() / 4 + (side == "b") / 2
        if per_image and metric == "accuracy":
            score = int(random.random() < score)
        rows.append(",".join(str(cell) for cell in (side, seed, image, score) if cell is not None))
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(rows))

    assert call(path, "--metric", metric) == code
    assert capsys.readouterr().out.splitlines()[-1].strip() == f"B is {words}"


@pytest.mark.fault("verdict: wrong scores")
@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("loss", "every loss is 0 or 1: for answers use `--metric accuracy`, with 1 for a correct one"),
        *((one, f"--metric: {one} is not a mean over images") for one in ("brier", "macro_f1", "calibration_error")),
    ],
)
def test_answers_of_images_have_no_other_metric(tmp_path: Path, metric: str, words: str) -> None:
    """Answers are not taken for losses, where less would be better, nor is their mean taken for another score."""
    path = tmp_path / "scores.csv"
    path.write_text(answers(images=60))
    with pytest.raises(InputError) as refused:
        call(path, "--metric", metric)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace(",", '","').replace("\n", '"\n"').join('""'),
        lambda text: text.replace(",", ", "),
        lambda text: text.replace("\n", "\n\n"),
    ],
    ids=["CRLF", "BOM", "quotes", "spaces", "empty lines"],
)
def test_csv_as_other_programs_write_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[str], str]
) -> None:
    """Line ends, quotes, spaces and the mark of Unicode change no answer."""
    path, text = tmp_path / "scores.csv", answers(images=60)
    path.write_text(text)
    plain = call(path), capsys.readouterr().out
    path.write_bytes(change(text).encode())
    assert (call(path), capsys.readouterr().out) == plain


def test_numbers_have_the_digits_that_matter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A hundredth of the smallest difference that matters can be seen, however small or large it is."""
    path = tmp_path / "scores.csv"
    for effect, shown in ((1e-7, "B - A = +0.000003000,"), (1000.0, "B - A = +30000,")):
        rows = [f"{side},{seed},{(seed + 30 * (side == 'b')) * effect:.12g}" for side in "ab" for seed in range(8)]
        path.write_text("\n".join(["side,seed,score", *rows]))
        call(path, f"--effect={effect}")
        assert shown in capsys.readouterr().out


def answers(images: int, seeds: int = 5) -> str:
    """Return a file with answers per image, of which b gets two more wrong than a."""
    keys = [(side, seed, image) for side in "ab" for seed in range(seeds) for image in range(images)]
    rows = [f"{side},{seed},{image},{int(image > 2 * (side == 'b'))}" for side, seed, image in keys]
    return "\n".join(["side,seed,image,score", *rows])


def look(values: np.ndarray, effect: float, step: float) -> SideVerdict:
    """Return the judgement on accuracies, (sides, seeds), of which nothing else is known but `step`."""
    before, after = (Scores(one, step=step) for one in values)
    return judgement.judge(before, after, Question("accuracy", effect), None)


def simulated(images: int, effect: float, true: float, seeds: int, studies: int) -> Iterator[np.ndarray]:
    """Yield the accuracies on so many images that studies find with a difference of `true`, (2, seeds) each."""
    random = np.random.default_rng(images)
    for _ in range(studies):
        values = random.normal([[0.95], [0.95 + true]], 0.85 * effect, (2, seeds))
        yield np.round(values * images) / images


# Images, and the smallest difference that matters on so many.
SIZES = [(200, 0.01), (1000, 0.002), (5000, 0.001)]


@pytest.mark.parametrize("seeds", [2, 5])
def test_equal_differences_in_few_seeds_are_no_certainty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seeds: int
) -> None:
    """Neither equal differences nor equal scores decide: they do not say that the results are the same."""
    path = tmp_path / "scores.csv"
    for shift in (0.0, 0.0625):
        rows = [
            f"{name},{seed},{0.5 + seed / 16 + by}" for name, by in (("a", 0), ("b", shift)) for seed in range(seeds)
        ]
        path.write_text("\n".join(["side,seed,score", *rows]))
        assert call(path) == 2
        assert capsys.readouterr().out.splitlines()[-1].strip().startswith("cannot tell: about ")


@pytest.mark.parametrize(("images", "effect"), SIZES)
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_scores_whose_steps_are_unknown_are_wrong_in_at_most_5_percent(
    images: int, effect: float, share: float
) -> None:
    """With a look after every seed from the second on, few intervals miss a difference of `share` of what matters."""
    missed = []
    for one in simulated(images, effect, share * effect, seeds=10, studies=200):
        looks = [look(one[:, :n], effect, resolution(one[:, :n])).interval for n in range(2, 11)]
        missed.append(not all(low <= share * effect <= high for low, high in looks))
    assert np.mean(missed) <= 0.05


@pytest.mark.parametrize("true", [0.0, 0.01])
def test_losses_of_images_are_wrong_about_others_in_at_most_5_percent(true: float) -> None:
    """Of studies on 500 images each, most with hardly any loss, few intervals ever miss the difference on others."""
    random, missed = np.random.default_rng(12), []
    for _ in range(300):
        hard = random.exponential(1, (1, 500)) ** 3 / 30
        reacting = random.normal(true, 0.1, (1, 500))
        tables = [hard * random.exponential(1, (20, 500)) + shift for shift in (0, reacting)]
        looks = []
        for n in (5, 6, 8, 11, 15, 20):
            before, after = (Scores(one[:n].mean(axis=1), one[:n]) for one in tables)
            looks.append(judgement.judge(before, after, Question("loss", 0.01), ImageSample(500)).interval)
        missed.append(not all(low <= true <= high for low, high in looks))
    assert np.mean(missed) <= 0.05


@pytest.mark.parametrize(("images", "effect"), SIZES)
def test_scores_whose_steps_are_unknown_take_hardly_more_seeds(images: int, effect: float) -> None:
    """At twice the smallest effect a verdict takes at most 1.3 times the seeds that it takes with known steps."""
    seeds = np.zeros(2)
    for one in simulated(images, effect, 2 * effect, seeds=40, studies=40):
        for place, known in enumerate((True, False)):
            steps = ((n, 1 / images if known else resolution(one[:, :n])) for n in range(2, 41))
            looks = (n for n, step in steps if look(one[:, :n], effect, step).verdict is not Verdict.UNDECIDED)
            seeds[place] += next(looks)
    assert seeds[1] <= 1.3 * seeds[0]


def test_it_takes_seconds_and_no_tensorflow(tmp_path: Path) -> None:
    """The command imports neither TensorFlow nor MLflow nor Dask."""
    program = (
        "import sys\nfrom pipeline import verdict\nverdict.main(sys.argv[1:])\n"
        "print(sorted({'tensorflow', 'mlflow', 'distributed'} & {*sys.modules}))"
    )
    options = ["--scores", str(write(tmp_path / "scores.csv", 0.1)), "--effect", "0.01", "a", "b"]
    command = [sys.executable, "-c", program, *options]
    done = subprocess.run(command, cwd=small.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.fault("verdict: wrong scores")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("side,seed\na,1\n", "line 1: expected the columns side,seed,score, found side,seed"),
        ("side;seed;score\na;1;.5\n", "line 1: expected the columns side,seed,score, found side;seed;score"),
        ("side,seed,score,score\na,1,.5,.6\n", "line 1: expected the columns side,seed,score, found side,seed,score,"),
        ("", "line 1: expected the columns side,seed,score, found none"),
        (f"{'x' * 200_000},side\n", "line 1: field larger than field limit (131072)"),
        ('side,seed,score\na,1,"0.5\n', "line 2: unexpected end of data"),
        ("side,seed,score\n", "expected two sides or more, found no row"),
        ("side,seed,score\na,1,.5\na,2,.5\n", "expected two sides or more, found a"),
        ("side,seed,score\na,1,.5\nb,1,x\n", "line 3: score: expected a number below 1e+100, found 'x'"),
        ("side,seed,score\na,1,.5\nb,1,nan\n", "line 3: score: expected a number below 1e+100, found 'nan'"),
        ("side,seed,score\na,1,-1e308\nb,1,.5\n", "line 2: score: expected a number below 1e+100, found '-1e308'"),
        ("side,seed,score\na,1,.5\nb,1\n", "line 3: expected 3 values, none of them empty"),
        ("side,seed,score\na,1,.5\nb,1,.5,7\n", "line 3: expected 3 values, none of them empty"),
        ("side,seed,score\na,1,.5\na,1,.6\n", "line 3: the same side and seed again"),
        ("side,seed,score\na,1,.5\na,2,.5\nb,1,.5\n", "side b has no seed 2"),
        ("side,seed,score\na,1,.5\nb,1,.5\nb,2,.5\n", "side a has no seed 2, as another has: sides are paired by seed"),
        ("side,seed,score\na,1,.5\nb,1,.5\n", "expected two seeds or more of each side: one shows no spread"),
        ("side,seed,score\na,1,.5\na,2,.5\nb,1,.5\nb,2,.5\n", "every score is 0.5, so nothing shows in which steps"),
        (
            "side,seed,image,score\na,1,i,.5\n",
            "line 2: score: expected 1 for a correct answer or 0 for a wrong one, found",
        ),
        ("side,seed,image,score\na,1,,1\n", "line 2: expected 4 values, none of them empty"),
        (answers(images=39), "expected 40 images or more, found 39: too few to judge by"),
        ("side,seed,image,score\na,1,i,1\na,1,j,1\nb,1,i,1\n", "side b has no seed 1 with image j"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, content: str, words: str) -> None:
    """What is wrong is named, with its row where it is in one."""
    path = tmp_path / "scores.csv"
    path.write_text(content)
    with pytest.raises(InputError) as refused:
        call(path)
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.fault("verdict: wrong scores")
def test_files_and_options_that_do_not_fit_are_one_line(tmp_path: Path) -> None:
    """No file, a pipe, no text, a side that it does not have, one side, too many, and no positive smallest effect."""
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match=r"expected a file, found a pipe"):
        call(tmp_path / "pipe.csv")
    for name in ("none.csv", "."):
        with pytest.raises(InputError, match=r"cannot be read"):
            call(tmp_path / name)
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"cannot be read"):
        call(tmp_path / "bytes.csv")
    path = write(tmp_path / "scores.csv", 0.0)
    with pytest.raises(InputError, match=r"has no side c, but [ab], [ab]"):
        call(path, "a", "c")
    with pytest.raises(InputError, match=r"--scores: --effect is missing"):
        verdict.main(["--scores", str(path)])
    with pytest.raises(InputError, match=r"--effect is for --scores alone"):
        verdict.main(["HEAD", "--effect", "0.01"])
    for effect in ("0", "-1", "nan", "inf", "1e-300"):
        with pytest.raises(InputError, match=rf"--effect: expected a number from 1e-100 to 1e\+100, found {effect}$"):
            call(path, f"--effect={effect}")
    for names in (["a"], ["a", "a"]):
        with pytest.raises(InputError, match=r"expected 2 to 26 different sides, found 1; name those to compare"):
            call(path, *names)
    many = write(path, 0.0, sides="abcdefghijklmnopqrstuvwxyz0")
    with pytest.raises(InputError, match=r"expected 2 to 26 different sides, found 27"):
        call(many)
    assert call(many, "a", "0") == 0
