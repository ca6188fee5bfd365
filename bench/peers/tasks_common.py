"""How much the Python programs do, and what they measure alike."""

import resource

SWITCHES = 400_000
SPAWNS = 100_000
TRIPS = 50_000
TIMERS = 100_000
CANCELS = 200_000


class Resident:
    """Resident memory, in bytes, since this was made."""

    def __init__(self):
        self.before = self.now()

    @staticmethod
    def now():
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def more(self):
        return self.now() - self.before


class Lateness:
    """How late timers are."""

    def __init__(self):
        self.count = 0
        self.sum = 0.0
        self.earliest = float("inf")

    def note(self, seconds):
        self.count += 1
        self.sum += seconds * 1e3
        self.earliest = min(self.earliest, seconds * 1e3)
        return self.count == TIMERS

    def result(self, cpu):
        return {"cpu": cpu, "late": self.sum / self.count,
                "earliest": self.earliest}
