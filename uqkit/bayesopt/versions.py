"""What tells two modules of torch apart: a version that changes with their numbers and settings."""

import hashlib

import botorch
import numpy as np
import torch

from uqkit.problems.callables import function_version

__all__ = ["module_version"]


def module_version(module: torch.nn.Module) -> str | None:
    """Hash of BoTorch's version, a module's class, and its tensors and settings; None if one cannot be hashed.

    `function_version` would differ between two equal modules, which are pickled with the addresses of their tensors.
    """
    held = dict(module.state_dict())
    for place, part in module.named_modules():
        own = {name: value for name, value in vars(part).items() if name not in vars(torch.nn.Module())}
        held |= {f"{place}.{name}" if place else name: value for name, value in own.items()}
    digest = hashlib.sha256(repr((botorch.__version__, function_version(type(module)))).encode())
    for name, value in sorted(held.items()):
        if isinstance(value, (torch.Tensor, np.ndarray)):
            array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
        elif value is None or isinstance(value, (bool, int, float, str, tuple, list)):
            digest.update(f"{name} {value!r}".encode())
        else:
            return None
    return digest.hexdigest()[:16]
