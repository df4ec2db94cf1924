"""Derivatives of a network by its weights, kept as the outer products that they are: no Jacobian is ever formed.

The derivative of output o by a weight of layer l is the layer's input h_l times the derivative of o by the layer's
pre-activation, d_lo. A row of the Jacobian is therefore h_l d_lo' for each layer, and

    (J J')[(x, o), (x', o')] = sum_l (c_l^2 h_l(x).h_l(x') + b_l^2) d_lo(x).d_lo'(x'),

in which c_l and b_l are what a standard normal weight and bias are multiplied by. For two layers of 50 a row is 200
numbers instead of 3,000.
"""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from uqkit.bayesopt.network import Embedding, NetworkModel

__all__ = ["FactoredJacobian", "bias_of", "factored_jacobian", "multipliers"]

type Sites = Mapping[str, Array]


class FactoredJacobian(eqx.Module):
    """Derivatives of all outputs at points, by all weights, at unit multipliers.

    Attributes:
        values: The function.
        inputs: Site of a weight matrix -> the inputs of that layer.
        slopes: Site of a weight matrix -> derivatives of the outputs by what the layer puts out.
    """

    values: Float[Array, "point output"]
    inputs: dict[str, Float[Array, "point _"]]
    slopes: dict[str, Float[Array, "point output _"]]

    def masked(self, present: Float[Array, " point"]) -> "FactoredJacobian":
        """Without derivatives at points that do not count."""
        slopes = {name: slope * present[:, None, None] for name, slope in self.slopes.items()}
        return FactoredJacobian(self.values, self.inputs, slopes)

    def times(self, tangent: Sites) -> Float[Array, "point output"]:
        """J t for a change t of each site."""
        total = jnp.zeros_like(self.values)
        for name, slope in self.slopes.items():
            moved = self.inputs[name] @ tangent[name]
            bias = bias_of(name)
            if bias is not None:
                moved += tangent[bias]
            total += jnp.einsum("ph,poh->po", moved, slope)
        return total

    def transposed_times(self, cotangent: Float[Array, "point output"]) -> dict[str, Array]:
        """J' t for a number t for each point and output."""
        found = {}
        for name, slope in self.slopes.items():
            back = jnp.einsum("po,poh->ph", cotangent, slope)
            found[name] = self.inputs[name].T @ back
            bias = bias_of(name)
            if bias is not None:
                found[bias] = back.sum(0)
        return found

    def gram(self) -> dict[str, Float[Array, "row row"]]:
        """J J' for the weights of each site alone; rows are (point, output), outputs running fastest."""
        found = {}
        n_points, n_outputs = self.values.shape
        for name, slope in self.slopes.items():
            flat = slope.reshape(n_points * n_outputs, -1)
            outer = flat @ flat.T
            inner = self.inputs[name] @ self.inputs[name].T
            found[name] = jnp.repeat(jnp.repeat(inner, n_outputs, 0), n_outputs, 1) * outer
            bias = bias_of(name)
            if bias is not None:
                found[bias] = outer
        return found


def bias_of(name: str) -> str | None:
    """The bias that is added to what a weight matrix gives; embeddings have none."""
    return name.replace("weight", "bias") if name.startswith("weight") else None


def multipliers(network: NetworkModel, scales: Sites) -> dict[str, Array]:
    """What each standard normal site is multiplied by, a number a site.

    Args:
        network: The network.
        scales: Scale of each layer, by name.
    """
    ones = {**scales, **{name: jnp.ones(shape) for name, shape in network.shapes.items()}}
    found = {name: jnp.ones(()) for name in network.shapes}
    for layer in range(len(network.widths) + 1):
        weight, bias = network.layer(ones, layer)
        found[f"weight_{layer}"], found[f"bias_{layer}"] = weight[0, 0], bias[0]
    return found


def factored_jacobian(network: NetworkModel, sites: Sites, columns: Float[Array, "point column"]) -> FactoredJacobian:
    """Values and derivatives at points.

    Args:
        network: The network.
        sites: Scales and standard normal numbers by name.
        columns: Encoded points.
    """
    return FactoredJacobian(*jax.vmap(lambda point: _at_point(network, sites, point))(columns))


def _at_point(
    network: NetworkModel, sites: Sites, point: Float[Array, " column"]
) -> tuple[Array, dict[str, Array], dict[str, Array]]:
    n_layers = len(network.widths) + 1

    def function(shifts: dict[str, Array]) -> tuple[Array, tuple[Array, dict[str, Array]]]:
        values, inputs = network._embedded(sites, point[None])[0], {}
        for layer in range(n_layers):
            if layer:
                values = network.activation(values)
            inputs[f"weight_{layer}"] = values
            weight, bias = network.layer(sites, layer)
            values = values @ weight + bias + shifts[f"weight_{layer}"]
        return values, (values, inputs)

    shifts = {f"weight_{layer}": jnp.zeros(network.shapes[f"weight_{layer}"][1]) for layer in range(n_layers)}
    slopes, (values, inputs) = jax.jacrev(function, has_aux=True)(shifts)
    if isinstance(network.encoding, Embedding):
        # Embedded coordinates follow the continuous columns; a category's point is a linear layer of its unit vector.
        weight, _ = network.layer(sites, 0)
        first = network.blocks[0][0] if network.blocks else 0
        for number, (start, n_categories) in enumerate(network.blocks):
            n_dims = network.encoding.n_dims
            rows = weight[first + number * n_dims : first + (number + 1) * n_dims]
            inputs[f"embedding_{number}"] = point[start : start + n_categories]
            slopes[f"embedding_{number}"] = slopes["weight_0"] @ rows.T
    return values, inputs, slopes
