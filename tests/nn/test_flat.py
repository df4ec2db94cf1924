"""A network's weights as a vector and back."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uqkit import InputError
from uqkit.nn import MLP, FlatNetwork, FourierEmbedding, GatedMLP, Standardise, trainable

BOX = Standardise.of_box(np.array([-1.0, 0.0]), np.array([1.0, 3.0]))


@pytest.mark.parametrize(
    "settings", [MLP(widths=(4, 4)), GatedMLP(widths=(4, 4), fourier=FourierEmbedding(n_frequencies=4))]
)
def test_restoring_its_own_vector_gives_the_network_back(settings):
    network = settings.build(("x", "t"), 2, standardise=BOX, key=0)
    flat = FlatNetwork(network)
    assert flat.vector.shape == (flat.n_weights,)
    assert eqx.tree_equal(flat.restore(flat.vector), network)


def test_blocks_name_the_leaves_in_order_without_gaps():
    network = MLP(widths=(3,)).build(("x", "t"), 2, standardise=BOX, key=0)
    flat = FlatNetwork(network)
    assert flat.blocks == {
        "hidden.0.weight": slice(0, 6),
        "hidden.0.bias": slice(6, 9),
        "last.weight": slice(9, 15),
        "last.bias": slice(15, 17),
    }
    np.testing.assert_array_equal(flat.vector[flat.blocks["last.weight"]], np.asarray(network.last.weight).ravel())
    changed = flat.restore(flat.vector.at[flat.blocks["hidden.0.bias"]].set(7.0))
    np.testing.assert_array_equal(changed.hidden[0].bias, 7.0)
    np.testing.assert_array_equal(changed.last.weight, network.last.weight)


def test_restoring_works_inside_jit_vmap_and_grad():
    network = MLP(widths=(3,)).build(("x",), 1, key=0)
    flat, point = FlatNetwork(network), jnp.array([0.3])

    @jax.jit
    def slopes(flat, vectors):
        return jax.vmap(jax.grad(lambda vector: flat.restore(vector)(point)[0]))(vectors)

    found = slopes(flat, jnp.stack([flat.vector, 2.0 * flat.vector]))
    direct = jax.grad(lambda network: network(point)[0])(network)
    np.testing.assert_allclose(found[0], FlatNetwork(direct).vector, rtol=1e-5, atol=1e-7)
    # The derivative by the last bias is 1 whatever the weights are.
    np.testing.assert_allclose(found[:, flat.blocks["last.bias"]], 1.0)


def test_a_vector_of_double_precision_restores_a_network_of_single():
    flat = FlatNetwork(MLP(widths=(3,)).build(("x",), 1, key=0))
    restored = flat.restore(np.asarray(flat.vector, dtype=np.float64))
    assert eqx.tree_equal(restored, flat.network)


def test_other_equinox_networks_are_taken():
    network = eqx.nn.MLP(2, 1, 4, 1, key=jax.random.key(0))
    flat = FlatNetwork(network)
    assert flat.n_weights == 2 * 4 + 4 + 4 + 1
    assert eqx.tree_equal(flat.restore(flat.vector), network)
    assert jax.tree.structure(trainable(network)) == jax.tree.structure(network)


def test_bad_arguments_say_so():
    flat = FlatNetwork(MLP(widths=(3,)).build(("x",), 1, key=0))
    with pytest.raises(InputError, match=r"shape \(3,\), but the network has 10 weights"):
        flat.restore(np.zeros(3))
    with pytest.raises(InputError, match="no arrays of weights"):
        FlatNetwork(BOX)
