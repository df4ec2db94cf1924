"""Training data: what is refused, what is left out, and how inputs are encoded."""

import math
import re
import warnings

import pytest
import torch
from botorch.models.transforms.input import Normalize
from torch import Tensor

from tests.bayesopt.networks import inputs, outputs, prior_network, uniform
from tests.callers import without_type_hook
from uqkit.bayesopt.training_data import Encoder, checked_data, padded_length
from uqkit.errors import InputError, UqkitWarning

X, Y = inputs(6), outputs(inputs(6))
CATEGORICAL = {2: 3}


def changed(values: Tensor, row: int, column: int, number: float) -> Tensor:
    other = values.clone()
    other[row, column] = number
    return other


def test_good_data_come_back_in_double_precision():
    single, variance = X.float(), torch.full_like(Y, 0.5).float()
    back = checked_data(single, Y.float(), variance, CATEGORICAL)
    assert all(part is not None and part.dtype == torch.double for part in back)
    torch.testing.assert_close(back[0], single.double(), rtol=0, atol=0)
    assert checked_data(X, Y, None)[2] is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((X, Y[:, 0], None), "`train_Y` is shape (6,); pass a tensor of two dimensions"),
        ((X[:, 0], Y, None), "`train_X` is shape (6,)"),
        ((X, Y.unsqueeze(0), None), "`train_Y` is shape (1, 6, 2)"),
        ((X.numpy(), Y, None), "`train_X` is ndarray"),
        ((X, None, None), "`train_Y` is NoneType"),
        ((X, Y.long(), None), "`train_Y` has dtype torch.int64; pass floating-point numbers: train_Y.double()"),
        ((X, Y[:4], None), "`train_X` has shape (6, 3) and `train_Y` (4, 2)"),
        ((X, Y, Y[:, :1]), "`train_Yvar` (6, 1); pass one row of each"),
        ((changed(X, 3, 1, math.inf), Y, None), "`train_X` is not finite in row 3"),
        ((X, changed(Y, 2, 0, -math.inf), None), "`train_Y` is not finite in row 2"),
        ((X, Y, changed(torch.ones_like(Y), 1, 1, math.inf)), "`train_Yvar` is not finite in row 1"),
        ((X, Y, changed(torch.ones_like(Y), 4, 0, 0.0)), "`train_Yvar` is [0.0, 1.0] in row 4; pass variances above"),
        ((X, Y, -torch.ones_like(Y)), "pass variances above zero"),
        ((X[:1], Y[:1], None), "1 usable training rows of 1"),
        ((changed(X, 5, 2, 3.0), Y, None), "coded 0 to 2, but row 5 holds 3; recode it"),
        ((changed(X, 5, 2, -1.0), Y, None), "row 5 holds -1"),
        ((changed(X, 0, 2, 0.5), Y, None), "row 0 holds 0.5"),
    ],
)
def test_bad_data_are_refused_by_name(given, message):
    with without_type_hook(), pytest.raises(InputError, match=re.escape(message)):
        checked_data(*given, CATEGORICAL)  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("categorical", [{3: 3}, {-1: 3}, {2: 1}])
def test_categorical_columns_that_do_not_fit_are_refused(categorical):
    with pytest.raises(InputError, match="pass columns from 0 to 2, each with two categories or more"):
        checked_data(X, Y, None, categorical)


def test_rows_with_nan_are_left_out_with_a_warning():
    variance = torch.arange(1.0, 13.0).double().reshape(6, 2)
    given = changed(X, 1, 0, math.nan), changed(Y, 3, 1, math.nan), changed(variance, 4, 0, math.nan)
    with pytest.warns(UqkitWarning, match="3 of 6 training rows hold NaN and are left out: rows 1, 3, 4"):
        back = checked_data(*given, CATEGORICAL)
    for part, whole in zip(back, (X, Y, variance), strict=True):
        assert part is not None
        torch.testing.assert_close(part, whole[[0, 2, 5]], rtol=0, atol=0)
    with (
        pytest.warns(UqkitWarning, match="hold NaN"),
        pytest.raises(InputError, match="0 usable training rows of 6"),
    ):
        checked_data(X * math.nan, Y, None)


def test_rows_given_twice_count_once_and_noisy_repetitions_twice():
    with pytest.warns(UqkitWarning, match="2 of 8 training rows repeat another row.*rows 6, 7"):
        back = checked_data(torch.cat([X, X[:2]]), torch.cat([Y, Y[:2]]), None)
    torch.testing.assert_close(back[0], X, rtol=0, atol=0)
    torch.testing.assert_close(back[1], Y, rtol=0, atol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = checked_data(torch.cat([X, X[:2]]), torch.cat([Y, Y[:2] + 0.1]), None)
    assert len(back[0]) == 8


@pytest.mark.parametrize(("n_rows", "length"), [(2, 16), (16, 16), (17, 32), (32, 32), (33, 64), (100, 128)])
def test_padded_lengths(n_rows, length):
    assert padded_length(n_rows) == length


def test_encoded_continuous_columns_have_the_moments_of_a_uniform_law_at_unit_variance():
    # Evenly spaced points stand for the uniform law; a fifth column never changes.
    grid = torch.linspace(-7, 5, 10_001, dtype=torch.double).unsqueeze(-1)
    encoded = Encoder(torch.cat([grid, 0 * grid + 3], dim=-1), {})(torch.cat([grid, 0 * grid + 3], dim=-1))
    torch.testing.assert_close(encoded[:, 0].mean(), torch.tensor(0.0).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(encoded[:, 0].var(), torch.tensor(1.0).double(), rtol=1e-3, atol=0)
    assert (encoded[:, 1] == 0).all()


def test_a_constant_column_keeps_its_units():
    given = torch.stack([torch.arange(5.0), torch.full((5,), 3.0)], dim=-1).double()
    encoded = Encoder(given, {})(torch.tensor([[0.0, 4.0]], dtype=torch.double))
    torch.testing.assert_close(encoded[0, 1], torch.tensor(3**0.5).double())


def test_categories_are_unit_vectors_after_the_continuous_columns():
    # The category is first in the inputs and last in the columns.
    given = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.5]], dtype=torch.double)
    encoder = Encoder(given, {0: 3})
    assert encoder.n_columns == 4
    assert encoder.blocks == ((1, 3),)
    root = 3**0.5
    expected = torch.tensor([[-root, 0, 1, 0], [root, 1, 0, 0], [0, 0, 0, 1]], dtype=torch.double)
    torch.testing.assert_close(encoder(given), expected)
    torch.testing.assert_close(encoder(given.expand(2, 3, 2)), expected.expand(2, 3, 4))


def test_relaxed_categories_take_the_nearest_and_have_no_gradient():
    encoder = Encoder(X, CATEGORICAL)
    relaxed = X.clone()
    relaxed[:, 2] += torch.tensor([0.4, -0.4, 0.3, 0.2, 0.1, -0.49])
    relaxed = relaxed.clamp(min=-0.49, max=2.49).requires_grad_()
    encoded = encoder(relaxed)
    torch.testing.assert_close(encoded[:, 2:], encoder(X)[:, 2:])
    (encoded * uniform(*encoded.shape)).sum().backward()
    assert relaxed.grad is not None
    assert (relaxed.grad[:, 2] == 0).all()
    assert (relaxed.grad[:, :2] != 0).all()


@pytest.mark.parametrize("code", [-1.0, 3.0, 2.6])
def test_a_category_out_of_range_is_refused_at_prediction(code):
    with pytest.raises(InputError, match=f"column 2 has 3 categories, coded 0 to 2, but {code:g} was asked for"):
        Encoder(X, CATEGORICAL)(changed(X, 1, 2, code))


def test_points_between_fill_the_range_and_all_categories():
    points = Encoder(X, CATEGORICAL).points_between(60)
    assert points.shape == (60, 5)
    assert points[:, :2].abs().max() <= 3**0.5
    # Of 60 points of a net in three dimensions, each third has near 20.
    assert ((points[:, 2:].sum(0) - 20).abs() <= 2).all()


def test_a_surrogate_says_which_transform_changed_its_categories():
    with pytest.raises(InputError, match=re.escape("`input_transform` Normalize changes the codes of the categorical")):
        prior_network(input_transform=Normalize(3))
    prior_network(input_transform=Normalize(3, indices=[0, 1]))


@pytest.mark.parametrize("widths", [(), (0,), 8])
def test_widths_that_are_none_are_refused(widths):
    with without_type_hook(), pytest.raises(InputError, match="pass the width of each hidden layer"):
        prior_network(widths=widths)
