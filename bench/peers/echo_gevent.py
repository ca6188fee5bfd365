"""An echo server on gevent. Prints its port."""

import socket

from gevent.server import StreamServer


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


server = StreamServer(("127.0.0.1", 0), echo, backlog=1024)
server.start()
print(server.address[1], flush=True)
server.serve_forever()
