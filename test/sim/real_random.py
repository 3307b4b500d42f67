"""Products draw real random numbers: BoringSSL's deterministic ones are in the simulation alone.

real_random.py SIM_TEST PROGRAM...
"""
import sys

MARK = b"RAND_reset_for_fuzzing"


def has_mark(path):
    with open(path, "rb") as file:
        return MARK in file.read()


simulation, *products = sys.argv[1:]
wrong = [path for path in products if has_mark(path)]
for path in wrong:
    print(f"{path}: linked with the deterministic BoringSSL")
if not has_mark(simulation):
    print(f"{simulation}: not linked with the deterministic BoringSSL, or stripped")
    wrong.append(simulation)
sys.exit(1 if wrong or not products else 0)
