"""The exact forward KL.

For f(u) = u log u the supremum over critics (`divergences`) is reached at g* = 1 + log p/q, which
a flow knows in closed form up to the posterior's entropy:

    E_y KL( p(· | y) ‖ q(· | y) ) = −E log q(v | h(y)) − E_y H[p(· | y)],

and the entropy does not depend on T. The mean negative log-likelihood of the flow therefore *is*
the variational KL with the best of all critics, exactly.
"""

from collections.abc import Iterable

from torch import Tensor, nn

from oceaninv.inference.objectives.base import Step


class NegativeLogLikelihood:
    """−E log q(v | h): the exact forward KL up to the posterior's entropy (module docstring)."""

    critic: nn.Module | None = None
    warm_start_epochs = 0

    def loss(self, step: Step) -> Tensor:
        """The mean over the batch."""
        return step.map.negative_log_likelihood(step.v, step.context, step.generator).mean()

    def critic_losses(self, step: Step) -> Iterable[Tensor]:
        """No critic, no losses."""
        return ()
