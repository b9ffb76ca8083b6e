"""The rules by which measurements decide the original report's claims: plain numbers in, a finding out.

An interval is (low, high). Nothing is decided by an estimate whose interval leaves it open.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pipeline.analysis.multitest import Verdict
from pipeline.params import Model

Interval = tuple[float, float]

# The variants that the claims speak of.
RMSPROP, ADADELTA, CNN = "mlp_rmsprop", "mlp_adadelta", "cnn"
RMSPROP_PLAIN, ADADELTA_PLAIN = "mlp_rmsprop_no_dropout", "mlp_adadelta_no_dropout"
LONGER = "cnn_24_epochs"
CNN_PERMUTED, MLP_PERMUTED = "cnn_permuted", "mlp_adadelta_permuted"

# Claim 3's bound, and the validation accuracy until which claim 4 counts epochs.
RECOGNISED = 0.988
TARGET = 0.98

SENTENCES = {
    1: "With RMSprop the loss gets worse as training goes on: the network begins to overfit.",
    2: "Dropout prevented the overfitting (said of the change from RMSprop to Adadelta).",
    3: "Both kinds of network recognise at least 98.8%.",
    4: "The CNN converges more slowly.",
    5: "Perhaps 12 epochs were not enough for the CNN.",
    6: "Or the differences between the networks are chance.",
    7: "The CNN keeps the shape that flattening loses, but MNIST is not complex enough to show it.",
}


class Finding(StrEnum):
    """What becomes of a claim under one reading."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"
    CONFOUNDED = "confounded in the report"
    UNDECIDED = "undecided"


def gets_worse(rise: Interval, slight: float, strong: float) -> Finding:
    """Claim 1, from the mean rise of val_loss over its lowest value, and params.yaml's bounds for one history."""
    if rise[0] >= strong:
        return Finding.SUPPORTED
    return Finding.NOT_SUPPORTED if rise[1] < slight else Finding.UNDECIDED


def caused_by_dropout(first: Model, second: Model) -> Finding:
    """Claim 2 as it was said: where the optimizer alone was changed, nothing can be put down to dropout."""
    ours, theirs = first.model_dump(exclude={"seeds"}), second.model_dump(exclude={"seeds"})
    changed = {key for key in ours if ours[key] != theirs[key]}
    return Finding.CONFOUNDED if changed == {"optimizer"} else Finding.UNDECIDED


def reduces(main: Interval, simple: Sequence[Interval], least: float) -> Finding:
    """Claim 2 of dropout itself, from its effects on the logarithm of the rise: on average, and with each optimizer.

    An average surely below 0 supports it, unless dropout surely raises the rise with one of the optimizers. An average
    that surely falls short of a reduction by `least`, which would count, speaks against it.
    """
    if main[0] > -least:
        return Finding.NOT_SUPPORTED
    opposed = any(low > 0 for low, _ in simple)
    return Finding.SUPPORTED if main[1] < 0 and not opposed else Finding.UNDECIDED


def reach(scores: Sequence[Interval], target: float) -> Finding:
    """Claim 3, from the mean score of each model: it says so of all of them."""
    if all(low >= target for low, _ in scores):
        return Finding.SUPPORTED
    return Finding.NOT_SUPPORTED if any(high < target for _, high in scores) else Finding.UNDECIDED


def slower(lags: Sequence[Interval], *, unfinished: bool = False, others_unfinished: bool = False) -> Finding:
    """Claim 4, from how far the CNN lags behind each MLP, in any unit in which more is slower: all have to agree.

    A seed that never reached the target is counted as the epoch after its last, which makes its model look too fast.
    So `unfinished` seeds of the CNN leave open that it is not slower, those of the others that it is.
    """
    if all(low > 0 for low, _ in lags) and not others_unfinished:
        return Finding.SUPPORTED
    return Finding.NOT_SUPPORTED if all(high < 0 for _, high in lags) and not unfinished else Finding.UNDECIDED


def too_few_epochs(longer: Verdict, *, within_smallest_effect: bool) -> Finding:
    """Claim 5, from the judgement of more epochs: what they add has to be there and be enough to matter."""
    if longer is Verdict.UNDECIDED:
        return Finding.UNDECIDED
    return Finding.SUPPORTED if longer is Verdict.BETTER and not within_smallest_effect else Finding.NOT_SUPPORTED


def chance(verdicts: Sequence[Verdict]) -> Finding:
    """Claim 6, from the judgements of the pairs: a difference that seeds do not explain speaks against it."""
    if all(verdict in (Verdict.BETTER, Verdict.WORSE) for verdict in verdicts):
        return Finding.NOT_SUPPORTED
    equivalent = all(verdict is Verdict.EQUIVALENT for verdict in verdicts)
    return Finding.SUPPORTED if equivalent else Finding.UNDECIDED


def uses_shape(loss: Interval, least: float) -> Finding:
    """Claim 7's first half, from the accuracy that permuted pixels cost the CNN less that which they cost the MLP."""
    if loss[0] > least:
        return Finding.SUPPORTED
    return Finding.NOT_SUPPORTED if loss[1] < least else Finding.UNDECIDED


def cannot_show(shape: Finding) -> Finding:
    """Claim 7's second half: what MNIST shows, it is complex enough to show."""
    opposite = {Finding.SUPPORTED: Finding.NOT_SUPPORTED, Finding.NOT_SUPPORTED: Finding.SUPPORTED}
    return opposite.get(shape, Finding.UNDECIDED)
