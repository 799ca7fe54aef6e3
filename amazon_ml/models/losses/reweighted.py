r"""Binary cross-entropy with a larger weight of rare tags, or with smoothed targets.

Both are cross-entropy of other targets, or of another distribution of tiles. So both have a bounded derivative and are
convex in the logit, and the probabilities that they teach differ from those of the tags as described below.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from amazon_ml.models.losses.loss import Loss, in_range


class PosWeight(Loss):
    r"""Cross-entropy with a larger weight for the presence of rare tags.

    ::

        l(z, y) = -w y log p - (1 - y) log(1 - p),    w = ((1 - f) / f) ^ power

    with f the frequency of the tag among the training tiles, and w limited to 1/cap..cap. With power 1, presence and
    absence have the same total weight; power 0 is plain cross-entropy. The derivative is ``(w y + 1 - y) p - w y``;
    for a target y in 0..1 the minimum lies at ``p = w y / (w y + 1 - y)``.

    So the odds are w times too high. A preference for recall belongs to the decision, whose thresholds are tuned for it
    on calibrated probabilities; with both, the decision must first undo the weights. There may be a gain for tags so
    rare that their derivatives are negligible otherwise.

    Sources: Elkan 2001, *The Foundations of Cost-Sensitive Learning* (a weight is a shifted threshold);
    PyTorch's documentation of ``BCEWithLogitsLoss``.

    Parameters
    ----------
    tags
        The tag list.
    power
        Exponent of the weights, in 0..1.
    cap
        Largest weight, 1 or more.
    """

    weights: torch.Tensor
    needs_frequencies = True

    def __init__(self, tags: Sequence[str], power: float = 0.5, cap: float = 10.0) -> None:
        super().__init__(tags)
        self.power, self.cap = in_range("power", power, 0, 1), in_range("cap", cap, 1, 1e6)
        self.register_buffer("weights", torch.ones(len(tags)), persistent=False)

    def learn_frequencies(self, frequencies: torch.Tensor) -> None:
        """Set the weights, which are 1 before, from the share of training tiles with each tag."""
        odds_against = (1 - frequencies) / frequencies  # infinite for a tag that no tile has
        self.weights = odds_against.pow(self.power).clamp(1 / self.cap, self.cap).to(self.weights)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean over tiles and tags."""
        return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=self.weights)


class LabelSmoothing(Loss):
    r"""Cross-entropy with targets moved towards 1/2, so that the best logits are finite.

    ::

        l(z, y) = bce(z, y'),    y' = (1 - amount) y + amount / 2

    A tag is a question with two answers, so each answer gets half of the smoothed share. The derivative is ``p - y'``,
    and for a target y in 0..1 the minimum lies at ``p = y'``: no probability ends below amount / 2, which is more than
    the frequency of a rare tag. The order of tiles does not change, but fixed thresholds below that have no effect.

    Sources: Szegedy et al. 2016, *Rethinking the Inception Architecture for Computer Vision*, section 7;
    Müller, Kornblith and Hinton 2019, *When Does Label Smoothing Help?*

    Parameters
    ----------
    tags
        The tag list.
    amount
        Smoothed share, in 0..1; 0 is plain cross-entropy, and 1 makes all targets 1/2.
    """

    def __init__(self, tags: Sequence[str], amount: float = 0.1) -> None:
        super().__init__(tags)
        self.amount = in_range("amount", amount, 0, 1)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean over tiles and tags."""
        return F.binary_cross_entropy_with_logits(logits, (1 - self.amount) * targets + self.amount / 2)
