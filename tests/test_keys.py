"""Keys: what may be one, and the same numbers from the same key."""

import jax
import numpy as np
import pytest

from uqkit import InputError
from uqkit.keys import as_key, key_label, numpy_generator


def data(key):
    return np.asarray(jax.random.key_data(as_key(key))).tolist()


def test_an_int_is_the_seed_of_a_key():
    assert data(3) == data(jax.random.key(3)) == data(np.int64(3)) == data(jax.random.PRNGKey(3))
    assert data(3) != data(4)


def test_all_64_bits_of_an_int_count():
    assert data(2**40) != data(0)
    assert data(-1) != data(2**32 - 1)
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize("key", [None, "0", 0.0, True, [0], np.zeros(2)])
def test_what_is_no_key(key):
    with pytest.raises(InputError, match=r"pass an int such as key=0, or jax.random.key\(0\)"):
        as_key(key)


def test_arrays_that_are_no_single_key():
    with pytest.raises(InputError, match=r"an array of keys of shape \(3,\); pass one key"):
        as_key(jax.random.split(jax.random.key(0), 3))
    with pytest.raises(InputError, match=r"a float32 array of shape \(2,\); pass jax.random.key\(0\) or an int"):
        as_key(jax.numpy.zeros(2))
    with pytest.raises(InputError, match="too large"):
        as_key(2**63)


def test_numpy_generators_follow_the_key():
    draws = numpy_generator(as_key(5)).random(4)
    np.testing.assert_array_equal(draws, numpy_generator(jax.random.key(5)).random(4))
    assert not np.isin(draws, numpy_generator(as_key(6)).random(4)).any()


def test_a_label_gives_the_key_back():
    key = jax.random.split(jax.random.key(11))[1]
    implementation, _, words = key_label(key).rstrip("]").partition("[")
    again = jax.random.wrap_key_data(
        jax.numpy.array([int(word) for word in words.split(",")], dtype="uint32"), impl=implementation
    )
    assert data(again) == data(key)
