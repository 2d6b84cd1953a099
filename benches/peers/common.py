"""What the scripts of this folder share: `fold` beside them, cases measured in turns, and their quartiles as lines of CSV."""

import subprocess
import sys
import time

try:
    import numpy as np
    import torch
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)


class Beside:
    """The program `beside`, started with these arguments: it answers each request with its nanoseconds."""

    def __init__(self, *arguments):
        self.child = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def case(self, work):
        """A case that it does."""

        def ask():
            self.child.stdin.write(work + "\n")
            self.child.stdin.flush()
            return int(self.child.stdout.readline())

        return ask

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def measure(group, amount, rounds, cases, before=lambda: None):
    """Prints one line per case: its name and quartiles of its times, all cases taking turns; the first turn warms up.

    A case is a function that does the work and is timed, or returns the nanoseconds that it took elsewhere. `before` is called
    before each and is not timed.
    """
    times = {name: [] for name in cases}
    for turn in range(rounds + 1):
        for name, work in cases.items():
            before()
            start = time.perf_counter_ns()
            told = work()
            took = time.perf_counter_ns() - start
            if turn:
                times[name].append(told if isinstance(told, int) else took)
    for name, taken in times.items():
        low, median, high = (int(value) for value in np.percentile(taken, [25, 50, 75]))
        print(f"{group},{name},{amount},{rounds},{low},{median},{high}", flush=True)
