"""An echo server on eventlet. Prints its port."""

import socket
import sys

import eventlet
import eventlet.hubs

if len(sys.argv) > 1:
    eventlet.hubs.use_hub(sys.argv[1])


def echo(conn, _address):
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while True:
            data = conn.recv(1024)
            if not data:
                return
            conn.sendall(data)
    except OSError:
        pass


listener = eventlet.listen(("127.0.0.1", 0), backlog=1024)
print(listener.getsockname()[1], flush=True)
eventlet.serve(listener, echo, concurrency=100000)
