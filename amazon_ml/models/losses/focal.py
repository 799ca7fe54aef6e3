r"""Focal and asymmetric loss: they reduce the weight of predictions that are already right.

Most predictions are an easy "no": a tile has three of 17 tags, and the sum of many small costs may outweigh the few
large ones. Both losses multiply the cost of a prediction by a power of its error. Neither is proper: its expected
value is least not at the probability of the tag, but nearer to 1/2
(Charoenphakdee et al. 2021, *On Focal Loss for Class-Posterior Probability Estimation*), and lower
where presence has the smaller weight, higher where absence is the more discounted. With the arguments
of the papers, for probabilities of .05, .5 and .95 the focal loss is least at .18, .40 and .67, the
asymmetric at .42, .68 and .98. Thresholds tuned on held-out tiles correct for that; a threshold carried over
from cross-entropy does not.

Both are linear in the target: for y in 0..1, they are the mean cost over tiles of which the share y has the tag.

log p, log(1 - p) and the powers of 1 - p are computed from the logit, since p itself rounds to 0 or 1.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from amazon_ml.models.losses.loss import Loss, in_range


class Focal(Loss):
    r"""Focal loss.

    ::

        l(z, y) = -alpha y (1 - p)^gamma log p - (1 - alpha) (1 - y) p^gamma log(1 - p)

    Its derivative is ``alpha (1 - p)^gamma (gamma p log p - (1 - p))`` for y = 1, and
    ``(1 - alpha) p^gamma (p - gamma (1 - p) log(1 - p))`` for y = 0.

    Source: Lin et al. 2017, *Focal Loss for Dense Object Detection*, eq. 5 and appendix B.

    Parameters
    ----------
    tags
        The tag list.
    gamma
        Exponent: how fast the weight of a prediction falls as it gets better, in 0..10.
    alpha
        Weight of presence, in 0..1; the weight of absence is 1 - alpha. With null both have weight 1, and gamma 0 is
        plain cross-entropy.
    """

    def __init__(self, tags: Sequence[str], gamma: float = 2.0, alpha: float | None = 0.25) -> None:
        super().__init__(tags)
        self.gamma = in_range("gamma", gamma, 0, 10)
        self.present, self.absent = 1.0, 1.0
        if alpha is not None:
            self.present = in_range("alpha", alpha, 0, 1)
            self.absent = 1 - alpha

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean over tiles and tags."""
        log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
        present = self.present * torch.exp(self.gamma * log_not_p) * log_p
        absent = self.absent * torch.exp(self.gamma * log_p) * log_not_p
        return -(targets * present + (1 - targets) * absent).mean()


class Asymmetric(Loss):
    r"""Asymmetric loss: absent tags have their own exponent, and no weight where p is small.

    ::

        l(z, y) = -y (1 - p)^gamma_pos log p - (1 - y) q^gamma_neg log(1 - q),    q = max(p - clip, 0)

    Its derivative is ``(1 - p)^gamma_pos (gamma_pos p log p - (1 - p))`` for y = 1, and for y = 0, where
    p > clip, ``p (1 - p) q^gamma_neg (1 / (1 - q) - gamma_neg log(1 - q) / q)``. With a clip it is zero at both ends:
    an absent tag that is predicted with certainty, which may be a wrong label, has no influence either. The powers are
    differentiated, too, as in the formula of the paper; with all three arguments 0 it is plain cross-entropy.

    Source: Ridnik et al. 2021, *Asymmetric Loss for Multi-Label Classification*.

    Parameters
    ----------
    tags
        The tag list.
    gamma_pos, gamma_neg
        Focusing of presence and of absence, in 0..10.
    clip
        Value that is subtracted from the probability of an absent tag, in 0..0.99.
    """

    def __init__(self, tags: Sequence[str], gamma_pos: float = 0.0, gamma_neg: float = 4.0, clip: float = 0.05) -> None:
        super().__init__(tags)
        self.gamma_pos = in_range("gamma_pos", gamma_pos, 0, 10)
        self.gamma_neg = in_range("gamma_neg", gamma_neg, 0, 10)
        self.clip = in_range("clip", clip, 0, 0.99)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean over tiles and tags."""
        log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
        present = torch.exp(self.gamma_pos * log_not_p) * log_p
        # Without a clip, 1 - q = 1 - p rounds to 0, but its log, computed from logs, stays finite.
        log_not_q = torch.logaddexp(log_not_p, torch.full_like(logits, self.clip).log()).clamp(max=0)
        # Above 0, since a power below 1 has no finite derivative at 0.
        q = (logits.sigmoid() - self.clip).clamp(min=torch.finfo(logits.dtype).tiny)
        absent = q**self.gamma_neg * log_not_q
        return -(targets * present + (1 - targets) * absent).mean()
