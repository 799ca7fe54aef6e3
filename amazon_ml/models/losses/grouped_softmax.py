r"""One question with several answers, beside many of yes or no: soft-max for the weather, sigmoids for the ground.

Every tile has exactly one weather tag, so its logits may share a total of 1 ::

    q_k = exp(z_k) / sum_j exp(z_j)    over the weather tags
    p_k = 1 / (1 + exp(-z_k))          for each other tag

and a tile costs its negative log-likelihood, as before, divided by the number of all tags ::

    l(z, y) = ( -sum y_k log q_k  +  sum bce(z_k, y_k) ) / tags

which counts the weather once where sigmoids ask about it four times. log q is ``z - logsumexp(z)``,
finite for any finite logits. Probabilities stay one a tag; the weather's now sum to 1.

The derivative is ``p - y`` for the ground and ``s q - y`` for the weather, where s is the sum of the
tile's weather targets: 1 by the rule, for mixed tiles too. The loss is linear in y, so s is the tile's weight in
the question: one without weather has s = 0 and teaches none, one whose label is half doubted counts half,
one with two labels twice. For any s above 0 the minimum lies at q = y / s.

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
        The tag list; exactly one of some of them must be declared to hold for every tile.

    Raises
    ------
    InputError
        For a tag list without such a group.
    """

    weather: torch.Tensor
    ground: torch.Tensor

    def __init__(self, tags: Sequence[str]) -> None:
        super().__init__(tags)
        group = declared(tags).exactly_one
        if not group:
            raise InputError(
                "model.loss: grouped_softmax is for the competition's tags, of which every tile has one of a group; "
                f"there is no such group among {', '.join(tags)}"
            )
        for name, inside in (("weather", True), ("ground", False)):
            columns = [i for i, tag in enumerate(tags) if (tag in group) == inside]
            self.register_buffer(name, torch.tensor(columns), persistent=False)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean over tiles of the negative log-likelihood, divided by the number of tags."""
        weather = -(targets[:, self.weather] * logits[:, self.weather].log_softmax(dim=1)).sum()
        ground = F.binary_cross_entropy_with_logits(logits[:, self.ground], targets[:, self.ground], reduction="sum")
        return (weather + ground) / logits.numel()

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """One probability a tag: a soft-max over the weather, a sigmoid for each other tag."""
        return logits.sigmoid().index_copy(1, self.weather, logits[:, self.weather].softmax(dim=1))

    def prior_logits(self, frequencies: torch.Tensor) -> torch.Tensor:
        """Logits that give each tag's frequency; the weather's, where they do not sum to 1, in proportion."""
        weather = frequencies[self.weather].clamp(min=1e-4).log()
        return prior_logits(frequencies).index_copy(0, self.weather, weather)
