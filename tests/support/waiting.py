"""How the tests wait: for a condition, with a bound that only a failure reaches, however busy the machine is."""

import time

PATIENCE = 120  # seconds


def until(condition, what="it", seconds=PATIENCE):
    """Wait until `condition()` is true, and return its value."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.01)
    return found
