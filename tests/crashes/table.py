"""`make crash-table`: every point x fault x webhook timing. Prints the table; exit status 0 only if all is green."""

import asyncio
import collections
import contextlib
import logging
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from conftest import _on_server, local_server
from crashes import sweep


def main(only=""):
    logging.disable(logging.CRITICAL)
    results, broken = collections.OrderedDict(), []
    started = time.monotonic()
    with local_server() as url, contextlib.closing(_on_server(url, "template_crashes")) as clusters:
        cluster = next(clusters)
        for story, point, fault, webhooks in sweep.cells():
            if only not in f"{story} {point} {fault} {webhooks}":
                continue
            name = cluster.clone()
            try:
                asyncio.run(sweep.run(cluster.url(name), story, point, fault, webhooks))
                results[story, point, fault, webhooks] = "ok"
            except Exception as error:
                results[story, point, fault, webhooks] = "BAD"
                broken.append(f"{story}, {point}, {fault}, webhook {webhooks}: {type(error).__name__} {error}"[:400])
                print(broken[-1], file=sys.stderr, flush=True)
            finally:
                cluster.drop(name)
    show(results)
    print(f"\n{len(results)} cells, {len(broken)} bad, {time.monotonic() - started:.0f} s")
    for line in broken:
        print("BAD ", line)
    return 1 if broken else 0


def show(results):
    heads = [f"{fault}, {webhooks}" for fault in sweep.FAULTS for webhooks in sweep.WEBHOOKS]
    print("| story | point | " + " | ".join(heads) + " |")
    print("|---|---|" + "---|" * len(heads))
    for story, point in sweep.POINTS:
        row = [
            results.get((story, point, fault, webhooks), "-") for fault in sweep.FAULTS for webhooks in sweep.WEBHOOKS
        ]
        print(f"| {story} | {point} | " + " | ".join(row) + " |")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
