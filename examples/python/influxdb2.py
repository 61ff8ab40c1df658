#!/usr/bin/env python3
"""The Python package `influxdb-client`, made for InfluxDB 2, which writes unchanged.

    pip install influxdb-client
    python3 examples/python/influxdb2.py

It writes in batches and one by one, plain and packed with gzip, sees what it is told of bad lines, and reads back
with InfluxQL over HTTP, since there is no Flux. It checks what it gets, so that a test can run it.
"""

import argparse
import json
import threading
import urllib.parse
import urllib.request

from influxdb_client import InfluxDBClient, Point, WriteOptions, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

DATABASE = "influxdb2"

# 2023-11-14T22:00:00Z.
BEGIN = 1_699_999_200


def expect(what, got, wanted):
    """Prints what came, and stops where it is not what should have come."""
    print(f"{what}: {got}")
    assert got == wanted, f"{what}: expected {wanted}"


def query(url, text):
    """The rows of a query, over all series."""
    form = urllib.parse.urlencode({"db": DATABASE, "epoch": "s", "q": text}).encode()
    with urllib.request.urlopen(f"{url}/query", form) as response:
        results = json.load(response)["results"]
    assert "error" not in results[0], results
    return [row for series in results[0].get("series", []) for row in series["values"]]


def points(host, count):
    """One point a second."""
    for second in range(count):
        point = Point("cpu").tag("host", host).field("usage", 10.0 + second).field("busy", True)
        yield point.time(BEGIN + second, WritePrecision.S)


def synchronous(client, url, host):
    """One request for each call, which returns when the rows are stored."""
    write = client.write_api(write_options=SYNCHRONOUS)
    write.write(DATABASE, record=list(points(host, 10)), write_precision=WritePrecision.S)
    write.write(DATABASE, record=f"cpu,host={host} usage=99 {BEGIN + 10}", write_precision=WritePrecision.S)
    rows = query(url, f"SELECT count(usage), last(usage), sum(busy) FROM cpu WHERE host = '{host}'")
    expect(f"rows of {host}", [row[1:] for row in rows], [[11, 99, 10]])


def refusals(client, url):
    """What is wrong with lines comes through, and the good ones are stored."""
    write = client.write_api(write_options=SYNCHRONOUS)
    for record, status, words in (
        ("cpu,host=x usage= 1", 400, "unable to parse 'cpu,host=x usage= 1': missing field value"),
        ("cpu,host=x usage=7 1\ncpu,host=x", 422, "partial write: unable to parse 'cpu,host=x': missing fields"),
    ):
        try:
            write.write(DATABASE, record=record, write_precision=WritePrecision.S)
            raise AssertionError(f"{record} was accepted")
        except ApiException as error:
            expect("status", error.status, status)
            assert words in error.message, error.message
    expect("the good line", query(url, "SELECT usage FROM cpu WHERE host = 'x'"), [[1, 7]])


def batching(client, url, host):
    """Batches from a thread of the client; errors come to a callback."""
    written, refused, lock = [], [], threading.Lock()

    def note(to, value):
        with lock:
            to.append(value)

    options = WriteOptions(batch_size=500, flush_interval=1000, max_retries=0)
    with client.write_api(
        write_options=options,
        success_callback=lambda conf, data: note(written, data.count(b"\n") + 1),
        error_callback=lambda conf, data, error: note(refused, (error.status, error.message)),
    ) as write:
        write.write(DATABASE, record=points(host, 2000))
        write.write(DATABASE, record="cpu,host=y", write_precision=WritePrecision.MS)
    expect("lines in batches", sum(written), 2000)
    expect("refused batches", [status for status, _ in refused], [400])
    assert "missing fields" in refused[0][1], refused
    rows = query(url, f"SELECT count(usage) FROM cpu WHERE host = '{host}'")
    expect(f"rows of {host}", rows[0][1], 2000)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=8086)
    options = options.parse_args()
    url = f"http://{options.host}:{options.port}"
    # There are no organisations and no tokens here; the client wants to have them.
    for gzip in (False, True):
        with InfluxDBClient(url=url, token="none", org="none", enable_gzip=gzip) as client:
            expect("ping", client.ping(), True)
            expect("health", client.health().status, "pass")
            kind = "packed" if gzip else "plain"
            synchronous(client, url, kind)
            refusals(client, url)
            batching(client, url, f"batch-{kind}")
    query(url, f"DROP DATABASE {DATABASE}")
    print("all as expected")


if __name__ == "__main__":
    main()
