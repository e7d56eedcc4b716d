"""Measure a bare password check: `python raw_hash.py HASH COUNT` prints CPU and wall seconds."""

import hashlib
import sys
import time


def check(hashed):
    if hashed.startswith("scrypt:"):
        from werkzeug.security import check_password_hash

        return lambda: check_password_hash(hashed, "a wrong one")
    if hashed.startswith("$argon2"):
        from argon2.low_level import Type, hash_secret_raw

        memory, passes, lanes = (int(part.partition("=")[2]) for part in hashed.split("$")[3].split(","))
        return lambda: hash_secret_raw(b"a wrong one", b"x" * 16, passes, memory, lanes, 32, Type.ID)
    _, rounds, salt, _ = hashed.split("$")
    return lambda: hashlib.pbkdf2_hmac("sha256", b"a wrong one", salt.encode(), int(rounds))


if __name__ == "__main__":
    once, cpu, clock = check(sys.argv[1]), time.process_time, time.perf_counter
    once()
    begun_cpu, begun = cpu(), clock()
    for _ in range(int(sys.argv[2])):
        once()
    print(cpu() - begun_cpu, clock() - begun)
