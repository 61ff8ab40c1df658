#!/usr/bin/env python3
"""The first steps with the Python package `influxdb`, which works unchanged.

    pip install influxdb
    python3 examples/python/quickstart.py

It creates a database, writes points in both ways that the package knows, queries them with GROUP BY and
fill, and drops the database again. It checks what it gets, so that a test can run it.
"""

import argparse

from influxdb import InfluxDBClient

DATABASE = "quickstart"

# 2023-11-14T22:00:00Z, so that windows of ten minutes begin at round times.
BEGIN = 1_699_999_200


def points():
    """Two hosts, one point a minute for half an hour; host b is silent from minute 10 to minute 20."""
    for minute in range(30):
        for host, base in (("a", 10.0), ("b", 50.0)):
            if host == "b" and 10 <= minute < 20:
                continue
            yield {
                "measurement": "cpu",
                "tags": {"host": host, "region": "eu-west"},
                "time": BEGIN + 60 * minute,
                "fields": {"usage": base + minute, "temperature": 40 + minute % 3},
            }


def expect(what, got, wanted):
    """Prints what came, and stops where it is not what should have come."""
    print(f"{what}: {got}")
    assert got == wanted, f"{what}: expected {wanted}"


def means(client, fill):
    """The mean of each ten minutes, per host."""
    answer = client.query(
        "SELECT mean(usage) FROM cpu "
        f"WHERE time >= {BEGIN}s AND time < {BEGIN + 1800}s "
        f"GROUP BY time(10m), host fill({fill})"
    )
    return {
        tags["host"]: [row["mean"] for row in rows] for (_, tags), rows in answer.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8086)
    arguments = parser.parse_args()

    client = InfluxDBClient(host=arguments.host, port=arguments.port, database=DATABASE)
    print("server speaks like InfluxDB", client.ping())

    client.create_database(DATABASE)
    assert {"name": DATABASE} in client.get_list_database()

    # Points as dictionaries, with a precision …
    assert client.write_points(points(), time_precision="s", batch_size=20)
    # … or line protocol, as agents send it.
    assert client.write_points([f"mem,host=a used=1024i {BEGIN}"], time_precision="s", protocol="line")

    expect("measurements", client.get_list_measurements(), [{"name": "cpu"}, {"name": "mem"}])
    count = next(client.query("SELECT count(usage) FROM cpu").get_points())["count"]
    expect("points", count, 50)

    # Windows of ten minutes: host b has nothing in the second one, and fill says what stands there.
    expect("fill(null)", means(client, "null"), {"a": [14.5, 24.5, 34.5], "b": [54.5, None, 74.5]})
    expect("fill(none)", means(client, "none"), {"a": [14.5, 24.5, 34.5], "b": [54.5, 74.5]})
    expect("fill(previous)", means(client, "previous")["b"], [54.5, 54.5, 74.5])
    expect("fill(linear)", means(client, "linear")["b"], [54.5, 64.5, 74.5])
    expect("fill(0)", means(client, 0)["b"], [54.5, 0, 74.5])

    # Values come bound and not pasted into the text.
    answer = client.query(
        "SELECT last(usage) FROM cpu WHERE host = $host", bind_params={"host": "b"}, epoch="s"
    )
    expect("last of b", next(answer.get_points())["last"], 79)

    answer = client.query('SHOW TAG VALUES FROM "cpu" WITH KEY = "host"')
    expect("hosts", [row["value"] for row in answer.get_points()], ["a", "b"])

    client.drop_database(DATABASE)
    print("all as expected")


if __name__ == "__main__":
    main()
