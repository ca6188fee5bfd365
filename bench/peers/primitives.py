"""What bench/primitives_bench.ts measures, for eventlet or gevent.

Reads lines "<work> <n>", does the work n times, and answers with a line.
"""

import sys

peer = sys.argv[1]
if peer == "eventlet":
    import eventlet
    from eventlet import GreenPool, sleep, spawn
    from eventlet.queue import LightQueue
    from eventlet.semaphore import Semaphore

    def join(greenthreads):
        for gt in greenthreads:
            gt.wait()

    def new_pool():
        return GreenPool(10).imap
else:
    from gevent import joinall as join
    from gevent import sleep, spawn
    from gevent.lock import Semaphore
    from gevent.pool import Pool
    from gevent.queue import Queue as LightQueue

    def new_pool():
        return lambda fn, items: Pool(10).imap(fn, items, maxsize=10)


def handoff(n):
    queue = LightQueue(1)

    def take():
        for _ in range(n):
            queue.get()

    taker = spawn(take)
    for i in range(n):
        queue.put(i)
    join([taker])


def contention(n):
    semaphore = Semaphore(1)

    def work():
        for _ in range(n // 10):
            semaphore.acquire()
            sleep(0)
            semaphore.release()

    join([spawn(work) for _ in range(10)])


def imap(n):
    def work(i):
        sleep(0)
        return i

    total = 0
    for i in new_pool()(work, range(n)):
        total += i
    assert total == n * (n - 1) // 2


works = {"handoff": handoff, "contention": contention, "imap": imap}
print("ready", flush=True)
for line in sys.stdin:
    work, n = line.split()
    works[work](int(n))
    print("done", flush=True)
