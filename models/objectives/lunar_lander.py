"""Lunar lander: twelve parameters of a hand-written controller, judged by the landings it makes.

The controller steers by a wanted tilt and a wanted height. With position (x, y), velocity (vx, vy), tilt and its rate:

    wanted tilt   = slope_x x + slope_vx vx, held within +-tilt_limit
    wanted height = height_slope |x|
    turn  = tilt_gain (wanted tilt - tilt) - rate_gain rate          touching ground: contact_turn
    climb = height_gain (wanted height - y) - fall_gain vy           touching ground: -contact_fall_gain vy

It fires the main engine if climb exceeds both |turn| and climb_threshold, else a side engine if |turn| exceeds
turn_threshold. The output is the mean reward over fixed terrains, maximised; 200 counts as solved. The parameters that
the environment's authors chose by hand, (0.5, 1, 0.4, 0.55, 0.5, 1, 0.5, 0.5, 0, 0.5, 0.05, 0.05), pass that on nine
terrains of ten. The reward jumps where a landing becomes a crash.

Needs Gymnasium with Box2D: pip install 'gymnasium[box2d]'.

Source: Eriksson, Pearce, Gardner, Turner & Poloczek (2019), Scalable global optimization via local Bayesian
optimization, NeurIPS, arXiv 1910.01739; the environment is LunarLander-v3 of Towers et al. (2024), Gymnasium, arXiv
2407.17032.
"""

import importlib

import numpy as np
import numpyro.distributions as dist

from uqkit.errors import InputError
from uqkit.problems import ForwardModel, Objective

PARAMETERS = {
    "slope_x": "wanted tilt an offset",
    "slope_vx": "wanted tilt a sideways velocity",
    "tilt_limit": "largest wanted tilt",
    "height_slope": "wanted height an offset",
    "tilt_gain": "turn a missing tilt",
    "rate_gain": "turn against the rate of tilt",
    "height_gain": "climb a missing height",
    "fall_gain": "climb against the vertical velocity",
    "contact_turn": "turn when touching ground",
    "contact_fall_gain": "climb against the vertical velocity when touching ground",
    "climb_threshold": "least climb that fires the main engine",
    "turn_threshold": "least turn that fires a side engine",
}

_NOTHING, _LEFT, _MAIN, _RIGHT = range(4)


def controller_action(state, parameters) -> int:
    """Engine that the controller fires.

    Args:
        state: Position, velocity, tilt, its rate, and whether each leg touches ground, as the environment gives them.
        parameters: In the order of `PARAMETERS`.

    Returns:
        The environment's number of the action: 0 nothing, 1 left, 2 main, 3 right engine.
    """
    x, y, vx, vy, tilt, rate, *legs = (float(value) for value in state)
    (
        slope_x,
        slope_vx,
        tilt_limit,
        height_slope,
        tilt_gain,
        rate_gain,
        height_gain,
        fall_gain,
        contact_turn,
        contact_fall_gain,
        climb_threshold,
        turn_threshold,
    ) = parameters
    if any(legs):
        turn, climb = contact_turn, -contact_fall_gain * vy
    else:
        wanted_tilt = min(max(slope_x * x + slope_vx * vx, -tilt_limit), tilt_limit)
        turn = tilt_gain * (wanted_tilt - tilt) - rate_gain * rate
        climb = height_gain * (height_slope * abs(x) - y) - fall_gain * vy
    if climb > max(abs(turn), climb_threshold):
        return _MAIN
    if abs(turn) > turn_threshold:
        return _LEFT if turn > 0 else _RIGHT
    return _NOTHING


def _environment():
    try:
        gymnasium = importlib.import_module("gymnasium")
        importlib.import_module("Box2D")
    except ImportError as error:
        raise InputError(
            f"the lunar lander needs Gymnasium with Box2D, which are not installed ({error}): "
            "pip install gymnasium[box2d]."
        ) from error
    return gymnasium.make("LunarLander-v3", disable_env_checker=True)


def make(*, n_episodes: int = 50) -> Objective:
    """Mean reward of the controller.

    Args:
        n_episodes: Landings, on the terrains and with the first pushes that the environment makes of the seeds
            0, 1, ....
    """
    if n_episodes < 1:
        raise InputError(f"`n_episodes` is {n_episodes}; pass at least one landing.")

    def lunar_lander(point):
        parameters = [float(value) for value in point]
        environment = _environment()
        total = 0.0
        try:
            for seed in range(n_episodes):
                state, _ = environment.reset(seed=seed)
                is_over = False
                while not is_over:
                    state, reward, has_ended, is_out_of_time, _ = environment.step(controller_action(state, parameters))
                    total += float(reward)
                    is_over = has_ended or is_out_of_time
        finally:
            environment.close()
        return np.float64(total / n_episodes)

    inputs = {name: dist.Uniform(0.0, 2.0) for name in PARAMETERS}
    forward = ForwardModel(lunar_lander, name="lunar_lander", inputs=inputs, outputs=("reward",))
    return Objective(forward, maximise=True)


problem = make()
