"""Simulate logins that arrive at random at a process that hashes on one core.

`python bench/capacity.py --login 0.19` prints the table in docs/scale.md for logins that cost 0.19 seconds of CPU. The
limits of the queue are those of app/security/hash_threads.py.
"""

import random  # noqa: TID251 - for a simulation, not for secrets
import sys
from argparse import ArgumentParser
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

LOADS = (0.5, 0.7, 0.8, 0.9, 1.0, 1.2, 2.0)  # shares of the core's capacity
LOGINS = 200_000


def simulate(load, cost):
    """Return the sorted times until the answer, in seconds, and the number of refused logins."""
    from app.security.hash_threads import MAX_CALLS, MAX_WAIT

    chance = random.Random(1)
    now, free, refused, ends, seconds = 0.0, 0.0, 0, deque(), []  # ends: of the logins that run or wait
    for _ in range(LOGINS):
        now += chance.expovariate(load / cost)
        while ends and ends[0] <= now:
            ends.popleft()
        begins = max(now, free)
        if len(ends) >= MAX_CALLS or (len(ends) + 1) * cost > MAX_WAIT:
            refused += 1
            continue
        free = begins + cost
        ends.append(free)
        seconds.append(free - now)
    return sorted(seconds), refused


def main():
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--login", type=float, default=0.19, help="seconds of CPU")
    cost = parser.parse_args().login
    print("| load of the hashing cores | median wait | 99th percentile | refused |\n|---|---|---|---|")
    for load in LOADS:
        seconds, refused = simulate(load, cost)
        half, most = (seconds[int(share * len(seconds))] for share in (0.5, 0.99))
        print(f"| {load:.0%} | {half:.1f} s | {most:.1f} s | {refused / LOGINS:.1%} |")


if __name__ == "__main__":
    main()
