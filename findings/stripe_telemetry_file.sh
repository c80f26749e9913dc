#!/bin/sh
# stripe 16.1.0 (PyPI): the first API call of a process writes `~/.config/stripe/telemetry_id`, a random id of the machine, also
# when the call is refused. It matters in containers with a read-only home, and where one process may not leave traces.
set -eu
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check stripe==16.1.0
mkdir "$dir/home"
env -i PATH="$PATH" HOME="$dir/home" "$dir/venv/bin/python" - <<'PY'
import http.server, threading
import stripe

class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"object": "balance", "available": [], "pending": [], "livemode": false}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = stripe.StripeClient("sk_test_x", base_addresses={"api": f"http://127.0.0.1:{server.server_port}"})
client.v1.balance.retrieve()
PY
seen=$(cd "$dir/home" && find . -type f)
[ "$seen" = "./.config/stripe/telemetry_id" ] || { echo "changed: '$seen'" >&2; exit 1; }
echo "written at the first call: $seen ($(wc -c <"$dir/home/.config/stripe/telemetry_id") bytes)"
echo "as described"
