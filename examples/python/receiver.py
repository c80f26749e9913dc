"""A webhook receiver in Python: verifies, acts once per event, answers at once.

BRIMFUL_WEBHOOK_SECRET=whsec_... python examples/python/receiver.py [PORT]
"""

import http.server
import json
import os
import sys

from brimful_client import WebhookVerificationError, verify_webhook

SECRET = os.environ["BRIMFUL_WEBHOOK_SECRET"]
seen: set[str] = set()  # in a real platform: a table with a unique key


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            event = verify_webhook(SECRET, dict(self.headers), body)
        except (WebhookVerificationError, ValueError):
            self.send_response(400)
            self.end_headers()
            return
        if event.id not in seen:  # the same event may come twice
            seen.add(event.id)
            print(json.dumps({"id": event.id, "type": event.type, "data": event.data}), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
