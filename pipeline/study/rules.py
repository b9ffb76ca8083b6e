"""The decision rules for the claims of the original: plain numbers in, a verdict out.

A claim stays undecided unless the whole interval lies on one side of a bound, so that with
more seeds a verdict only becomes surer.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pipeline.analysis.verdicts import Interval, Verdict
from pipeline.training.settings import Model

# The variants that the claims are about.
RMSPROP, ADADELTA, CNN = "mlp_rmsprop", "mlp_adadelta", "cnn"
RMSPROP_PLAIN, ADADELTA_PLAIN = "mlp_rmsprop_no_dropout", "mlp_adadelta_no_dropout"
CNN_PLAIN = "cnn_no_dropout"
LONGER = "cnn_24_epochs"
CNN_PERMUTED, MLP_PERMUTED = "cnn_permuted", "mlp_adadelta_permuted"

# The bound of claim 3, and the validation accuracy to which claim 4 counts epochs.
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


class ClaimVerdict(StrEnum):
    """The verdict on a claim under one reading."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"
    CONFOUNDED = "confounded in the original"
    UNDECIDED = "undecided"


def gets_worse(rise: Interval, slight: float, strong: float) -> ClaimVerdict:
    """Claim 1, from the mean rise of val_loss above its lowest value, and params.yaml's bounds for one history."""
    if rise[0] >= strong:
        return ClaimVerdict.SUPPORTED
    return ClaimVerdict.NOT_SUPPORTED if rise[1] < slight else ClaimVerdict.UNDECIDED


def caused_by_dropout(first: Model, second: Model) -> ClaimVerdict:
    """Claim 2 as the original made it: a change of the optimizer alone cannot show an effect of dropout."""
    ours, theirs = first.model_dump(exclude={"seeds"}), second.model_dump(exclude={"seeds"})
    changed = {key for key in ours if ours[key] != theirs[key]}
    return ClaimVerdict.CONFOUNDED if changed == {"optimizer"} else ClaimVerdict.UNDECIDED


def reduces(main: Interval, simple: Sequence[Interval], least: float) -> ClaimVerdict:
    """Claim 2 about dropout itself, from its main effect on the logarithm of the rise and its simple effects.

    Supported if the interval of the main effect is below -`least`, the smallest reduction that matters, unless that of
    a simple effect is above 0; not supported if it is above -`least`.
    """
    if main[0] > -least:
        return ClaimVerdict.NOT_SUPPORTED
    opposed = any(low > 0 for low, _ in simple)
    return ClaimVerdict.SUPPORTED if main[1] < -least and not opposed else ClaimVerdict.UNDECIDED


def reach(scores: Sequence[Interval], target: float) -> ClaimVerdict:
    """Claim 3, from the mean score of each model: all of them have to reach the target."""
    if all(low >= target for low, _ in scores):
        return ClaimVerdict.SUPPORTED
    return ClaimVerdict.NOT_SUPPORTED if any(high < target for _, high in scores) else ClaimVerdict.UNDECIDED


def slower(lags: Sequence[Interval], *, unfinished: bool = False, others_unfinished: bool = False) -> ClaimVerdict:
    """Claim 4, from how far the CNN lags behind each MLP, in any unit in which more is slower; all have to agree.

    A seed that never reached the target is counted as reaching it one epoch after its last, which makes its model look
    faster than it is. So the CNN cannot be called faster if some of its seeds are `unfinished`, nor slower if some of
    the MLPs' are (`others_unfinished`).
    """
    if all(low > 0 for low, _ in lags) and not others_unfinished:
        return ClaimVerdict.SUPPORTED
    return (
        ClaimVerdict.NOT_SUPPORTED if all(high < 0 for _, high in lags) and not unfinished else ClaimVerdict.UNDECIDED
    )


def beyond_dropout(found: ClaimVerdict, without: ClaimVerdict) -> ClaimVerdict:
    """Claim 4 where the networks also differ in dropout, from the verdicts with it and without it in all networks.

    Opposite verdicts are confounded: what was observed is dropout's doing. It takes both verdicts.
    """
    if found is without:
        return found
    return ClaimVerdict.UNDECIDED if ClaimVerdict.UNDECIDED in (found, without) else ClaimVerdict.CONFOUNDED


# The verdicts on more epochs that decide claim 5, and those on a pair of networks that decide claim 6.
ON_EPOCHS = {
    Verdict.BETTER: ClaimVerdict.SUPPORTED,
    Verdict.EQUIVALENT: ClaimVerdict.NOT_SUPPORTED,
    Verdict.WORSE: ClaimVerdict.NOT_SUPPORTED,
    Verdict.WORSE_OPEN: ClaimVerdict.NOT_SUPPORTED,
}
ON_CHANCE = {
    Verdict.BETTER: ClaimVerdict.NOT_SUPPORTED,
    Verdict.WORSE: ClaimVerdict.NOT_SUPPORTED,
    Verdict.EQUIVALENT: ClaimVerdict.SUPPORTED,
}


def too_few_epochs(longer: Verdict) -> ClaimVerdict:
    """Claim 5, from the verdict on more epochs: the gain has to be one that matters."""
    return ON_EPOCHS.get(longer, ClaimVerdict.UNDECIDED)


def chance(verdicts: Sequence[Verdict]) -> ClaimVerdict:
    """Claim 6, from the pairwise verdicts: all of them have to show a difference that matters, or that there is none.

    A difference that only excludes 0 may still turn out too small to matter, so it decides nothing yet.
    """
    found = {ON_CHANCE.get(verdict, ClaimVerdict.UNDECIDED) for verdict in verdicts}
    return found.pop() if len(found) == 1 else ClaimVerdict.UNDECIDED


def uses_shape(loss: Interval, least: float) -> ClaimVerdict:
    """Claim 7, first half, from the accuracy that permuting the pixels costs the CNN minus what it costs the MLP."""
    if loss[0] > least:
        return ClaimVerdict.SUPPORTED
    return ClaimVerdict.NOT_SUPPORTED if loss[1] < least else ClaimVerdict.UNDECIDED


def cannot_show(shape: ClaimVerdict) -> ClaimVerdict:
    """Claim 7, second half: MNIST is complex enough to show what was measured on it."""
    opposite = {ClaimVerdict.SUPPORTED: ClaimVerdict.NOT_SUPPORTED, ClaimVerdict.NOT_SUPPORTED: ClaimVerdict.SUPPORTED}
    return opposite.get(shape, ClaimVerdict.UNDECIDED)
