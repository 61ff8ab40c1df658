# Runs an in-process database for tsdb-bench: one JSON object a line in, one out.
# The process is measured from outside, so it does as little as possible beside the database.
import datetime
import json
import sys

TAGS = (
    "hostname region datacenter rack os arch team service service_version service_environment"
).split()
FIELDS = (
    "usage_user usage_system usage_idle usage_nice usage_iowait "
    "usage_irq usage_softirq usage_steal usage_guest usage_guest_nice"
).split()
EPOCH = datetime.datetime(1970, 1, 1)


class DuckDb:
    def __init__(self, directory):
        import duckdb

        self.version = duckdb.__version__
        self.connection = duckdb.connect(directory + "/bench.db")
        self.connection.execute("SET threads=2")
        # It would be printed between the answers.
        self.connection.execute("SET enable_progress_bar=false")

    def load(self, path):
        columns = {"time": "TIMESTAMP"}
        columns.update({name: "VARCHAR" for name in TAGS})
        columns.update({name: "DOUBLE" for name in FIELDS})
        self.connection.execute(
            f"CREATE TABLE cpu AS SELECT * FROM read_csv('{path}', header=true, columns={columns}) "
            "ORDER BY hostname, time"
        )

    def settle(self):
        self.connection.execute("CHECKPOINT")

    def query(self, sql):
        # Columns as arrays are the cheapest complete answer that the package gives.
        answer = self.connection.execute(sql).fetchnumpy()
        return max((len(column) for column in answer.values()), default=0)

    def rows(self, sql):
        cursor = self.connection.execute(sql)
        columns = [column[0] for column in cursor.description]
        return columns, [[plain(cell) for cell in row] for row in cursor.fetchall()]


class ChDb:
    def __init__(self, directory):
        import chdb
        from chdb.session import Session

        self.version = chdb.__version__
        self.session = Session(directory)
        self.session.query("CREATE DATABASE IF NOT EXISTS bench")

    def run(self, sql, answer_format="CSV"):
        # Every statement names its table, so the current database does not matter.
        return self.session.query(sql.replace("FROM cpu", "FROM bench.cpu"), answer_format)

    def load(self, path):
        tags = ", ".join(f"{name} LowCardinality(String)" for name in TAGS)
        fields = ", ".join(f"{name} Int64 CODEC(Delta, ZSTD)" for name in FIELDS)
        self.run(
            f"CREATE TABLE bench.cpu (time DateTime('UTC') CODEC(DoubleDelta, ZSTD), {tags}, {fields}) "
            "ENGINE = MergeTree ORDER BY (hostname, time)"
        )
        self.run(f"INSERT INTO bench.cpu SELECT * FROM file('{path}', 'CSVWithNames')")

    def settle(self):
        self.run("OPTIMIZE TABLE bench.cpu FINAL")

    def query(self, sql):
        return self.run(sql, "Native").rows_read()

    def rows(self, sql):
        answer = self.run(
            sql + " SETTINGS output_format_json_quote_64bit_integers=0,"
            " date_time_output_format='unix_timestamp'",
            "JSONCompact",
        )
        table = json.loads(str(answer))
        kinds = [column["type"].startswith("DateTime") for column in table["meta"]]
        rows = [
            [int(cell) * 10**9 if is_time else plain(cell) for cell, is_time in zip(row, kinds)]
            for row in table["data"]
        ]
        return [column["name"] for column in table["meta"]], rows


def plain(cell):
    if isinstance(cell, datetime.datetime):
        return int((cell - EPOCH) // datetime.timedelta(microseconds=1)) * 1000
    return cell


def handle(database, request):
    operation = request["do"]
    if operation == "version":
        return {"version": database.version}
    if operation == "load":
        database.load(request["path"])
        return {}
    if operation == "settle":
        database.settle()
        return {}
    if operation == "query":
        return {"count": database.query(request["sql"])}
    columns, rows = database.rows(request["sql"])
    return {"columns": columns, "rows": rows}


def main():
    kind, directory = sys.argv[1:3]
    database = {"duckdb": DuckDb, "chdb": ChDb}[kind](directory)
    for line in sys.stdin:
        try:
            answer = handle(database, json.loads(line))
        except Exception as error:  # everything goes back to who asked
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


main()
