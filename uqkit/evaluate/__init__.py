"""Running a forward model at many points: batches, failed points as rows, and the journal that makes it resumable."""

from uqkit.evaluate.evaluations import Evaluations, Status
from uqkit.evaluate.journal import Journal
from uqkit.evaluate.run import FailurePolicy, evaluate

__all__ = ["Evaluations", "FailurePolicy", "Journal", "Status", "evaluate"]
