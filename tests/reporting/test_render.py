"""How numbers and settings are worded, and how text becomes HTML."""

import html
import re
from typing import Any

import pytest

from pipeline.params import Params
from pipeline.reporting import render
from pipeline.reporting.pairwise import SettingDifference

RELU, NESTED = {"name": "relu"}, "[relu, residual (layers [relu, residual (layers [relu])])]"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (render.percent(0.98344), "98.34%"),
        (render.percent(1), "100.00%"),
        (render.fixed(0.11049, 4), "0.1105"),
        (render.points(0.00141), "+0.14"),
        (render.points(-0.00141), "\N{MINUS SIGN}0.14"),
        (render.points(-0.00001), "0.00"),
        (render.signed(-12, 0), "\N{MINUS SIGN}12"),
        (render.signed(1234, 0), "+1,234"),
        (render.signed(0, 0), "0"),
        (render.probability(0.04996), "0.05"),
        (render.probability(0.0501), "0.0501"),
        (render.probability(1.234e-07), "1.23e-7"),
        (render.probability(1.0), "1"),
        (render.thousands(1199882), "1,199,882"),
        (render.reached(None), "not reached"),
        (render.reached(7), "7"),
        (render.series(["a"]), "a"),
        (render.series(["a", "b"]), "a and b"),
        (render.series(["a", "b", "c"], "or"), "a, b or c"),
    ],
)
def test_numbers_in_words(words: str, expected: str) -> None:
    """Numbers have a fixed number of decimals, differences a sign unless they round to nothing."""
    assert words == expected


@pytest.mark.parametrize(
    ("number", "bounds", "expected"),
    [
        (0.00099, (), "+0.10"),
        (0.00099, (0.001,), "+0.099"),
        (0.00101, (0.001, -0.001), "+0.101"),
        (0.001, (0.001,), "+0.10"),
        (-0.000996, (0.001, -0.001), "\N{MINUS SIGN}0.0996"),
        (0.00003, (0.0,), "+0.003"),
        (-0.00004, (0.0,), "\N{MINUS SIGN}0.004"),
        (0.00006, (0.0, 0.0001), "+0.006"),
        (1e-9, (0.0,), "0.00"),
        (0.0, (0.0,), "0.00"),
        (0.002, (0.0, 0.001), "+0.20"),
    ],
)
def test_points_show_on_which_side_of_a_bound_they_are(number: float, bounds: tuple[float, ...], expected: str) -> None:
    """Three more decimals tell a number from a bound, if these suffice; one that is the bound needs none."""
    assert render.points(number, bounds) == expected
    assert render.distinguishable(lambda one, digits: render.signed(100 * one, digits), number, 2, bounds) == expected


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (1e-08, "1e-8"),
        (0.001, "0.001"),
        (1.0, "1.0"),
        (20, "20"),
        (True, "true"),
        (None, "none"),
        ((512, 512), "[512, 512]"),
        ({"name": "adadelta", "rho": 0.95}, "adadelta"),
        ([RELU, {"name": "dense", "units": 16}], "[relu, dense (units 16)]"),
        ([RELU, {"name": "residual", "layers": (RELU, {"name": "residual", "layers": (RELU,)})}], NESTED),
    ],
)
def test_settings_read_as_in_params(setting: Any, expected: str) -> None:
    """A setting is worded as params.yaml has it; a whole block by its name."""
    assert render.value(setting) == expected
    assert render.values(SettingDifference("key", setting, 7)) == f"{expected} and 7"


def test_block_names_every_argument(values: Params) -> None:
    """A block is worded by its name and all of its settings."""
    assert render.block(values.models["mlp_rmsprop"].optimizer) == (
        "rmsprop: learning_rate 0.001, rho 0.9, epsilon 1e-8, epsilon_in_root false"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the  `val_loss`\n of 3 < 4", "the <code>val_loss</code> of 3 &lt; 4"),
        ("*slight* & `a`", "<em>slight</em> &amp; <code>a</code>"),
        ("Holm's rule", "Holm&#39;s rule"),
        ("[it](https://example.org/a)", '<a href="https://example.org/a">it</a>'),
        ("[it](javascript:alert)", "[it](javascript:alert)"),
        ("<script>`x`</script>", "&lt;script&gt;<code>x</code>&lt;/script&gt;"),
    ],
)
def test_inline_marks_up_and_escapes(text: str, expected: str) -> None:
    """Names, stress and https links become elements; all else is escaped, once."""
    assert render.inline(text) == expected
    assert render.inline(render.escape(text)) == expected


@pytest.mark.parametrize(
    "name",
    ["T-shirt/top", "a|b <i>", "$x$", "*a* `b` _c_ d_e", "[x](https://example.org)", "R&D &copy;", "\\*", "~~no~~"],
)
def test_a_name_is_shown_as_it_is(name: str) -> None:
    """What would mark something up, in HTML or in Markdown, is a plain sign of a name."""
    literal = render.literal(name)

    for text in (f"of *{literal}*", render.escape(f"of *{literal}*")):
        assert html.unescape(str(render.inline(text))) == f"of <em>{name}</em>"
    for sign in "*`[]|$<&~":
        assert len(re.findall(rf"(?<!\\)(?:\\\\)*\\{re.escape(sign)}", literal)) == name.count(sign)
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", literal) == name
