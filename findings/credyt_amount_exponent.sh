#!/bin/sh
# credyt-api 0.2.0 (PyPI): it takes amounts as `Decimal` and sends them as `repr` writes a float. Below 0.0001 that is a number with an
# exponent: 0.00005 dollars, the price of a few tokens, is sent as `5e-05`. Valid JSON (RFC 8259), but a server that reads money with a
# pattern for plain decimals refuses it, and JavaScript's client of the same API would send `0.00005`.
set -eu
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check credyt-api==0.2.0
HOME="$dir" "$dir/venv/bin/python" - >"$dir/seen" <<'PY'
import http.server, json, re, threading
from decimal import Decimal
from corehttp.credentials import ServiceKeyCredential
from credytapi import CredytApiClient, models

class Api(http.server.BaseHTTPRequestHandler):
    bodies = []
    def do_POST(self):
        self.bodies.append(self.rfile.read(int(self.headers["content-length"])).decode())
        body = json.dumps({"id": "adj_1", "created_at": "2026-01-01T00:00:00Z"}).encode()
        self.send_response(201)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = CredytApiClient(ServiceKeyCredential("k"), endpoint=f"http://127.0.0.1:{server.server_port}")
for amount in ("0.01", "0.0001", "0.00005"):
    wanted = models.CreateAdjustmentRequest(transaction_id="t", amount=Decimal(amount), asset="USD", reason="gift")
    client.wallets.customer_wallet_ops.create_adjustment("cus_1", wanted)
for body in Api.bodies:
    print(re.search(r'"amount":\s*([^,}]+)', body)[1])
PY
printf '0.01\n0.0001\n5e-05\n' >"$dir/expected"
diff "$dir/expected" "$dir/seen" && cat "$dir/seen" && echo "as described"
