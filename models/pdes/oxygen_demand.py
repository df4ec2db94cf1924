"""Measured biochemical oxygen demand of a stream sample: unknown rate and final demand of first-order decay.

    y' = rate (ultimate - y)    on t in [0, 10] days,    y(0) = 0,    y = ultimate (1 - exp(-rate t))

y is the oxygen, in mg/l, used up by the bacteria that decompose what the sample holds; six measurements. Unknown are
the rate in 1/day, the ultimate demand in mg/l, and the standard deviation of the measurements:

    rate ~ LogNormal(log 0.3, 1),    ultimate ~ LogNormal(log 200, 1/2),    noise ~ LogNormal(log 20, 1) mg/l

Data: data/oxygen_demand.csv. The certified least-squares estimates are rate = 0.54724 +- 0.10456 and ultimate =
213.81 +- 12.35 with residual standard deviation 17.088; four degrees of freedom leave the posterior visibly skewed.

Source: Box, Hunter & Hunter (1978), Statistics for Experimenters, Wiley, pp. 483-487; certified as data set BoxBOD of
the NIST Statistical Reference Datasets for nonlinear regression.
"""

from pathlib import Path

import numpy as np
import numpyro.distributions as dist

from uqkit.inputs import Inputs
from uqkit.problems import BoundaryValueProblem, Box, Constraint, Integrated, Measured
from uqkit.results import Reference

_DATA = Path(__file__).resolve().parents[2] / "data" / "oxygen_demand.csv"
_SOURCE = "least squares with its standard error, certified by NIST StRD, BoxBOD"


def make() -> BoundaryValueProblem:
    """First-order decay with unknown `rate` and `ultimate` demand."""
    time, demands = np.loadtxt(_DATA, delimiter=",", skiprows=1).T
    domain = Box(t=(0.0, 10.0), units={"t": "day"})

    return BoundaryValueProblem(
        name="oxygen_demand",
        domain=domain,
        outputs={"demand": "mg/l"},
        constraints=(
            Constraint(
                name="decay",
                operator=lambda demand, rate, ultimate: demand.d("t") - rate * (ultimate - demand.value),
                points=domain.interior,
                noise=Integrated(1e-2),
                unit="mg/(l day)",
            ),
            Constraint(
                name="start",
                operator=lambda demand: demand.value,
                points=domain.face(t=0.0),
                noise=Integrated(1e-3),
                unit="mg/l",
            ),
            Constraint(
                name="measurements",
                operator=lambda demand: demand.value,
                points=time[:, None],
                target=demands,
                noise=Measured(dist.LogNormal(np.log(20.0), 1.0)),
                unit="mg/l",
            ),
        ),
        parameters=Inputs(
            {"rate": dist.LogNormal(np.log(0.3), 1.0), "ultimate": dist.LogNormal(np.log(200.0), 0.5)},
            units={"rate": "1/day", "ultimate": "mg/l"},
        ),
        references={
            "rate": Reference(
                values=(0.54723748542,), standard_error=0.10455993237, kind="published", source=_SOURCE, output="rate"
            ),
            "ultimate": Reference(
                values=(213.80940889,), standard_error=12.354515176, kind="published", source=_SOURCE, output="ultimate"
            ),
        },
    )


problem = make()
