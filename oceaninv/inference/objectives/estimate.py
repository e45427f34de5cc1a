"""An estimate of a divergence by a critic that has seen nothing yet."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from oceaninv.inference.critics import Critic, gradient_penalty
from oceaninv.inference.objectives.divergences import Divergence
from oceaninv.threads import one_thread

# n, generator -> z (n, d), h (n, c)
Sampler = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


def estimate_divergence(
    divergence: Divergence,
    sample_p: Sampler,
    sample_q: Sampler,
    *,
    steps: int = 1500,
    batch_size: int = 1024,
    held_out: int = 50_000,
    hidden: int = 64,
    penalty: float = 1e-4,
    learning_rate: float = 3e-3,
    generator: torch.Generator,
) -> tuple[float, float]:
    """D(P‖Q) by a fresh critic, evaluated on draws of its own: for an f-divergence a lower bound.

    Args:
        divergence: one of `DIVERGENCES`, or a `PrecisionRecall`
        sample_p, sample_q: (n, generator) -> z (n, d), h (n, c), fresh draws of P and of Q
        steps, batch_size, hidden, penalty, learning_rate: see `train_critic`
        held_out: draws of each that the estimate is made with
        generator: of all randomness, the critic's initialisation included

    Returns:
        the estimate in nats (`vina-pr`: a probability) and its standard error
    """
    critic = train_critic(
        divergence,
        sample_p,
        sample_q,
        steps=steps,
        batch_size=batch_size,
        hidden=hidden,
        penalty=penalty,
        learning_rate=learning_rate,
        generator=generator,
    )
    return evaluate_critic(
        divergence, critic, sample_p(held_out, generator), sample_q(held_out, generator)
    )


@one_thread()
def train_critic(
    divergence: Divergence,
    sample_p: Sampler,
    sample_q: Sampler,
    *,
    steps: int,
    batch_size: int,
    hidden: int,
    penalty: float,
    learning_rate: float,
    generator: torch.Generator,
) -> Critic:
    """A critic trained from nothing, by Adam on a cosine.

    Args:
        divergence: whose bound it maximises
        sample_p, sample_q: as for `estimate_divergence`
        steps: of training
        batch_size: draws of each in a step
        hidden: width of the critic
        penalty: weight of the gradient penalty
        learning_rate: at the start
        generator: of all randomness
    """
    z, h = sample_p(2, generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        critic = Critic(z.shape[-1], h.shape[-1], hidden)
    optimiser = torch.optim.Adam(critic.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        p, q = sample_p(batch_size, generator), sample_q(batch_size, generator)
        loss = -divergence.bound(critic(*p), critic(*q))
        if penalty:
            pairs = torch.cat([p[0], q[0]]), torch.cat([p[1], q[1]])
            loss = loss + penalty * gradient_penalty(critic, *pairs)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(critic.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    return critic


@torch.no_grad()
def evaluate_critic(
    divergence: Divergence,
    critic: nn.Module,
    p: tuple[Tensor, Tensor],
    q: tuple[Tensor, Tensor],
) -> tuple[float, float]:
    """The estimate and its standard error from independent draws of P and of Q."""
    on_p, on_q = divergence.on_p(critic(*p)).double(), divergence.on_q(critic(*q)).double()
    error = math.sqrt(on_p.var().item() / len(on_p) + on_q.var().item() / len(on_q))
    return (on_p.mean() + on_q.mean()).item(), error
