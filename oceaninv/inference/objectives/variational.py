"""Divergences with a critic that is trained against the map."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from oceaninv.inference.critics import Critic, gradient_penalty
from oceaninv.inference.objectives.base import Step, two_samples
from oceaninv.inference.objectives.divergences import Divergence
from oceaninv.scenario.training import Training


class Variational:
    """sup_g { E_P[a_f(g)] − E_Q[f*(a_f(g))] }, minimised over the map.

    latent form: P the pairs (T(v; h), h), Q the pairs (z, h) with z ~ N(0, I) of its own, and only
    the first expectation moves with T. data form: P the pairs (v, h), Q the pairs (T⁻¹(z; h), h),
    and only the second moves. The critic takes several regularised steps for each step of the
    map, and the map starts from some epochs of nll.

    Args:
        divergence: one of `DIVERGENCES`, or a `PrecisionRecall`
        dim: number of latents or unknowns that the critic sees
        context: length of the summary
        settings: of critic and form
    """

    def __init__(self, divergence: Divergence, dim: int, context: int, settings: Training) -> None:
        self.divergence = divergence
        self.form = settings.critic_form
        self.critic: nn.Module | None = Critic(
            dim,
            context,
            settings.critic_hidden,
            spectral=settings.critic_regularisation == "spectral",
        )
        self.critic_steps = settings.critic_steps
        self.warm_start_epochs = settings.warm_start
        spectral = settings.critic_regularisation == "spectral"
        self.penalty = 0.0 if spectral else settings.critic_penalty
        self.saturating = settings.map_step == "minimax"
        self.paired_weight = settings.paired_weight

    def loss(self, step: Step) -> Tensor:
        """The part of the bound that moves with T."""
        assert self.critic is not None
        on_p, on_q = two_samples(step, self.form, moving=True)
        # the critic compares at a given summary: the map must not game it through h
        h = step.context.detach()
        if self.form == "latent":
            return self.divergence.on_p(self.critic(on_p, h)).mean()
        value = self.critic(on_q, h)
        # the non-saturating step of generative adversarial networks, which is no divergence's
        moved = self.divergence.on_q(value) if self.saturating else -self.divergence.on_p(value)
        return moved.mean() + self.paired_weight * (on_q - on_p).square().mean()

    def critic_losses(self, step: Step) -> Iterable[Tensor]:
        """−bound + penalty, with fresh draws of z for each step of the critic."""
        assert self.critic is not None
        h = step.context.detach()
        for _ in range(self.critic_steps):
            on_p, on_q = two_samples(step, self.form, moving=False)
            loss = -self.divergence.bound(self.critic(on_p, h), self.critic(on_q, h))
            if self.penalty:
                both = torch.cat([on_p, on_q]), torch.cat([h, h])
                loss = loss + self.penalty * gradient_penalty(self.critic, *both)
            yield loss
