"""What nobody should send: numbers, texts, bodies, forms and addresses that have stopped or fooled other systems."""

import json

__all__ = ["BODIES", "DEEP", "MARKUP", "NUMBERS", "PLACES", "SIGNATURES", "TEXTS", "number_token"]

# As text, or as a token of JSON. `int(Decimal("1E+1000000"))` runs for twenty seconds.
NUMBERS = (
    "NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "inf", "1E+1000000", "1e1000000", "-1E+1000000", "1E-1000000",
    "1e400", "1E5", "1_000", " 12", "12 ", "12\n", "\t1", "+1", "--1", "-", "", ".", "1.", ".5", "00", "01", "-0",
    "-0.0",
    "0", "-1", "0x10", "0b1", "1,000", "1.000,00", "1'000", "١٢", "१२", "１２", "1²", "½", "1\u200b2", "1\x002",
    "1.0000000000001", "0.0000000000001", "1234567890123456789", "9" * 400, "0." + "9" * 400, "9" * 200_000, "1e",
    "e1",
    "1e+", "1.2.3", "1/2", "$5", "5 USD", "null", "true", "[]", "{}", "1;DROP TABLE entries", "' OR 1=1 --", "\ud800",
)  # fmt: skip

MARKUP = (
    "<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "javascript:alert(1)", "{{7*7}}", "${7*7}",
    "<svg/onload=alert(1)>", "</title><script>alert(1)</script>", "<!--", "]]>", "&lt;b&gt;", "--></style><script>x",
    "jaVasCript:/*-/*`/*\\`/*'/*\"/**/(/* */oNcliCk=alert() )//%0D%0A%0d%0a//</stYle/</titLe/</teXtarEa/</scRipt/--!>"
    "\\x3csVg/"
    "<sVg/oNloAd=alert()//>\\x3e",
)  # fmt: skip

# Control and format characters, lone surrogates, other writings of the same, formulas, queries, paths, headers.
TEXTS = (
    *MARKUP, "\x00", "a\x00b", "\r\nSet-Cookie: a=b", "\u202eevil", "a\u2066b", "\u200e", "\ud800", "\udfff\ud800",
    "\ufeff",
    "\u0000", "e\u0301", "ﬁ", "🧾" * 50, "ï" * 200, "a" * 20_001, "\x1b[31m", "\x7f", "\u2028", "%s%s%n", "%00",
    "../../etc/passwd",
    '=HYPERLINK("http://evil")', "+1+1", "-1+1", "@SUM(A1)", "\t=1", "' OR '1'='1", "'; DROP TABLE entries; --",
    "\\", '"', "`id`",
    "$(id)", "|id", "cus_", "cus_" + "0" * 32, "null", "undefined", "NaN", "true", "0", "-1", "[]", "{}", "con",
    "aux", " ", "\n",
)  # fmt: skip

DEEP = 100_000

# Bytes that are no request.
BODIES = (
    b"", b" ", b"{", b"}", b"[", b'"', b"null", b"true", b"0", b"-", b"1e9999999", b'"x"', b"[]", b"{}", b"[{}]",
    b"[[]]",
    b"{]", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{"a":1 "b":2}', b"{'a':1}", b"{a:1}", b'{"a":NaN}', b'{"a":Infinity}',
    b'{"a":01}',
    b'{"a":1}{"a":1}', b'{"a":1}\x00', b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b"\x80", b'"\xc3\x28"',
    b'{"a":"\xed\xa0\x80"}',
    b'{"a":"\\ud800"}', b'{"a":"\\u0000"}', b'{"\\u0000":1}', b'{"__proto__":{}}', b'{"a":1,"a":2}',
    b'{"events":null}', b'{"events":0}',
    b'{"events":[]}', b'{"events":[null]}', b'{"events":[[]]}', b'{"events":[{}],"x":1}', b'{"id":1}', b'{"id":""}',
    b'{"amount":{}}',
    b"[" * DEEP, b'{"a":' * DEEP, b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    b'{"events":[' + b"[" * DEEP + b"]" * DEEP + b"]}", b'{"a":"' + b"x" * 250_000 + b'"}',
    b'{"a":' + b"9" * 250_000 + b"}",
    b'{"a":1e' + b"9" * 250_000 + b"}", b'{"a":0.' + b"0" * 250_000 + b"1}", b"[" + b"1," * 120_000 + b"1]",
    b"{" + b",".join(b'"%d":1' % n for n in range(20_000)) + b"}", b'{"events":[' + b"{}," * 1000 + b"{}]}",
    b'{"a":"' + b"\\u0041" * 40_000 + b'"}', b"\x1f\x8b\x08\x00" + b"\x00" * 100, b"<?xml version='1.0'?><a/>",
    b"a=1&b=2",
    b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--", b"x" * 300_000, b"x" * 2_200_000,
)  # fmt: skip

# Where somebody might be sent, or what might be called.
PLACES = (
    "", " ", "/", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https:evil.example",
    "https:/evil.example",
    "https:\\\\evil.example", "https://evil.example", "http://evil.example", "https://app.example@evil.example/",
    "https://app.example:x@evil.example/", "https://evil.example#@app.example", "https://evil.example?app.example",
    "https://app.example.evil.example/", "https://app.exampleevil/", "https://evil.example/app.example",
    "https://аpp.example/",
    "https://app。example/", "https://app.example%2f@evil.example/", "https://app.example%00.evil.example/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/", "http://127.0.0.1.evil.example/", "http://127.0.0.1:x/", "http://2130706433/",
    "http://0x7f000001/",
    "http://0/", "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", "data:text/html,x",
    "vbscript:x", "file:///etc/passwd",
    "ftp://app.example/", "ws://app.example/", "https://app.example\r\nX: y", "https://app.example\t/",
    "https://app.example /", "https://",
    "https://:443/", "https://app.example:99999/", "https://app.example:0/", "https://app.example:-1/",
    "https://[app.example]/", "https://[",
    "https://app.example/\x00", "https://app.example/\ud800", "https://" + "a" * 3000 + "/",
    "https://xn--pp-5mc.example/", "\x01https://app.example/",
)  # fmt: skip

# Headers that claim to be Stripe's signature.
SIGNATURES = (
    None, "", " ", ",", "=", "t", "t=", "v1=", "t=,v1=", "t=1", "t=1,v1=", "t=x,v1=y", "t=1,v1=zz", "t=1,t=2,v1=a",
    "t=-1,v1=a",
    "t=1e9,v1=a", "t=1E+1000000,v1=a", "t=١,v1=a", "t=1_0,v1=a", "t=" + "9" * 5000 + ",v1=" + "0" * 64,
    "t=99999999999,v1=" + "0" * 64,
    "v0=" + "0" * 64, "t=1,v0=" + "0" * 64, "t=1;v1=a", "t==1,,v1==a", "v1=" + "0" * 64 + ",t=1",
    "t=1," + "v1=a," * 1000, "x" * 7000,
)  # fmt: skip


def number_token(number):
    """The number as JSON would have it without quotes, or None if that is no text to send."""
    text = number.strip()
    return text.encode("utf-8", "replace") if text and len(text) < 250_000 else json.dumps(number).encode()
