"""The benchmarks of tasks on gevent: SUBJECT. Prints JSON."""

import json
import os
import random
import sys
import time

import gevent
from gevent.event import Event

from tasks_common import (CANCELS, SPAWNS, SWITCHES, TIMERS, TRIPS, Lateness,
                          Resident)


def switch(tasks):
    each = SWITCHES // tasks

    def run():
        for _ in range(each):
            gevent.sleep(0)

    threads = [gevent.spawn(run) for _ in range(tasks)]
    start = time.perf_counter()
    gevent.joinall(threads)
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
        gevent.sleep(0)
        left -= 1
        if left == 0:
            done.set()

    start = time.perf_counter()
    for _ in range(SPAWNS):
        gevent.spawn(run)
    done.wait()
    seconds = time.perf_counter() - start
    return {"ms": seconds * 1e3, "bytes": alive / SPAWNS}


def pingpong():
    hub = gevent.get_hub()
    there, there_end = os.pipe2(os.O_NONBLOCK)
    back, back_end = os.pipe2(os.O_NONBLOCK)

    def serve():
        readable = hub.loop.io(there, 1)
        while True:
            hub.wait(readable)
            os.write(back_end, os.read(there, 1))

    def ask():
        readable = hub.loop.io(back, 1)
        for _ in range(TRIPS):
            os.write(there_end, b"x")
            hub.wait(readable)
            os.read(back, 1)

    gevent.spawn(serve)
    start = time.perf_counter()
    gevent.spawn(ask).join()
    return {"perSecond": TRIPS / (time.perf_counter() - start)}


def timers():
    loop = gevent.get_hub().loop
    late = Lateness()
    done = Event()
    kept = []

    def fire(due):
        if late.note(time.monotonic() - due):
            done.set()

    cpu = time.process_time()
    for _ in range(TIMERS):
        delay = random.random()
        timer = loop.timer(delay)
        timer.start(fire, time.monotonic() + delay, update=True)
        kept.append(timer)
    done.wait()
    return late.result(time.process_time() - cpu)


def cancel():
    loop = gevent.get_hub().loop
    start = time.perf_counter()
    for _ in range(CANCELS):
        timer = loop.timer(10)
        timer.start(print)
        timer.stop()
        timer.close()
    return {"ns": (time.perf_counter() - start) * 1e9 / CANCELS}


subjects = {"switch2": lambda: switch(2), "switch100": lambda: switch(100),
            "spawn": spawn, "pingpong": pingpong, "timers": timers,
            "cancel": cancel}
print(json.dumps(subjects[sys.argv[1]]()), flush=True)
os._exit(0)
