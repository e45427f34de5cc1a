"""How a scenario's network is built and trained: the optional `training:` block of the YAML."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Training(BaseModel):
    """Settings of the network and of its training; every field has a default that works."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # the training set
    n_simulations: Annotated[int, Field(ge=1000)] = 100_000
    validation_fraction: Annotated[float, Field(gt=0, le=0.5)] = 0.03
    validation_draws: Count = 3  # noise draws for each held-out simulation

    # the network
    # Replicas that data are compared with first: a great help where these can lie about as dense
    # as the posterior is wide, that is with two or three unknowns; noise with many.
    references: Annotated[int, Field(ge=0)] = 0
    hidden: Count = 256  # width of the summary network
    depth: Annotated[int, Field(ge=0)] = 3  # its residual blocks
    context: Count = 64  # numbers that it hands to the flow
    blocks: Annotated[int, Field(ge=0)] = 6  # couplings of the flow
    coupling_hidden: Count = 128
    bins: Annotated[int, Field(ge=2, le=64)] = 8  # of each spline

    # the optimiser
    epochs: Count = 40
    batch_size: Annotated[int, Field(ge=16)] = 512
    learning_rate: Positive = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    gradient_clip: Positive = 5.0
    patience: Count = 10  # epochs without improvement on held-out data before stopping

    # objectives with a critic
    warm_start_epochs: Annotated[int, Field(ge=0)] = 10  # of nll, before the critic takes over
    critic_hidden: Count = 128
    critic_steps: Count = 4  # critic steps for each step of the map
    critic_penalty: Annotated[float, Field(ge=0)] = 0.01  # weight of the gradient penalty
