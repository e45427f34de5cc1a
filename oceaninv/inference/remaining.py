"""What training has left: a divergence between truth and network, by a critic that is new to both.

The critic is trained on simulations that the map has not seen and judged on others again. It
bounds from below E_h D(p(· | h) ‖ q(· | h)), where D is twice the Jensen-Shannon divergence, at
most 2 log 2, and h the network's own summary of the data y. What the summary loses of y is not
seen: q may be exact given h and far from p(· | y). The classifier of `calibrate` asks that.
"""

from typing import Any

import torch
from torch import Tensor, nn

from oceaninv.inference.estimator import Estimator
from oceaninv.inference.fitting import Draw
from oceaninv.inference.networks import Network
from oceaninv.inference.objectives.divergences import DIVERGENCES
from oceaninv.inference.objectives.estimate import Sampler, evaluate_critic, train_critic

_REPEATS = 4  # noise draws of each simulation that the critic learns from
_BATCH = 512
# The best of critics taught for so many steps is taken, at the best of some shares of the log ratio
# that it tells: one that was taught long on few simulations knows them by heart, and its bound on
# others is far below zero. At the least share the bound is near zero: that of what none can see.
_STEPS = (25, 100, 400)
_SHARES = (1 / 64, 1 / 16, 1 / 4, 1 / 2, 1.0)
_TUNE = 0.25  # of those not held out say which is the best, by its bound less a standard error
_HELD_OUT = 0.4  # of the simulations judge it


def remaining_divergence(
    estimator: Network, draw: Draw, n: int, *, seed: int, name: str = "js"
) -> dict[str, Any]:
    """The divergence from the posteriors to the network's, over n fresh simulations.

    In the latent form for the cINN: P the pairs (T(v; h), h), Q the pairs (z, h). An INN is judged
    by its draws, in the data form: P the pairs (v, y), Q the pairs (T⁻¹(y, z), y).

    Args:
        estimator: the trained network
        draw: gives fresh pairs by index
        n: how many there are
        seed: of noise, draws and critic
        name: of `DIVERGENCES`

    Returns:
        plain JSON: `divergence` ("js" is twice the Jensen-Shannon one), `form`, `estimate` in nats,
        its standard `error`, the 95 % interval `lower` to `upper`, and `n`, the simulations that
        it was judged on
    """
    of = DIVERGENCES[name]
    generator = torch.Generator().manual_seed(seed)
    held_out = max(2, round(_HELD_OUT * n))
    index = torch.arange(n)
    latent = isinstance(estimator, Estimator)
    tuned = held_out + max(2, round(_TUNE * (n - held_out)))
    learn = _pairs(estimator, draw, index[tuned:].repeat(_REPEATS), latent, generator)
    tune = _pairs(estimator, draw, index[held_out:tuned], latent, generator)
    # one noise draw each, so that the terms are independent
    judge = _pairs(estimator, draw, index[:held_out], latent, generator)
    taught = [
        train_critic(
            of,
            _resampled(learn[0]),
            _resampled(learn[1]),
            steps=steps,
            batch_size=_BATCH,
            hidden=64,
            penalty=0.01,
            learning_rate=2e-3,
            generator=generator,
        )
        for steps in _STEPS
    ]
    critics = [_Calmed(critic, share) for critic in taught for share in _SHARES]
    surely = [bound - error for bound, error in (evaluate_critic(of, c, *tune) for c in critics)]
    critic = critics[surely.index(max(surely))]
    estimate, error = evaluate_critic(of, critic, *judge)
    return {
        "divergence": name,
        "form": "latent" if latent else "data",
        "estimate": round(estimate, 5),
        "error": round(error, 5),
        "lower": round(estimate - 1.96 * error, 5),
        "upper": round(estimate + 1.96 * error, 5),
        "n": held_out,
    }


class _Calmed(nn.Module):
    """A critic that believes a share of what another one says."""

    def __init__(self, critic: nn.Module, share: float) -> None:
        super().__init__()
        self.critic, self.share = critic, share

    def forward(self, z: Tensor, context: Tensor) -> Tensor:
        return self.share * self.critic(z, context)


Pairs = tuple[Tensor, Tensor]


@torch.no_grad()
def _pairs(
    estimator: Network, draw: Draw, index: Tensor, latent: bool, generator: torch.Generator
) -> tuple[Pairs, Pairs]:
    """Pairs of P and of Q at the same measurements."""
    of_p, of_q, contexts = [], [], []
    for part in index.split(4096):
        v, features = draw(part, generator)
        conditions = estimator.condition(features)
        if latent:
            whitened = conditions.whiten(v)
            of_p.append(estimator.flow.to_latent(whitened, conditions.context, generator))
            of_q.append(torch.randn(v.shape, generator=generator))
        else:
            of_p.append(v)
            of_q.append(estimator.draw(conditions, generator))
        contexts.append(conditions.context)
    context = torch.cat(contexts)
    return (torch.cat(of_p), context), (torch.cat(of_q), context)


def _resampled(pairs: Pairs) -> Sampler:
    """Draws with replacement."""

    def sample(n: int, generator: torch.Generator) -> Pairs:
        index = torch.randint(len(pairs[0]), (n,), generator=generator)
        return pairs[0][index], pairs[1][index]

    return sample
