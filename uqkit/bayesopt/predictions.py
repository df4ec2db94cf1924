"""Predictions of any BoTorch model as mixtures of normals, and their scores."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from uqkit.bayesopt.members import MemberSurrogate
from uqkit.stats import (
    gaussian_mixture_cdf,
    gaussian_mixture_crps,
    gaussian_mixture_log_score,
    gaussian_mixture_quantile,
)

__all__ = ["Prediction", "Scores", "predict", "scores_of"]

LEVEL = 0.9


@dataclass(frozen=True)
class Prediction:
    """An observation's predictive distribution at each point: a mixture of normals.

    Attributes:
        mean: Of each part.
        sd: Of each part, noise included.
    """

    mean: Float[np.ndarray, "member point output"]
    sd: Float[np.ndarray, "member point output"]

    def summary(self) -> Float[np.ndarray, "4 point output"]:
        """Mean, standard deviation, and both ends of the central 95% interval."""
        mean = self.mean.mean(axis=0)
        sd = np.sqrt((self.sd**2).mean(axis=0) + self.mean.var(axis=0))
        ends = [gaussian_mixture_quantile(p, self.mean, self.sd) for p in (0.025, 0.975)]
        return np.stack([mean, sd, *ends])


@dataclass(frozen=True)
class Scores:
    """How good predictions of known values are, one number an output, in units of a scale that is the same for all.

    Attributes:
        crps: Continuous ranked probability score.
        log_score: Negative log density, in nats.
        coverage: Share of values in central 90% intervals.
        rmse: Of the mean.
    """

    crps: Float[np.ndarray, " output"]
    log_score: Float[np.ndarray, " output"]
    coverage: Float[np.ndarray, " output"]
    rmse: Float[np.ndarray, " output"]


def predict(model: Any, inputs: Float[np.ndarray, "point input"]) -> Prediction:
    """What a fitted surrogate predicts of an observation at each point by itself."""
    points = torch.from_numpy(inputs)
    with torch.no_grad():
        if isinstance(model, MemberSurrogate) and not hasattr(model, "outcome_transform"):
            mean = model.posterior(points).values.numpy()
            noise = model.noise_variance().sqrt() * model.output_sd
            return Prediction(mean, np.broadcast_to(noise.numpy(), mean.shape))
        # A batch of single points: their joint covariance is not asked for.
        posterior = model.posterior(points.unsqueeze(-2), observation_noise=True)
        mean, variance = (getattr(posterior, name).squeeze(-2).numpy()[None] for name in ("mean", "variance"))
        return Prediction(mean, np.sqrt(variance))


def scores_of(
    prediction: Prediction, values: Float[np.ndarray, "point output"], scale: Float[np.ndarray, " output"]
) -> Scores:
    """Scores of predictions against what came out.

    Args:
        prediction: Of the points.
        values: There.
        scale: Of each output; the same for all surrogates that are compared.
    """
    value, mean, sd = values / scale, prediction.mean / scale, prediction.sd / scale
    pit = gaussian_mixture_cdf(value, mean, sd)
    return Scores(
        crps=gaussian_mixture_crps(value, mean, sd).mean(axis=0),
        log_score=gaussian_mixture_log_score(value, mean, sd).mean(axis=0),
        coverage=(np.abs(2 * pit - 1) <= LEVEL).mean(axis=0),
        rmse=np.sqrt(((mean.mean(axis=0) - value) ** 2).mean(axis=0)),
    )
