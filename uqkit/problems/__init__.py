"""What is solved: forward models, and the catalogue of ready-made ones."""

from uqkit.problems.call import Call
from uqkit.problems.catalogue import CatalogueEntry, catalogue, load
from uqkit.problems.forward import ForwardModel
from uqkit.problems.outputs import Output, Outputs

__all__ = ["Call", "CatalogueEntry", "ForwardModel", "Output", "Outputs", "catalogue", "load"]
