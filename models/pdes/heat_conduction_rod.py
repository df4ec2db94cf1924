"""Measured temperatures along a heated aluminium rod: unknown heat flux and loss to the air.

    T'' = 4 h / (a k) (T - Ta)    on [0, 70] cm,    k T'(0) = flux,    k T'(70) = h (Ta - T(70))

A square rod of side a = 0.95 cm and conductivity k = 2.37 W/(cm degC) is heated at x = 0 and loses heat to air of
Ta = 21.29 degC, uninsulated, at all other faces; steady temperatures were measured at 15 places. Unknown are the flux
k T'(0) (negative: heat flows in) in W/cm2, the coefficient h of heat transfer in W/(cm2 degC), and the standard
deviation of the measurements:

    flux ~ Normal(-15, 10),    h ~ LogNormal(log 0.002, 1),    noise ~ LogNormal(log 0.3, 1) degC

Data: data/heat_conduction_rod.csv. Least squares on the closed form, cosh and sinh of the fin parameter
sqrt(4 h / (a k)) x, gives the published estimates flux = -18.41 +- 0.1450, h = 0.00191 +- 1.4482e-5, noise 0.2504.

Source: Smith (2013), Uncertainty Quantification: Theory, Implementation, and Applications, SIAM, Table 3.2.
"""

from pathlib import Path

import numpy as np
import numpyro.distributions as dist

from uqkit.inputs import Inputs
from uqkit.problems import BoundaryValueProblem, Box, Constraint, Integrated, Measured
from uqkit.results import Reference

_DATA = Path(__file__).resolve().parents[2] / "data" / "heat_conduction_rod.csv"
_SIDE, _LENGTH, _CONDUCTIVITY, _AIR = 0.95, 70.0, 2.37, 21.29
_SOURCE = "least squares with its standard error, Smith (2013)"


def make() -> BoundaryValueProblem:
    """Aluminium rod with unknown `flux` and `h`."""
    position, temperatures = np.loadtxt(_DATA, delimiter=",", skiprows=1).T
    domain = Box(x=(0.0, _LENGTH), units={"x": "cm"})

    return BoundaryValueProblem(
        name="heat_conduction_rod",
        domain=domain,
        outputs={"temperature": "degC"},
        constraints=(
            Constraint(
                name="conduction",
                operator=lambda temperature, h: (
                    temperature.d("x", 2) - 4 * h / (_SIDE * _CONDUCTIVITY) * (temperature.value - _AIR)
                ),
                points=domain.interior,
                noise=Integrated(1e-5),
                unit="degC/cm2",
            ),
            Constraint(
                name="heated_end",
                operator=lambda temperature, flux: _CONDUCTIVITY * temperature.d("x") - flux,
                points=domain.face(x=0.0),
                noise=Integrated(1e-4),
                unit="W/cm2",
            ),
            Constraint(
                name="free_end",
                operator=lambda temperature, h: _CONDUCTIVITY * temperature.d("x") + h * (temperature.value - _AIR),
                points=domain.face(x=_LENGTH),
                noise=Integrated(1e-4),
                unit="W/cm2",
            ),
            Constraint(
                name="thermocouples",
                operator=lambda temperature: temperature.value,
                points=position[:, None],
                target=temperatures,
                noise=Measured(dist.LogNormal(np.log(0.3), 1.0)),
                unit="degC",
            ),
        ),
        parameters=Inputs(
            {"flux": dist.Normal(-15.0, 10.0), "h": dist.LogNormal(np.log(0.002), 1.0)},
            units={"flux": "W/cm2", "h": "W/(cm2 degC)"},
            descriptions={"flux": "conductivity times slope at the heated end", "h": "coefficient of heat transfer"},
        ),
        references={
            "flux": Reference(values=(-18.41,), standard_error=0.145, kind="published", source=_SOURCE, output="flux"),
            "h": Reference(values=(0.00191,), standard_error=1.4482e-5, kind="published", source=_SOURCE, output="h"),
        },
    )


problem = make()
