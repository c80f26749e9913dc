#!/bin/sh
# psycopg 3.3.9 (PyPI): a subclass of str with a dumper of its own, binary only, is sent by it as a parameter (here a ledger's id as a
# uuid of 16 bytes), and by the dumper of plain str as an element of a list: the list is dumped as text, a text dumper of the element's
# own type is missing, and the one of its parent is taken, without a word. `= %s` finds the row, `= ANY(%s)` gets other values.
set -eu
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check "psycopg[binary]==3.3.9"
"$dir/venv/bin/python" - >"$dir/seen" <<'PY'
import psycopg
from psycopg.adapt import AdaptersMap, Dumper, PyFormat, Transformer


class AccountId(str):
    """`acc_` and the 32 digits of a UUID."""


class AccountIdDumper(Dumper):
    format, oid = psycopg.pq.Format.BINARY, 2950

    def dump(self, obj):
        return bytes.fromhex(obj[4:])


class AccountIdTextDumper(AccountIdDumper):
    format = psycopg.pq.Format.TEXT

    def dump(self, obj):
        return obj[4:].encode()


adapters, one = AdaptersMap(psycopg.adapters), AccountId("acc_" + "0a" * 16)


def sent(value):
    dumper = Transformer(adapters).get_dumper(value, PyFormat.AUTO)
    return bytes(dumper.dump(value))


adapters.register_dumper(AccountId, AccountIdDumper)
print("alone:", sent(one).hex())
print("in a list:", sent([one]).decode())
adapters.register_dumper(AccountId, AccountIdTextDumper)
adapters.register_dumper(AccountId, AccountIdDumper)  # the last one is for a value alone
print("in a list, with a text dumper too:", sent([one]).decode())
PY
cat >"$dir/expected" <<'END'
alone: 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a
in a list: {acc_0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a}
in a list, with a text dumper too: {0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a}
END
diff "$dir/expected" "$dir/seen" && cat "$dir/seen" && echo "as described"
