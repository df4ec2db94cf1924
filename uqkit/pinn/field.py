"""What an operator sees of an unknown function: its value and its derivatives, at all points at once."""

from collections.abc import Callable, Sequence

from jaxtyping import Array, Float

from uqkit.errors import InputError

__all__ = ["LARGEST_ORDER", "Field", "Orders"]

type Orders = tuple[int, ...]

LARGEST_ORDER = 4


class Field:
    """An unknown function of the coordinates, as an argument of an operator.

    Attributes:
        name: The output's name.
        coordinates: Names of the coordinates, in order.
    """

    def __init__(
        self, name: str, coordinates: Sequence[str], derivative: Callable[[Orders], Float[Array, " point"]]
    ) -> None:
        """See the class.

        Args:
            name: The output's name.
            coordinates: Names of the coordinates, in order.
            derivative: Order in each coordinate -> that derivative at the points.
        """
        self.name = name
        self.coordinates = tuple(coordinates)
        self._derivative = derivative

    @property
    def value(self) -> Float[Array, " point"]:
        """The function itself."""
        return self._derivative((0,) * len(self.coordinates))

    def d(self, *coordinates: str | int) -> Float[Array, " point"]:
        """A partial derivative: `d("x")`, `d("x", 2)`, `d("x", 1, "t", 1)`.

        Args:
            coordinates: Names, each followed by its order if that is not 1.

        Raises:
            InputError: If a name is unknown, or the orders add up to less than 1 or more than 4.
        """
        orders = [0] * len(self.coordinates)
        axis = None
        for entry in coordinates:
            if isinstance(entry, str):
                if entry not in self.coordinates:
                    raise InputError(
                        f"{self.name}.d({', '.join(map(repr, coordinates))}): the coordinates are "
                        f"{', '.join(self.coordinates)}."
                    )
                axis = self.coordinates.index(entry)
                orders[axis] += 1
            elif axis is None or entry < 1:
                raise InputError(
                    f"{self.name}.d({', '.join(map(repr, coordinates))}): name a coordinate, then its order if it is "
                    "not "
                    'one, as in d("x", 2).'
                )
            else:
                orders[axis] += entry - 1
        if not 1 <= sum(orders) <= LARGEST_ORDER:
            raise InputError(
                f"{self.name}.d({', '.join(map(repr, coordinates))}) is of order {sum(orders)}; orders 1 to "
                f"{LARGEST_ORDER} are there, the function itself is {self.name}.value."
            )
        return self._derivative(tuple(orders))

    def laplacian(self, *coordinates: str) -> Float[Array, " point"]:
        """Sum of the second derivatives in the coordinates named; in all of them if none is."""
        names = coordinates or self.coordinates
        return sum((self.d(name, 2) for name in names[1:]), start=self.d(names[0], 2))

    def biharmonic(self, *coordinates: str) -> Float[Array, " point"]:
        """The Laplacian of the Laplacian in the coordinates named; in all of them if none is."""
        names = coordinates or self.coordinates
        total = sum((self.d(name, 4) for name in names[1:]), start=self.d(names[0], 4))
        for i, name in enumerate(names):
            for other in names[i + 1 :]:
                total = total + 2.0 * self.d(name, 2, other, 2)
        return total

    def __array__(self) -> None:
        """Refuse to be taken for its value."""
        raise InputError(f"the field {self.name} was used as an array; write {self.name}.value.")
