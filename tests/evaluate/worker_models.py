"""Models that worker processes can import."""

import os
import time


def slow(x):
    time.sleep(0.002)
    return x[0] + x[1] ** 2


def kills_its_worker(x):
    if x[0] > 0.97:
        os._exit(9)
    return x[0]


def fails_sometimes(x):
    if x[0] > 0.95:
        raise ValueError("too large")
    return x[0]
