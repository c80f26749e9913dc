#!/bin/sh
# stripe 16.1.0 (PyPI): `StripeError.code` is None for 401, 403, 409, 424, 429 and 5xx although the answer's error object has a
# `code`; it is one level deeper, in `StripeError.error.code`. For 400, 402 and 404 both are set. So code that logs or switches on
# `error.code` sees neither `lock_timeout` nor `rate_limit`.
set -eu
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check stripe==16.1.0
HOME="$dir" "$dir/venv/bin/python" - >"$dir/seen" <<'PY'
import http.server, json, threading
import stripe

class Api(http.server.BaseHTTPRequestHandler):
    status = 400
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps({"error": {"type": "invalid_request_error", "code": "a_code", "message": "m"}}).encode()
        self.send_response(self.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
addresses = {"api": f"http://127.0.0.1:{server.server_port}"}
client = stripe.StripeClient("sk_test_x", base_addresses=addresses, max_network_retries=0)
for Api.status in (400, 401, 402, 403, 404, 409, 424, 429, 500):
    try:
        client.v1.customers.create({})
    except stripe.StripeError as error:
        print(Api.status, type(error).__name__, error.code, error.error.code)
PY
cat >"$dir/expected" <<'END'
400 InvalidRequestError a_code a_code
401 AuthenticationError None a_code
402 CardError a_code a_code
403 PermissionError None a_code
404 InvalidRequestError a_code a_code
409 APIError None a_code
424 APIError None a_code
429 RateLimitError None a_code
500 APIError None a_code
END
diff "$dir/expected" "$dir/seen" && cat "$dir/seen" && echo "as described"
