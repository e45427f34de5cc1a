"""What training minimises: the exact forward KL, or a variational f-divergence with a critic.

Write p(v, y) for the joint of unknowns and measurements, h = h(y) for the summary, T for the flow
and q(v | h) for the density that it defines. The map T(·; h) is invertible, so the divergence of
the pairs (y, T(v; h)) from P_Y × N(0, I) equals that of (y, v) from (y, T⁻¹(z; h)):

    D_f( P_{Y, T(V; Y)} ‖ P_Y × N(0, I) ) = E_y D_f( p(· | y) ‖ q(· | y) ).

**nll.** For f(u) = u log u the supremum over critics (below) is reached at g* = 1 + log p/q, which
a flow knows in closed form up to the posterior's entropy:

    E_y KL( p(· | y) ‖ q(· | y) ) = −E log q(v | h(y)) − E_y H[p(· | y)],

and the entropy does not depend on T. The mean negative log-likelihood of the flow therefore *is*
the variational KL with the best of all critics, exactly.

**vina-kl, vina-js.** D_f(P‖Q) = sup_g { E_P[a_f(g)] − E_Q[f*(a_f(g))] } (Nguyen, Wainwright &
Jordan 2010; Nowozin, Cseke & Tomioka 2016, table 2), here in the latent form: P the pairs
(T(v; h), h), Q the pairs (z, h) with z ~ N(0, I) of its own, and a critic network g(z, h). Any
critic gives a lower bound. Only the first expectation depends on T. The critic takes several
penalised steps for each step of the map, and the map starts from some epochs of nll.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from oceaninv.errors import InputError
from oceaninv.inference.critics import Critic, gradient_penalty
from oceaninv.inference.flow import Flow
from oceaninv.scenario.training import Training


@dataclass(frozen=True)
class Divergence:
    """An f-divergence, D_f(P‖Q) = E_Q[f(p/q)], by its variational pieces.

    Args:
        activation: a_f, maps the critic's output into the domain of f*
        conjugate_of_activation: f*(a_f(v)), written as one function for its digits
    """

    activation: Callable[[Tensor], Tensor]
    conjugate_of_activation: Callable[[Tensor], Tensor]

    def bound(self, on_p: Tensor, on_q: Tensor) -> Tensor:
        """E_P[a_f(g)] − E_Q[f*(a_f(g))] from the critic's values on draws of P and of Q."""
        return self.activation(on_p).mean() - self.conjugate_of_activation(on_q).mean()


DIVERGENCES = {
    # f(u) = u log u;  a(v) = v,  f*(t) = exp(t − 1)
    "kl": Divergence(lambda v: v, lambda v: torch.exp(v - 1)),
    # f(u) = u log u − (u + 1) log((1 + u)/2), twice the Jensen-Shannon divergence;
    # a(v) = log 2 − log(1 + e^−v),  f*(t) = −log(2 − e^t) = log(1 + e^v) − log 2
    "js": Divergence(
        lambda v: math.log(2) - functional.softplus(-v),
        lambda v: functional.softplus(v) - math.log(2),
    ),
}


class NegativeLogLikelihood:
    """−E log q(v | h): the exact forward KL up to the posterior's entropy (module docstring)."""

    critic: nn.Module | None = None
    critic_steps = 0
    warm_start_epochs = 0

    def loss(self, flow: Flow, v: Tensor, context: Tensor) -> Tensor:
        """Scalar to minimise; v (n, d) normal scores, context (n, c)."""
        return -flow.log_prob(v, context).mean()

    def critic_losses(
        self, flow: Flow, v: Tensor, context: Tensor, generator: torch.Generator
    ) -> Iterable[Tensor]:
        """No critic, no losses."""
        return ()


class Variational:
    """sup_g { E_P[a_f(g)] − E_Q[f*(a_f(g))] } in the latent form, with its critic."""

    def __init__(self, divergence: Divergence, dim: int, settings: Training) -> None:
        self.divergence = divergence
        self.critic: nn.Module | None = Critic(dim, settings.context, settings.critic_hidden)
        self.critic_steps = settings.critic_steps
        self.warm_start_epochs = settings.warm_start_epochs
        self.penalty = settings.critic_penalty

    def loss(self, flow: Flow, v: Tensor, context: Tensor) -> Tensor:
        """E_P[a_f(g)], the part of the bound that moves with T; the critic is held fixed."""
        assert self.critic is not None
        z, _ = flow(v, context)
        # the critic compares latents at a given summary: the map must not game it through h
        return self.divergence.activation(self.critic(z, context.detach())).mean()

    def critic_losses(
        self, flow: Flow, v: Tensor, context: Tensor, generator: torch.Generator
    ) -> Iterable[Tensor]:
        """One loss for each step of the critic: −bound + penalty, with fresh draws of Q."""
        assert self.critic is not None
        context = context.detach()
        with torch.no_grad():
            z, _ = flow(v, context)
        for _ in range(self.critic_steps):
            base = torch.randn(z.shape, generator=generator)
            bound = self.divergence.bound(self.critic(z, context), self.critic(base, context))
            penalty = gradient_penalty(
                self.critic, torch.cat([z, base]), torch.cat([context, context])
            )
            yield self.penalty * penalty - bound


Objective = NegativeLogLikelihood | Variational

OBJECTIVES: dict[str, Callable[[int, Training], Objective]] = {
    "nll": lambda dim, settings: NegativeLogLikelihood(),
    "vina-kl": lambda dim, settings: Variational(DIVERGENCES["kl"], dim, settings),
    "vina-js": lambda dim, settings: Variational(DIVERGENCES["js"], dim, settings),
}


def make_objective(name: str, dim: int, settings: Training) -> Objective:
    """The objective of this name for `dim` unknowns.

    Raises:
        InputError: no objective has this name
    """
    if name not in OBJECTIVES:
        raise InputError(f"objective: '{name}' is not known; choose one of {', '.join(OBJECTIVES)}")
    return OBJECTIVES[name](dim, settings)


def estimate_divergence(
    divergence: Divergence,
    sample_p: Callable[[int, torch.Generator], tuple[Tensor, Tensor]],
    sample_q: Callable[[int, torch.Generator], tuple[Tensor, Tensor]],
    *,
    steps: int = 1500,
    batch_size: int = 1024,
    held_out: int = 50_000,
    hidden: int = 64,
    penalty: float = 1e-4,
    learning_rate: float = 3e-3,
    generator: torch.Generator,
) -> tuple[float, float]:
    """Lower bound of D_f(P‖Q) by a fresh critic, evaluated on held-out draws.

    Args:
        divergence: one of `DIVERGENCES`
        sample_p, sample_q: (n, generator) -> z (n, d), h (n, c), draws of P and of Q
        steps, batch_size, hidden, penalty, learning_rate: training of the critic
        held_out: draws of each that the estimate is made with
        generator: of all randomness, the critic's initialisation included

    Returns:
        the estimate in nats and its standard error
    """
    z, h = sample_p(2, generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        critic = Critic(z.shape[-1], h.shape[-1], hidden)
    optimiser = torch.optim.Adam(critic.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        p, q = sample_p(batch_size, generator), sample_q(batch_size, generator)
        pairs = (torch.cat([p[0], q[0]]), torch.cat([p[1], q[1]]))
        loss = penalty * gradient_penalty(critic, *pairs) - divergence.bound(critic(*p), critic(*q))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(critic.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        on_p = divergence.activation(critic(*sample_p(held_out, generator)))
        on_q = divergence.conjugate_of_activation(critic(*sample_q(held_out, generator)))
    error = math.sqrt((on_p.var() + on_q.var()).item() / held_out)
    return (on_p.mean() - on_q.mean()).item(), error
