"""Draws: diagnostics by ArviZ's own functions, faults in words, and labelled groups that ArviZ takes."""

import arviz as az
import numpy as np
import pytest
import xarray as xr

from tests.inference.targets import correlated
from uqkit.errors import InputError, UqkitWarning
from uqkit.inference import Draws, labelled_groups


def normal(n_chains=4, n_draws=500, **settings):
    position = np.random.default_rng(0).normal(size=(n_chains, n_draws, 3))
    return position, {"lp": -0.5 * (position**2).sum(-1), "diverging": np.zeros((n_chains, n_draws), np.int8)}


def made(position, statistics, **settings):
    return Draws.of(position, statistics, **({"n_gradients": 1, "independent": False} | settings))


def test_diagnostics_are_arvizs():
    position, statistics = normal()
    draws = made(position, statistics)
    tree = az.from_dict({"posterior": {"x": position}})
    table = az.summary(tree, round_to="none")
    np.testing.assert_allclose(draws.r_hat, np.asarray(table["r_hat"], dtype=float))
    np.testing.assert_allclose(draws.ess_bulk, np.asarray(table["ess_bulk"], dtype=float))
    assert draws.faults() == []


def test_each_fault_is_named_in_one_warning():
    position, statistics = normal()
    position[0] += 3.0
    position[..., 2] = 1.0
    statistics["diverging"][0, :7] = 1
    draws = made(position, statistics, remarks=["The sampler says so."])
    with pytest.warns(UqkitWarning) as caught:
        draws.warn_of_faults()
    assert len(caught) == 1
    text = str(caught[0].message)
    for part in ("7 of 2000 draws (0.0035) diverged", "The sampler says so.", "R-hat is", "effective number of draws"):
        assert part in text
    assert "R-hat" not in " ".join(made(position, statistics, independent=True).faults())


def test_one_chain_has_no_r_hat():
    draws = made(*normal(n_chains=1))
    assert np.isnan(draws.r_hat).all()
    assert "one chain" in draws.faults()[0]


def test_groups_that_arviz_takes():
    position, statistics = normal()
    draws = made(position, statistics, independent=True)
    groups = labelled_groups(
        draws,
        correlated(),
        units={"first": "m"},
        long_names={"first": "height"},
        dims={"rest": ["input"]},
        coords={"input": ["a", "b"], "output": ["y"]},
    )
    tree = xr.DataTree.from_dict(groups)
    table = az.summary(tree)
    assert list(table.index) == ["first", "rest[a]", "rest[b]"]
    assert tree["posterior"]["first"].attrs == {"units": "m", "long_name": "height"}
    assert tree["posterior"].attrs["independent_draws"] == 1
    assert tree["posterior"]["rest"].dims == ("chain", "draw", "input")
    np.testing.assert_array_equal(tree["posterior"]["first"], position[..., 0])
    np.testing.assert_allclose(tree["diagnostics"]["r_hat_rest"], draws.r_hat[1:])
    np.testing.assert_allclose(tree["diagnostics"]["ess_tail_first"], draws.ess_tail[0])
    assert tree["sample_stats"]["diverging"].dtype == np.int8
    for node in tree.children.values():
        for variable in node.data_vars.values():
            assert set(variable.attrs) == {"units", "long_name"}
    bare = labelled_groups(draws, correlated())
    assert bare["posterior"]["rest"].dims == ("chain", "draw", "rest_dim_0")


def test_groups_refuse_names_that_do_not_fit():
    draws = made(*normal())
    with pytest.raises(InputError, match="`units` names height, but the quantities are first, rest"):
        labelled_groups(draws, correlated(), units={"height": "m"})
    with pytest.raises(InputError, match=r"`dims` gives rest the dimensions .* shape \(2,\)"):
        labelled_groups(draws, correlated(), dims={"rest": []})
    position = np.zeros((2, 10, 5)) + np.random.default_rng(0).normal(size=(2, 10, 5))
    with pytest.raises(InputError, match="has 3 dimensions but the draws have 5"):
        made(position, {}).quantities(correlated())
