"""The benchmarks of tasks on eventlet: SUBJECT [HUB]. Prints JSON."""

import json
import os
import random
import sys
import time

import eventlet
import eventlet.hubs
from eventlet.event import Event

from tasks_common import (CANCELS, SPAWNS, SWITCHES, TIMERS, TRIPS, Lateness,
                          Resident)

if len(sys.argv) > 2:
    eventlet.hubs.use_hub(sys.argv[2])


def switch(tasks):
    each = SWITCHES // tasks

    def run():
        for _ in range(each):
            eventlet.sleep(0)

    threads = [eventlet.spawn(run) for _ in range(tasks)]
    start = time.perf_counter()
    for thread in threads:
        thread.wait()
    seconds = time.perf_counter() - start
    return {"ns": seconds * 1e9 / (each * tasks)}


def spawn():
    resident = Resident()
    left = SPAWNS
    started = 0
    alive = 0
    done = Event()

    def run():
        nonlocal left, started, alive
        started += 1
        if started == SPAWNS:
            alive = resident.more()
        eventlet.sleep(0)
        left -= 1
        if left == 0:
            done.send()

    start = time.perf_counter()
    for _ in range(SPAWNS):
        eventlet.spawn(run)
    done.wait()
    seconds = time.perf_counter() - start
    return {"ms": seconds * 1e3, "bytes": alive / SPAWNS}


def pingpong():
    there, there_end = os.pipe2(os.O_NONBLOCK)
    back, back_end = os.pipe2(os.O_NONBLOCK)

    def serve():
        while True:
            eventlet.hubs.trampoline(there, read=True)
            os.write(back_end, os.read(there, 1))

    eventlet.spawn(serve)
    start = time.perf_counter()
    for _ in range(TRIPS):
        os.write(there_end, b"x")
        eventlet.hubs.trampoline(back, read=True)
        os.read(back, 1)
    return {"perSecond": TRIPS / (time.perf_counter() - start)}


def timers():
    hub = eventlet.hubs.get_hub()
    late = Lateness()
    done = Event()

    def fire(due):
        if late.note(time.monotonic() - due):
            done.send()

    cpu = time.process_time()
    for _ in range(TIMERS):
        delay = random.random()
        hub.schedule_call_global(delay, fire, time.monotonic() + delay)
    done.wait()
    return late.result(time.process_time() - cpu)


def cancel():
    hub = eventlet.hubs.get_hub()
    eventlet.sleep(0)
    start = time.perf_counter()
    for _ in range(CANCELS):
        hub.schedule_call_global(10, print).cancel()
    eventlet.sleep(0)
    return {"ns": (time.perf_counter() - start) * 1e9 / CANCELS}


subjects = {"switch2": lambda: switch(2), "switch100": lambda: switch(100),
            "spawn": spawn, "pingpong": pingpong, "timers": timers,
            "cancel": cancel}
print(json.dumps(subjects[sys.argv[1]]()), flush=True)
os._exit(0)
