"""How a scenario's network is built and trained: the optional `training:` block of the YAML."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from oceaninv.errors import InputError

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Training(BaseModel):
    """Settings of the network and of its training; every field has a default that works."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # the training set
    n_simulations: Annotated[int, Field(ge=1000)] = 100_000
    # Simulations in a row that differ in source and array alone, where these are unknown: they
    # share the modes, which are nearly all the work.
    geometries: Count = 1
    validation_fraction: Annotated[float, Field(gt=0, le=0.5)] = 0.03
    validation_draws: Count = 3  # noise draws for each held-out simulation

    # the network
    # Replicas that data are compared with first: a great help where these can lie about as dense
    # as the posterior is wide, that is with two or three unknowns; noise with many.
    references: Annotated[int, Field(ge=0)] = 0
    # Steps of Gauss-Newton, at most, to the most probable unknowns of each measurement, from where
    # a first network says: what helps with many unknowns of pressure. 0: none.
    gauss_newton: Annotated[int, Field(ge=0)] = 0
    n_fits: Annotated[int, Field(ge=1000)] = 50_000  # simulations that are fitted
    # Draws for each of them from a network trained on the fits, weighed by the exact likelihood:
    # with the truth, what the last network learns from. 0: the truth alone.
    weighed_draws: Annotated[int, Field(ge=0)] = 0
    first_epochs: Count = 15  # of the first network, a conditional Gaussian, over all of them
    first_hidden: Count = 384  # its width; the other sees few numbers, and fewer simulations
    hidden: Count = 256  # width of the summary network
    depth: Annotated[int, Field(ge=0)] = 3  # its residual blocks
    context: Count = 64  # numbers that it hands to the flow
    # share of what the summary network ends with that is left out at each step of the training:
    # against learning by heart where simulations are few
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    blocks: Annotated[int, Field(ge=0)] = 6  # couplings of the flow
    coupling_hidden: Count = 128
    # of each spline; 0: affine couplings alone
    bins: Annotated[int, Field(ge=0, le=64)] = 8
    coupling_clamp: Positive = 3.0  # bound of a coupling's log-scale

    # the invertible network with the observation among its outputs (--estimator inn)
    # what stands for y: a learned estimate of the posterior mean, or all features as they are
    inn_observation: Literal["summary", "features"] = "summary"
    # ŷ is y with a spread that is learned; none: ŷ = y, as published, which has no likelihood
    inn_smoothing: Literal["learned", "none"] = "learned"
    inn_padding: NonNegative = 1.0  # spread of the noise beside x; 0: zeros, as published
    supervised_weight: NonNegative = 1.0  # of E‖T_y(x) − y‖, with inn_smoothing: none

    # the optimiser
    epochs: Count = 40
    batch_size: Annotated[int, Field(ge=16)] = 512
    learning_rate: Positive = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    gradient_clip: Positive = 5.0
    patience: Count = 10  # epochs without improvement on held-out data before stopping

    # objectives other than nll
    # of nll, before the objective takes over; half of all epochs at most
    warm_start_epochs: Annotated[int, Field(ge=0)] = 10
    critic_form: Literal["latent", "data"] = "latent"  # compare latents, or unknowns
    pr_tradeoff: Positive = 1.0  # λ of vina-pr: above 1 precision, below 1 recall
    pr_auxiliary: Literal["kl", "reverse-kl", "js", "chi2", "hellinger"] = "kl"
    hybrid_weight: NonNegative = 0.1  # of what is added to nll in nll+NAME
    hybrid_schedule: Literal["constant", "ramp", "decay"] = "constant"

    # objectives with a critic
    critic_hidden: Count = 128
    critic_steps: Count = 4  # critic steps for each step of the map
    critic_regularisation: Literal["r1", "spectral"] = "r1"  # gradient penalty, or spectral norm
    critic_penalty: Annotated[float, Field(ge=0)] = 0.01  # weight of the gradient penalty
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.99  # decay of the average of the map's weights
    # what the released code of VINA does: the data form's other generator loss, and a weight of
    # E‖x̂ − x‖², which draws the posterior together; both only with critic_form: data
    map_step: Literal["minimax", "non_saturating"] = "minimax"
    paired_weight: NonNegative = 0.0

    @property
    def warm_start(self) -> int:
        """Epochs of nll that other objectives begin with."""
        return min(self.warm_start_epochs, self.epochs // 2)

    @model_validator(mode="after")
    def _released_only_in_data_form(self) -> Self:
        if self.critic_form == "latent" and (self.paired_weight or self.map_step != "minimax"):
            raise ValueError("paired_weight and map_step need critic_form: data")
        return self

    @model_validator(mode="after")
    def _one_guess(self) -> Self:
        if self.references and self.gauss_newton:
            raise ValueError("references and gauss_newton are two ways to one guess; drop one")
        return self


# The paper's architecture, repaired in its training; and its released code as written.
PRESETS: dict[str, dict[str, object]] = {
    "vina": {"blocks": 4, "bins": 0, "coupling_clamp": 2.0, "coupling_hidden": 128},
    "vina-released": {
        "blocks": 4,
        "bins": 0,
        "coupling_clamp": 2.0,
        "coupling_hidden": 128,
        "inn_observation": "features",
        "inn_smoothing": "none",
        "inn_padding": 0.0,
        "supervised_weight": 0.0,
        "epochs": 10,
        "learning_rate": 2e-4,
        "warm_start_epochs": 0,
        "critic_form": "data",
        "critic_hidden": 64,
        "critic_steps": 1,
        "critic_penalty": 0.0,
        "ema": 0.0,
        "map_step": "non_saturating",
        "paired_weight": 0.01,
    },
}


def preset_settings(name: str) -> dict[str, object]:
    """The settings of a preset.

    Raises:
        InputError: none has this name
    """
    if name not in PRESETS:
        raise InputError(f"preset: '{name}' is unknown; choose {', '.join(PRESETS)}")
    return dict(PRESETS[name])


def with_settings(training: Training, changes: Mapping[str, object]) -> Training:
    """The settings with some of them replaced, and checked again.

    Raises:
        InputError: a setting that does not exist or a value that it cannot have
    """
    try:
        return Training.model_validate({**training.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        where = f"training.{field}: {first['input']}" if field else "training"
        raise InputError(f"{where}: {first['msg']}; change it") from None
