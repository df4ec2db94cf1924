"""Tests of what needs BoTorch are left out where it is not installed."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("botorch") else ["test_*.py"]
