#!/usr/bin/env python3
"""A token with the Python package `influxdb-client` of InfluxDB 2, which writes with it unchanged.

    pip install influxdb-client
    tsdb-server --auth --admin-token-file FILE
    python3 examples/python/tokens.py --admin-token "$(cat FILE)"

It creates a token that may write to one database, writes with it, sees it refused elsewhere, and drops everything
again. It checks what it gets, so that a test can run it.
"""

import argparse
import json
import urllib.parse
import urllib.request

from influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

DATABASE = "tokens"


def ask(url, token, statement):
    """The first table of the answer to a statement, as a list of rows."""
    form = urllib.parse.urlencode({"q": statement}).encode()
    request = urllib.request.Request(f"{url}/query", form, {"Authorization": f"Token {token}"})
    with urllib.request.urlopen(request) as response:
        result = json.load(response)["results"][0]
    assert "error" not in result, result
    return result["series"][0]["values"] if "series" in result else []


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=8086)
    options.add_argument("--admin-token", required=True)
    options = options.parse_args()
    url, admin = f"http://{options.host}:{options.port}", options.admin_token

    ask(url, admin, f"CREATE DATABASE {DATABASE}")
    [[_, token]] = ask(url, admin, f"CREATE TOKEN agent WITH WRITE ON {DATABASE} EXPIRES IN 1h")
    with InfluxDBClient(url=url, token=token, org="-") as client:
        write = client.write_api(write_options=SYNCHRONOUS)
        write.write(DATABASE, record="cpu usage=0.64 1")
        try:
            write.write("elsewhere", record="cpu usage=0.64 1")
            raise AssertionError("a write elsewhere was not refused")
        except ApiException as error:
            print(f"elsewhere: {error.status} {error.message}")
            assert error.status == 403
    assert ask(url, admin, f"SELECT usage FROM {DATABASE}..cpu") == [["1970-01-01T00:00:00.000000001Z", 0.64]]

    ask(url, admin, "DROP TOKEN agent")
    with InfluxDBClient(url=url, token=token, org="-") as client:
        try:
            client.write_api(write_options=SYNCHRONOUS).write(DATABASE, record="cpu usage=1")
            raise AssertionError("a dropped token was not refused")
        except ApiException as error:
            print(f"dropped: {error.status} {error.message}")
            assert error.status == 401
    ask(url, admin, f"DROP DATABASE {DATABASE}")
    print("all as expected")


if __name__ == "__main__":
    main()
