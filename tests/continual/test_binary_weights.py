"""The law of a sign against sums over both signs."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro.distributions.kl import kl_divergence
from numpyro.infer import SVI, Trace_ELBO

from uqkit.continual import SignBernoulli
from uqkit.continual.binary_weights import kl_of_fields

FIELDS = np.array([-3.0, -0.4, 0.0, 0.7, 2.5])


def test_moments_and_entropy_are_sums_over_both_signs():
    law = SignBernoulli(FIELDS)
    signs = law.enumerate_support()
    share = jnp.exp(law.log_prob(signs))
    np.testing.assert_allclose(share.sum(0), 1.0, rtol=1e-6)
    np.testing.assert_allclose((share * signs).sum(0), law.mean, atol=1e-6)
    np.testing.assert_allclose((share * signs**2).sum(0) - law.mean**2, law.variance, atol=1e-6)
    np.testing.assert_allclose(-(share * jnp.log(share)).sum(0), law.entropy(), atol=1e-6)


def test_draws_have_the_mean():
    draws = np.asarray(SignBernoulli(FIELDS).sample(jax.random.key(0), (100_000,)))
    assert set(np.unique(draws)) == {-1.0, 1.0}
    error = np.sqrt(np.asarray(SignBernoulli(FIELDS).variance) / len(draws))
    assert (np.abs(draws.mean(0) - np.tanh(FIELDS)) < 5 * error).all()


def test_divergence_is_the_sum_and_registered():
    with jax.enable_x64(True):
        p, q = SignBernoulli(FIELDS[:, None]), SignBernoulli(FIELDS[None])
        signs = jnp.array([-1.0, 1.0])[:, None, None]
        exact = (jnp.exp(p.log_prob(signs)) * (p.log_prob(signs) - q.log_prob(signs))).sum(0)
        np.testing.assert_allclose(kl_divergence(p, q), exact, rtol=1e-6, atol=1e-14)


def test_derivative_of_the_divergence_is_variance_times_distance():
    h, other = np.float64(0.8), np.float64(-0.3)
    with jax.enable_x64(True):
        slopes = jax.grad(kl_of_fields, argnums=(0, 1))(jnp.array(h), jnp.array(other))
        step = 1e-6
        numeric = [
            (kl_of_fields(jnp.array(h + step), jnp.array(other)) - kl_of_fields(jnp.array(h - step), jnp.array(other))),
            (kl_of_fields(jnp.array(h), jnp.array(other + step)) - kl_of_fields(jnp.array(h), jnp.array(other - step))),
        ]
    np.testing.assert_allclose(slopes[0], (1 - np.tanh(h) ** 2) * (h - other), rtol=1e-12)
    np.testing.assert_allclose(slopes, np.array(numeric) / (2 * step), rtol=1e-6)


@pytest.mark.parametrize("field", [40.0, -40.0, 90.0])
def test_sure_signs_stay_finite_in_single_precision(field):
    law, other = SignBernoulli(np.float32(field)), SignBernoulli(np.float32(-field))
    numbers = [law.log_prob(1.0), law.log_prob(-1.0), law.entropy(), kl_divergence(law, other), kl_divergence(law, law)]
    assert np.isfinite(numbers).all()
    assert float(kl_divergence(law, other)) == pytest.approx(2 * abs(field), rel=1e-6)
    slope = jax.grad(lambda h: kl_of_fields(h, jnp.float32(0)))(jnp.float32(field))
    assert np.isfinite(slope)
    # 1 - tanh^2 would be 0 from a field of 9 on.
    assert 0 < float(SignBernoulli(np.float32(20.0)).variance) == pytest.approx(4 * np.exp(-40.0), rel=1e-5)


def test_a_model_of_numpyro_may_have_it_in_the_guide():
    data = jnp.array([1.0, 1.0, -1.0, 1.0] * 5)

    def model():
        field = numpyro.param("field", jnp.zeros(()))
        numpyro.sample("sign", SignBernoulli(jnp.asarray(field)), obs=data)

    svi = SVI(model, lambda: None, numpyro.optim.Adam(0.05), Trace_ELBO())
    found = svi.run(jax.random.key(0), 500, progress_bar=False)
    assert np.tanh(np.asarray(found.params["field"])) == pytest.approx(float(data.mean()), abs=1e-3)


def test_a_value_that_is_no_sign_is_refused_where_numpyro_validates():
    with pytest.warns(UserWarning, match="Out-of-support"):
        SignBernoulli(0.3, validate_args=True).log_prob(0.5)
