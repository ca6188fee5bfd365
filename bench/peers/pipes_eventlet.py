"""The pipes benchmark on eventlet; prints the time of each run in µs.

python3 pipes_eventlet.py HUB listeners|trampoline PIPES ACTIVE WRITES RUNS
"""

import os
import resource
import sys
import time

import eventlet
import eventlet.hubs
from eventlet.event import Event

hub_name, way = sys.argv[1:3]
pipes, active, writes, runs = map(int, sys.argv[3:7])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
eventlet.hubs.use_hub(hub_name)
hub = eventlet.hubs.get_hub()
ends = [os.pipe2(os.O_NONBLOCK) for _ in range(pipes)]
left = fired = count = 0
done = None


def on_ready(index):
    global left, fired, count
    count += len(os.read(ends[index][0], 4))
    if left:
        os.write(ends[(index + 1) % pipes][1], b"e")
        left -= 1
        fired += 1
    if count == fired:
        done.send(time.perf_counter())


def listen(index):
    hub.add(hub.READ, ends[index][0], lambda _fd: on_ready(index),
            lambda _error: None, None)


def wait(index):
    fd = ends[index][0]
    while True:
        eventlet.hubs.trampoline(fd, read=True)
        on_ready(index)


for i in range(pipes):
    if way == "listeners":
        listen(i)
    else:
        eventlet.spawn_n(wait, i)
eventlet.sleep(0)
for run in range(runs + 2):
    left, count = writes, 0
    done = Event()
    for fired in range(active):
        os.write(ends[fired * (pipes // active)][1], b"e")
    fired = active
    start = time.perf_counter()
    micros = (done.wait() - start) * 1e6
    if run >= 2:
        print("%.1f" % micros, flush=True)
os._exit(0)
