"""Bare greenlets, no hub: switch2 and spawn. Prints one line of JSON."""

import json
import sys
import time

from greenlet import getcurrent, greenlet

from tasks_common import SPAWNS, SWITCHES, Resident


def switch2():
    parent = getcurrent()
    each = SWITCHES // 2

    def run():
        for _ in range(each):
            parent.switch()

    task = greenlet(run)
    start = time.perf_counter()
    for _ in range(each):
        task.switch()
    seconds = time.perf_counter() - start
    return {"ns": seconds * 1e9 / (2 * each)}


def spawn():
    parent = getcurrent()
    resident = Resident()

    def run():
        parent.switch()

    start = time.perf_counter()
    tasks = [greenlet(run) for _ in range(SPAWNS)]
    for task in tasks:
        task.switch()
    alive = resident.more()
    for task in tasks:
        task.switch()
    seconds = time.perf_counter() - start
    return {"ms": seconds * 1e3, "bytes": alive / SPAWNS}


print(json.dumps({"switch2": switch2, "spawn": spawn}[sys.argv[1]]()))
