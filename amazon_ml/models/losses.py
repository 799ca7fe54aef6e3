r"""Losses: from logits and multi-hot targets to one number.

Binary cross-entropy for multilabel targets
-------------------------------------------
A tile's target is a vector y of zeros and ones, one entry a tag, with any number of ones. It is not
a distribution over tags (it need not sum to 1), so a soft-max, which makes the tags compete for a
total of 1, is the wrong link. Each tag is a question of its own: the sigmoid turns its logit z into
a probability p = 1 / (1 + exp(-z)), and the answer costs its negative log-likelihood, in nats ::

    l(z, y) = -y log p - (1 - y) log(1 - p)

Why logits. In float32 the sigmoid rounds to 1 above about z = 17, and to 0 below about -89, and a log of it
is infinite. Written in z, the same loss needs no such log, and nothing overflows ::

    l(z, y) = max(z, 0) - z y + log(1 + exp(-|z|))

Its derivative is p - y: bounded, and zero only at the truth.

Reduction. ``BCEWithLogitsLoss()`` takes the mean over all tiles *and* tags. The summed form, which
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
from torch import nn

from amazon_ml.errors import InputError

#: Name to a module that takes logits and targets, both (tiles, tags), and returns a scalar.
LOSSES: dict[str, type[nn.Module]] = {"bce": nn.BCEWithLogitsLoss}


def make_loss(name: str) -> nn.Module:
    """Look up a loss by name.

    Returns
    -------
    Module that takes float logits and targets in 0..1, both of shape (tiles, tags), and returns a
    scalar tensor.
    """
    if name not in LOSSES:
        raise InputError(f"model.loss: there is no loss {name!r}; there are {', '.join(LOSSES)}")
    return LOSSES[name]()


def prior_logits(frequencies: torch.Tensor) -> torch.Tensor:
    """Logits at which the sigmoid gives each tag's frequency, as a start for the head's bias.

    The loss then begins at the entropy of the frequencies, rather than at log 2.

    Parameters
    ----------
    frequencies
        Share of tiles that carry each tag, in 0..1; clamped off 0 and 1 to stay finite.
    """
    return torch.logit(frequencies, eps=1e-4)
