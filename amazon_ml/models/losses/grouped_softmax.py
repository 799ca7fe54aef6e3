r"""Grouped soft-max: a soft-max over the weather tags, which exclude each other, and sigmoids for the other tags.

Every tile has exactly one weather tag, so its logits may share a total of 1 ::

    q_k = exp(z_k) / sum_j exp(z_j)    over the weather tags
    p_k = 1 / (1 + exp(-z_k))          for each other tag

and the cost of a tile is its negative log-likelihood, divided by the number of all tags ::

    l(z, y) = ( -sum y_k log q_k  +  sum bce(z_k, y_k) ) / tags

which counts the weather once instead of four times as with sigmoids. log q is ``z - logsumexp(z)``,
finite for any finite logits. There is still one probability for each tag; those of the weather have the sum 1.

The derivative is ``p - y`` for the ground and ``s q - y`` for the weather, where s is the sum of the weather targets of
the tile: 1 by the rule, also for mixed tiles. The loss is linear in y, so s is the weight of the tile: without weather
it is 0, with a half doubted label one half, with two labels 2. For any s above 0 the minimum lies at q = y / s.

Sources: Bishop 2006, *Pattern Recognition and Machine Learning*, section 4.3.4, eq. 4.104 to 4.109.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from amazon_ml.errors import InputError
from amazon_ml.labels import declared
from amazon_ml.models.losses.loss import Loss, prior_logits


class GroupedSoftmax(Loss):
    """Soft-max cross-entropy of the tags that exclude each other, binary cross-entropy of the others.

    Parameters
    ----------
    tags
        The tag list; it must have a group of which every tile has exactly one tag.

    Raises
    ------
    InputError
        If the tag list has no such group.
    """

    weather: torch.Tensor
    ground: torch.Tensor

    def __init__(self, tags: Sequence[str]) -> None:
        super().__init__(tags)
        group = declared(tags).exactly_one
        if not group:
            raise InputError(
                "`model.loss` grouped_softmax is for the tags of the competition, of which every tile has one of a "
                f"group; there is no such group among {', '.join(tags)}", option="model.loss",
            )  # fmt: skip
        for name, inside in (("weather", True), ("ground", False)):
            columns = [i for i, tag in enumerate(tags) if (tag in group) == inside]
            self.register_buffer(name, torch.tensor(columns), persistent=False)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean over tiles of the negative log-likelihood, divided by the number of tags."""
        weather = -(targets[:, self.weather] * logits[:, self.weather].log_softmax(dim=1)).sum()
        ground = F.binary_cross_entropy_with_logits(logits[:, self.ground], targets[:, self.ground], reduction="sum")
        return (weather + ground) / logits.numel()

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Compute one probability for each tag: a soft-max over the weather, a sigmoid for each other tag."""
        return logits.sigmoid().index_copy(1, self.weather, logits[:, self.weather].softmax(dim=1))

    def prior_logits(self, frequencies: torch.Tensor) -> torch.Tensor:
        """Compute the logits of the frequencies of the tags; those of the weather are scaled to the sum 1."""
        weather = frequencies[self.weather].clamp(min=1e-4).log()
        return prior_logits(frequencies).index_copy(0, self.weather, weather)
