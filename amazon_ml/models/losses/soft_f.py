r"""Cross-entropy plus a smooth F-beta.

F-beta is a function of counts; with probabilities instead of counts it has a derivative. For one tile ::

    F = (1 + beta^2) sum(y p) / (beta^2 sum(y) + sum(p))

is equal to the metric if every p is 0 or 1, and so is its mean over tiles. The loss is ::

    bce + weight (1 - mean of F over tiles)

The derivative of F by one logit is ``p (1 - p) ((1 + beta^2) y - F) / (beta^2 sum(y) + sum(p))``. It vanishes where p
saturates, also for a wrong prediction: only the cross-entropy corrects a confident mistake.

For a tile without tags this F would be 0 for any p, where the metric is 1 if no tag is predicted and 0 otherwise. There
F is the product of all 1 - p: the probability that no tag is drawn, if each is drawn with its p.

F is not largest at the true probabilities, but at 0 and 1. So probabilities become too extreme: calibrate them before
a rule that depends on their values. A target y in 0..1 counts for that share of a tag; even p = y then has F below 1.

Sources: Bénédict et al. 2021, *sigmoidF1: A Smooth F1 Score Surrogate Loss for Multilabel
Classification* (smooth counts, there over a batch); van Rijsbergen 1979, *Information Retrieval*, ch. 7 (F-beta).
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from amazon_ml.models.losses.loss import Loss, in_range


class SoftF(Loss):
    """Cross-entropy plus a share of 1 - soft F-beta of each tile.

    Parameters
    ----------
    tags
        The tag list.
    weight
        Weight of the soft F-beta, in 0..100; 0 is plain cross-entropy.
    beta
        Weight of recall against precision, in 0.01..100.
    """

    def __init__(self, tags: Sequence[str], weight: float = 1.0, beta: float = 2.0) -> None:
        super().__init__(tags)
        self.weight, self.beta = in_range("weight", weight, 0, 100), in_range("beta", beta, 0.01, 100)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean over tiles."""
        p = logits.sigmoid()
        tags = targets.sum(dim=1)
        size = self.beta**2 * tags + p.sum(dim=1)
        score = (1 + self.beta**2) * (targets * p).sum(dim=1) / size.clamp(min=1e-12)
        score = torch.where(tags > 0, score, F.logsigmoid(-logits).sum(dim=1).exp())
        return F.binary_cross_entropy_with_logits(logits, targets) + self.weight * (1 - score.mean())
