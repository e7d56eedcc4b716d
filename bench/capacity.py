"""How full the cores that hash may be: logins by chance, as many people send them, simulated.

`python bench/capacity.py --login 0.19`: seconds of CPU that one costs. Each process hashes on one core (the two
threads that share it are one here), lets 24 wait, and refuses whom it has not begun within 5 seconds, as
app/security/hashing.py has it. Prints a table; docs/scale.md quotes it.
"""

import random  # noqa: TID251 - chance, no secret
import sys
from argparse import ArgumentParser
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

LOADS = (0.5, 0.7, 0.8, 0.9, 1.0, 1.2, 2.0)  # of what the cores can do
LOGINS = 200_000


def simulate(load, cost, seed=1):
    """Return how long each who is let in waits for the answer, in seconds, and how many of all are refused.

    Logins come one by one at random to one process, which takes them in their order.
    """
    from app.security.hashing import PATIENCE, ROOM

    chance = random.Random(seed)
    now, free, refused, ends, seconds = 0.0, 0.0, 0, deque(), []  # ends: of those inside
    for _ in range(LOGINS):
        now += chance.expovariate(load / cost)
        while ends and ends[0] <= now:
            ends.popleft()
        begins = max(now, free)
        if len(ends) >= 1 + ROOM or begins - now > PATIENCE:
            refused += 1
            continue
        free = begins + cost
        ends.append(free)
        seconds.append(free - now)
    return sorted(seconds), refused


def main():
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--login", type=float, default=0.19, help="seconds of CPU")
    cost = parser.parse_args().log_in
    print("| the cores that hash are busy by | half are in within | 99 of 100 within | refused |\n|---|---|---|---|")
    for load in LOADS:
        seconds, refused = simulate(load, cost)
        half, most = (seconds[int(share * len(seconds))] for share in (0.5, 0.99))
        print(f"| {load:.0%} | {half:.1f} s | {most:.1f} s | {refused / LOGINS:.1%} |")


if __name__ == "__main__":
    main()
