"""A student of signs and its teachers: theory of how much is learned and kept, and a simulator to check it by.

    theory = state_evolution((1.0,) * 5)      # five tasks with as many rows as weights
    theory.accuracy                            # after each task, on each

`predict_teacher_student` and `simulate_teacher_student` in `uqkit.continual` give the same as results, to be drawn
like those of learners.
"""

from uqkit.continual.teacher_student.bayes_optimal import BayesOptimal, bayes_optimal, spinodal_load, transition_load
from uqkit.continual.teacher_student.franz_parisi import FranzParisi, franz_parisi
from uqkit.continual.teacher_student.simulate import Simulation, simulate
from uqkit.continual.teacher_student.state_evolution import NotConvergedError, StateEvolution, state_evolution

__all__ = [
    "BayesOptimal",
    "FranzParisi",
    "NotConvergedError",
    "Simulation",
    "StateEvolution",
    "bayes_optimal",
    "franz_parisi",
    "simulate",
    "spinodal_load",
    "state_evolution",
    "transition_load",
]
