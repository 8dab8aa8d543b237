"""A real Prometheus over blocks that are there already."""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request


@contextlib.contextmanager
def serving(blocks, place):
    """Copies `blocks` into `place` and serves them on a free port of the loopback interface; gives the address."""
    data = os.path.join(place, "data")
    shutil.copytree(blocks, data)
    with open(os.path.join(place, "prometheus.yml"), "w", encoding="utf-8") as file:
        file.write("global: {}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    log = os.path.join(place, "prometheus.log")
    with open(log, "w", encoding="utf-8") as said:
        server = subprocess.Popen(
            ["prometheus", "--config.file", os.path.join(place, "prometheus.yml"), "--storage.tsdb.path", data, "--storage.tsdb.retention.time", "100y",
             "--web.listen-address", address, "--log.level", "error", "--query.max-samples", "500000000"],
            stdout=said, stderr=said,
        )
    try:
        began = time.monotonic()
        while not ready(address):
            if server.poll() is not None or time.monotonic() - began > 60:
                with open(log, encoding="utf-8") as file:
                    raise RuntimeError(f"prometheus did not come up: {file.read()[-2000:]}")
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait()


def ready(address):
    try:
        urllib.request.urlopen(f"http://{address}/-/ready", timeout=1).read()
    except OSError:
        return False
    return True


def ask(address, query, at_ms):
    """The one value of an instant query; None where it has none."""
    form = urllib.parse.urlencode({"query": query, "time": f"{at_ms / 1000:.3f}"}).encode()
    with urllib.request.urlopen(f"http://{address}/api/v1/query", form, timeout=60) as answer:
        found = json.load(answer)["data"]["result"]
    if len(found) > 1:
        raise RuntimeError(f"{len(found)} series for {query}")
    return float(found[0]["value"][1]) if found else None
