#!/usr/bin/env python3
"""Users and privileges with the Python package `influxdb`, which works unchanged.

    pip install influxdb
    tsdb-server --auth
    python3 examples/python/accounts.py

It creates the first administrator, a database, and a user who may write and not read; and it checks what each of
them may do, so that a test can run it. The administrator stays, everything else is dropped again.
"""

import argparse

from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError

DATABASE = "accounts"


def refused(what, status, call):
    """Prints how a call is refused, and stops where it is not."""
    try:
        call()
    except InfluxDBClientError as error:
        print(f"{what}: {error}")
        assert error.code == status, f"{what}: expected {status}, got {error.code}"
        return
    raise AssertionError(f"{what}: was not refused")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=8086)
    at = vars(options.parse_args())

    admin = InfluxDBClient(username="admin", password="secret", **at)
    admin.create_user("admin", "secret", admin=True)
    admin.create_database(DATABASE)
    admin.create_user("agent", "it's")
    admin.grant_privilege("write", DATABASE, "agent")
    assert admin.get_list_users() == [
        {"user": "admin", "admin": True},
        {"user": "agent", "admin": False},
    ]
    assert admin.get_list_privileges("agent") == [{"database": DATABASE, "privilege": "WRITE"}]

    agent = InfluxDBClient(username="agent", password="it's", database=DATABASE, **at)
    agent.write_points(["cpu usage=0.64 1"], protocol="line")
    assert agent.get_list_database() == [{"name": DATABASE}]
    refused("a query without READ", 403, lambda: agent.query("SELECT usage FROM cpu"))
    refused("users", 403, agent.get_list_users)
    admin.grant_privilege("all", DATABASE, "agent")
    assert [row["usage"] for row in agent.query("SELECT usage FROM cpu").get_points()] == [0.64]

    admin.set_user_password("agent", "new")
    refused("the old password", 401, lambda: agent.query("SELECT usage FROM cpu"))
    agent.switch_user("agent", "new")
    agent.query("SELECT usage FROM cpu")
    stranger = InfluxDBClient(database=DATABASE, **at)
    refused("nobody", 401, lambda: stranger.query("SELECT usage FROM cpu"))

    admin.revoke_privilege("all", DATABASE, "agent")
    refused("a write without WRITE", 403, lambda: agent.write_points(["cpu usage=1"], protocol="line"))
    admin.drop_user("agent")
    admin.drop_database(DATABASE)
    print("all as expected")


if __name__ == "__main__":
    main()
