"""The pipes benchmark on gevent; prints the time of each run in µs.

python3 pipes_gevent.py BACKEND listeners|trampoline|kept PIPES ACTIVE WRITES
RUNS

BACKEND is libev's: epoll, poll or select. A trampoline is gevent's wait_read(),
which makes a watcher for every wait; "kept" is a wait on a watcher that each
greenlet makes once.
"""

import os
import resource
import sys
import time

import gevent
from gevent import config
from gevent.event import AsyncResult
from gevent.socket import wait_read

backend, way = sys.argv[1:3]
pipes, active, writes, runs = map(int, sys.argv[3:7])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
config.libev_backend = backend
hub = gevent.get_hub()
ends = [os.pipe2(os.O_NONBLOCK) for _ in range(pipes)]
left = fired = count = 0
done = None
kept = []


def on_ready(index):
    global left, fired, count
    count += len(os.read(ends[index][0], 4))
    if left:
        os.write(ends[(index + 1) % pipes][1], b"e")
        left -= 1
        fired += 1
    if count == fired:
        done.set(time.perf_counter())


def listen(index):
    watcher = hub.loop.io(ends[index][0], 1)
    watcher.start(on_ready, index)
    kept.append(watcher)


def wait_kept(index):
    watcher = hub.loop.io(ends[index][0], 1)
    while True:
        hub.wait(watcher)
        on_ready(index)


def wait(index):
    fd = ends[index][0]
    while True:
        wait_read(fd)
        on_ready(index)


for i in range(pipes):
    if way == "listeners":
        listen(i)
    else:
        gevent.spawn(wait if way == "trampoline" else wait_kept, i)
gevent.sleep(0)
for run in range(runs + 2):
    left, count = writes, 0
    done = AsyncResult()
    for fired in range(active):
        os.write(ends[fired * (pipes // active)][1], b"e")
    fired = active
    start = time.perf_counter()
    micros = (done.get() - start) * 1e6
    if run >= 2:
        print("%.1f" % micros, flush=True)
os._exit(0)
