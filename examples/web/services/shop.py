"""A web shop of one page, as `python3 shop.py PORT NAME`. It says which of its copies answered."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ITEMS = {"rope": 12, "shackle": 4, "turnbuckle": 30}


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        match self.path.split("?")[0]:
            case "/healthz":
                self.say(200, {"well": True})
            case "/" | "/items":
                self.say(
                    200, {"items": ITEMS, "served_by": NAME, "seen_from": self.headers["X-Forwarded-For"]}
                )
            case path:
                self.say(404, {"error": f"the shop has no {path}"})

    def say(self, code, value):
        body = json.dumps(value).encode() + b"\n"
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


if __name__ == "__main__":
    PORT, NAME = int(sys.argv[1]), sys.argv[2]
    ThreadingHTTPServer(("127.0.0.1", PORT), Shop).serve_forever()
