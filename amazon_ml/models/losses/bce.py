r"""Binary cross-entropy for multilabel targets.

A tile's target is a vector y of zeros and ones, one entry a tag, with any number of ones. It is not
a distribution over tags (it need not sum to 1), so a soft-max, which makes the tags compete for a
total of 1, is the wrong link. Each tag is a question of its own: the sigmoid turns its logit z into
a probability p = 1 / (1 + exp(-z)), and the answer costs its negative log-likelihood, in nats ::

    l(z, y) = -y log p - (1 - y) log(1 - p)

Why logits. In float32 the sigmoid rounds to 1 above about z = 17, and to 0 below about -89, and a log of it
is infinite. Written in z, the same loss needs no such log, and nothing overflows ::

    l(z, y) = max(z, 0) - z y + log(1 + exp(-|z|))

Its derivative is p - y: bounded, and zero only at the truth.

Soft targets. A target between 0 and 1, from mixed tiles or doubted labels, is the share of tiles like
this one that carry the tag. The loss is linear in y, so it is the mean loss over such tiles, and its minimum,
the entropy of y, lies at p = y.

Reduction. `BCE` takes the mean over all tiles *and* tags. The summed form, which
is the negative log-likelihood of a tile's whole tag set under independence, is ``len(tags)`` times
that. The two have the same minimum. Plain gradient descent would want another learning rate; AdamW's
step does not change with the loss's scale; a bound on the gradient's norm does mean another thing.

Reading a value. Always predicting each tag's frequency f costs the entropy of f. On the
competition's tags that averages 0.26 nats a tag; a network below it has learnt something beyond
frequencies.

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
