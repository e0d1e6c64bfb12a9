"""A synchronous request to a slow server, as `requests` would make it."""

import socket
import threading
import time

CLASS = "blocked"


def _answer_late(server: socket.socket) -> None:
    connection, _ = server.accept()
    connection.recv(1024)
    time.sleep(0.4)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    connection.close()


async def culprit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer_late, args=(server,)).start()
        with socket.create_connection(server.getsockname()) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.recv(1024)  # <- here
