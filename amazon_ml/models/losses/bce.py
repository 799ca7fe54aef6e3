r"""Binary cross-entropy for multilabel targets.

The target of a tile is a vector y of zeros and ones, with one entry for each tag and any number of ones. It is not a
distribution over tags (its sum need not be 1), so a soft-max, in which the tags compete for a total of 1, is the wrong
link. Each tag is a separate question: the sigmoid converts its logit z to a probability p = 1 / (1 + exp(-z)), and the
cost is the negative log-likelihood, in nats ::

    l(z, y) = -y log p - (1 - y) log(1 - p)

Why logits. In float32 the sigmoid rounds to 1 above about z = 17, and to 0 below about -89, and its log is infinite.
As a function of z, the same loss needs no such log, and cannot overflow ::

    l(z, y) = max(z, 0) - z y + log(1 + exp(-|z|))

Its derivative is p - y: bounded, and zero only at the truth.

Soft targets. A target between 0 and 1, from mixed tiles or doubted labels, is the share of tiles like this one that
have the tag. The loss is linear in y, so it is the mean loss over such tiles, and its minimum, the entropy of y, lies
at p = y.

Reduction. `BCE` is the mean over all tiles *and* tags. The sum over tags, which is the negative log-likelihood of the
whole tag set of a tile under independence, is ``len(tags)`` times larger. Both have the same minimum. Plain gradient
descent would need another learning rate. The step of AdamW hardly depends on the scale of the loss. Clipping by the
norm of the gradient (`gradient_clip_val`) does depend on it.

Reading a value. A constant prediction of the frequency f of each tag costs the entropy of f. On the tags of the
competition the mean is 0.26 nats per tag; a network with a lower loss has learned more than frequencies.

Sources: Bishop 2006, *Pattern Recognition and Machine Learning*, section 4.3.2 and eq. 4.90-4.91;
PyTorch's documentation of ``BCEWithLogitsLoss``.
"""

import torch
from torch.nn import functional as F

from amazon_ml.models.losses.loss import Loss


class BCE(Loss):
    """Binary cross-entropy of sigmoids, from logits."""

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean over tiles and tags of ``max(z, 0) - z y + log(1 + exp(-|z|))``."""
        return F.binary_cross_entropy_with_logits(logits, targets)
