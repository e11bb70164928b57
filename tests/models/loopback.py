"""A small HTTP server on the loopback that serves files with ranges, and fails where a test wants it to."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """What is served (path -> bytes), how it misbehaves, and what was asked for."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.cut_after: list[int] = []
        """For each coming transfer: close the connection after this many bytes."""
        self.ranges = True
        self.status: dict[str, int] = {}
        self.moved: dict[str, str] = {}
        """path -> address that it redirects to."""
        self.asked: list[tuple[str, str | None, str | None]] = []
        """path, Range, Authorization of every request."""
        self.url = ""

    def add_json(self, path, value):
        self.files[path] = json.dumps(value).encode()


@contextmanager
def serve():
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def log_message(self, *args):
            pass

        def do_GET(self):
            path = self.path.split("?")[0]
            wanted = self.headers.get("Range")
            site.asked.append((self.path, wanted, self.headers.get("Authorization")))
            status = site.status.get(path, 200 if path in site.files else 404)
            if path in site.moved:
                self.send_response(302)
                self.send_header("Location", site.moved[path])
                self.end_headers()
                return
            if status != 200:
                self.send_error(status)
                return
            body = site.files[path]
            begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and site.ranges else 0
            if begin > len(body):
                self.send_error(416)
                return
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(body) - begin))
            self.send_header("Content-Type", "text/html" if path.endswith("/") else "application/octet-stream")
            self.end_headers()
            cut = site.cut_after.pop(0) if site.cut_after else len(body)
            self.wfile.write(body[begin : begin + cut])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
