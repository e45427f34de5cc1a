"""nll with a weight times another objective."""

from collections.abc import Iterable

from torch import Tensor

from oceaninv.inference.objectives.base import Objective, Step
from oceaninv.inference.objectives.likelihood import NegativeLogLikelihood

_RAMP = 0.5  # share of the training in which the weight rises


class Hybrid:
    """nll + w · added.

    After a share s of the training w is `weight` times 1 (constant), min(2s, 1) (ramp) or 1 − s
    (decay).

    Args:
        added: any other objective
        weight: at full strength, 0 or above
        schedule: "constant", "ramp" or "decay"
    """

    def __init__(self, added: Objective, weight: float, schedule: str) -> None:
        self.likelihood = NegativeLogLikelihood()
        self.added = added
        self.critic = added.critic
        self.warm_start_epochs = added.warm_start_epochs
        self.weight, self.schedule = weight, schedule

    def weight_at(self, share: float) -> float:
        """The weight after this share of the training."""
        factor = {"constant": 1.0, "ramp": min(share / _RAMP, 1.0), "decay": 1 - share}
        return self.weight * factor[self.schedule]

    def loss(self, step: Step) -> Tensor:
        """Both losses of a batch."""
        return self.likelihood.loss(step) + self.weight_at(step.share) * self.added.loss(step)

    def critic_losses(self, step: Step) -> Iterable[Tensor]:
        """Those of the added objective."""
        return self.added.critic_losses(step)
