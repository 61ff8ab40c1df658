//! First inputs that are texts, in the formats that people write.

/// Texts by target.
pub(super) const TEXTS: [(&str, &[&str]); 8] = [
    (
        "line_protocol",
        &[
            "cpu,host=a,dc=eu\\ west usage=0.5,idle=99i,up=t,note=\"a \\\"text\\\", with\nlines\" 1700000000000000000\n",
            "# a comment\nmem free=-1.5e3,used=12u\r\ndisk,path=/ k\u{f6}ln=1 5\n",
            "\n  net rx=18446744073709551615u,tx=.5 -7\n",
            "m\\,n,a\\=b=c\\ d f=1 1\nm\\,n,a\\=b=c\\ d f=2 1\n",
            "m v=9223372036854775807i 9223372036854775807\nm v=1e400 0\nm,t= v=1\nm v\n",
            "m,b=1,a=2,b=3 x=1,x=2 10\nm v=NaN\nm v=-0 -9223372036854775808\n",
        ],
    ),
    (
        "otlp_json",
        &[
            "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}},{\"key\":\"n\",\"value\":{\"intValue\":\"-3\"}}]},\"scopeMetrics\":[{\"scope\":{\"name\":\"lib\",\"version\":\"1\"},\"metrics\":[{\"name\":\"up\",\"unit\":\"1\",\"gauge\":{\"dataPoints\":[{\"asDouble\":0.5,\"timeUnixNano\":\"1700000000000000000\",\"attributes\":[{\"key\":\"a\",\"value\":{\"boolValue\":true}}]},{\"asInt\":7,\"flags\":1}]}},{\"name\":\"sent\",\"sum\":{\"isMonotonic\":true,\"aggregationTemporality\":2,\"dataPoints\":[{\"asInt\":\"12\",\"timeUnixNano\":7,\"exemplars\":[{\"traceId\":\"5b8efff798038103d269b633813fc60c\",\"asDouble\":\"NaN\"}]}]}}]}]}]}",
            "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"h\",\"unit\":\"s\",\"histogram\":{\"aggregationTemporality\":1,\"dataPoints\":[{\"timeUnixNano\":\"5\",\"count\":\"6\",\"sum\":1.5,\"bucketCounts\":[\"1\",2,3],\"explicitBounds\":[0.1,1]}]}},{\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":\"AGGREGATION_TEMPORALITY_CUMULATIVE\",\"dataPoints\":[{\"count\":3,\"scale\":-1,\"zeroCount\":1,\"positive\":{\"offset\":-2,\"bucketCounts\":[\"1\",\"1\"]}}]}},{\"name\":\"s\",\"summary\":{\"dataPoints\":[{\"count\":1,\"sum\":\"2\",\"quantileValues\":[{\"quantile\":0.5,\"value\":\"Infinity\"}]}]}}]}]}]}",
            "{\"resourceMetrics\":[{\"unknown\":[{\"a\":\"]\"},1e5,null],\"scopeMetrics\":null},{\"resource\":{\"attributes\":[{\"key\":\"\\u00e4\\ud83d\\ude00\",\"value\":{\"bytesValue\":\"AA==\"}}]}}]}",
            "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"m\",\"gauge\":{\"dataPoints\":[{\"timeUnixNano\":\"x\"}]}}]}]}]}",
            "{\"resourceMetrics\":{}}",
        ],
    ),
    (
        "json_write",
        &[
            "[{\"measurement\": \"cpu\", \"tags\": {\"host\": \"a\", \"dc\": null}, \"fields\": {\"usage\": 0.5, \"up\": true, \"note\": \"\\u00e4\\ud83d\\ude00\\n\"}, \"time\": 1700000000000000000}, {\"measurement\": \"mem\", \"value\": -1.5e3, \"time\": \"2023-11-14T22:13:20.5Z\"}]",
            "{\"measurement\":\"cpu\",\"tags\":{\"host\":\"a\"},\"value\":1,\"time\":1}\n\n{\"measurement\":\"mem\",\"fields\":{\"a\":1,\"b\":null}}\n",
            "{\"measurement\":\"cpu\",\"tags\":{\"host\":\"a\"},\"time\":[1,2,\"1970-01-01T00:00:01Z\",null],\"fields\":{\"usage\":[0.5,null,0.7,1],\"note\":[\"x\",null,null,\"y\"]},\"value\":[1,2,3,4]}",
            "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
            "{\"measurement\":\"m\",\"value\":1e309,\"time\":18446744073709551616}",
            "[{\"metric\":\"sys.cpu\",\"timestamp\":1346846400,\"value\":18,\"tags\":{\"host\":\"a\"}},{\"metric\":\"m\",\"timestamp\":1346846400123,\"value\":\"1.5\"}]",
            "{\"metric\":{\"__name__\":\"up\",\"job\":\"x\"},\"values\":[0,null,\"Infinity\",6],\"timestamps\":[1549891472010,1549891487724,1549891503438,4]}\n{\"metric\":{},\"values\":[],\"timestamps\":[]}\n",
        ],
    ),
    (
        "prometheus_text",
        &[
            "# HELP up 1 if it is up\n# TYPE up gauge\nup{job=\"x\",path=\"C:\\\\D \\\"q\\\" \\n\"} 1 1395066363000\nlow -Inf\nup{} NaN 1\n# EOF\n",
            "m{a=\"b\" , c=\"\",} +1.5e3 -1\r\nm{a=\"b} 1\nm{a=b} 1\nm 1 1 # {t=\"x\"} 1\n{x=\"y\"} 1\n",
        ],
    ),
    (
        "csv_write",
        &[
            "\u{feff}measurement,time:s,host:tag,usage,idle,note:ignore\r\ncpu,1700000000,a,0.64,0.36,first\n\"cpu\",1700000001,\"b,\"\"c\"\"\",.5,,\"two\nlines\"\n\nmem,,,true,1e3,\n",
            "host\tusage\tts:rfc3339\na\t0.64\t2023-11-14T22:13:20Z\nb\t1\t\n",
            "measurement,time,v\nm,-9223372036854775808,1\nm,1,2,3\nm,2\n",
            "a,a,time:ns\n1,2,3\n",
        ],
    ),
    (
        "tql_parse",
        &[
            "SELECT mean(usage), max(\"idle\") AS m FROM cpu WHERE host = 'a' AND time >= now() - 1h GROUP BY time(5m, 1m), host, * fill(previous) ORDER BY time DESC LIMIT 10 OFFSET 2 SLIMIT 3 tz('Europe/Berlin')",
            "SELECT /.*load/::field FROM \"db\".\"rp\"./^m/, (SELECT a + b * -2.5e3 FROM c WHERE d !~ /x\\/y/ OR NOT e) ;",
            "SHOW TAG VALUES ON db FROM m WITH KEY IN (\"a\", b) WHERE c = 'd' LIMIT 5; SHOW DATABASES",
            "CREATE DATABASE d WITH DURATION 7d REPLICATION 1 SHARD DURATION 1h NAME \"week\"; DROP SERIES FROM m WHERE a='b'",
            "DELETE FROM m WHERE time < '2023-01-01T00:00:00Z'; EXPLAIN ANALYZE SELECT percentile(v, 99.9) FROM m -- comment",
            "SELECT ((((((1 + 2)))))) FROM m WHERE a = 0x1f & 3 | 4 ^ 5 % 6",
        ],
    ),
    (
        "query_exec",
        &[
            "SELECT mean(usage), max(idle), count(*) FROM cpu WHERE time >= 0 AND time < 10m GROUP BY time(1m, 7s), host fill(previous) ORDER BY time DESC LIMIT 10 OFFSET 2 SLIMIT 2",
            "SELECT * FROM cpu, mem WHERE host =~ /a|b/ AND usage > 1.5 OR free != 4; SELECT usage + idle * 2, host FROM /./ WHERE idle::integer % 2 = 1",
            "SELECT derivative(mean(usage), 10s), difference(last(idle)), cumulative_sum(sum(usage)) FROM cpu WHERE time >= 1s GROUP BY time(20s), dc fill(0) tz('Europe/Berlin')",
            "SELECT top(usage, host, 2), idle FROM cpu; SELECT bottom(free, 3) FROM mem WHERE time > now() - 55m; SELECT sample(usage, 5) FROM cpu GROUP BY *",
            "SELECT percentile(usage, 95), approx_percentile(idle, 5), mode(usage), spread(idle), stddev(usage), integral(idle, 1s), count(distinct(usage)) FROM cpu GROUP BY dc",
            "SELECT holt_winters_with_fit(mean(usage), 5, 2) FROM cpu WHERE time >= 0 AND time < 5m GROUP BY time(20s); SELECT moving_average(idle, 3), elapsed(idle, 1s) FROM cpu; SELECT distinct(usage) FROM cpu",
            "SELECT log(abs(usage - 3), 2), pow(usage, idle), atan2(usage, idle), sqrt(-usage) FROM cpu WHERE sin(idle) > 0; SELECT relative_strength_index(usage, 3), rate(free, 1m) FROM cpu, mem",
            "SHOW TAG VALUES CARDINALITY WITH KEY IN (host, dc) GROUP BY *; SHOW SERIES EXACT CARDINALITY FROM cpu WHERE host != 'a'; SHOW FIELD KEY CARDINALITY; SHOW TAG KEY CARDINALITY FROM /c/; SHOW MEASUREMENT CARDINALITY",
            "SHOW TAG VALUES FROM cpu WITH KEY =~ /o/ WHERE time > 100s LIMIT 2; SHOW SERIES WHERE dc = ''; SHOW FIELD KEYS; SHOW TAG KEYS; SHOW MEASUREMENTS; SHOW RETENTION POLICIES; SHOW DATABASES",
            "CREATE RETENTION POLICY w ON d DURATION 7d SHARD DURATION 1h DEFAULT; DELETE FROM cpu WHERE time < 200s AND host = 'c'; DROP SERIES FROM mem WHERE host = 'a'; SELECT count(*) FROM d.autogen././ GROUP BY *; DROP MEASUREMENT cpu; DROP DATABASE d",
            "EXPLAIN ANALYZE SELECT mean(usage) FROM cpu GROUP BY time(1ns); EXPLAIN SELECT usage FROM cpu WHERE usage < 2; ALTER RETENTION POLICY autogen ON d DURATION INF; SHOW QUERIES; KILL QUERY 1; SHOW REJECTS ON d LIMIT 3",
            "CREATE CONTINUOUS QUERY c ON d RESAMPLE EVERY 10s FOR 1h BEGIN SELECT mean(usage) INTO db..x FROM cpu GROUP BY time(1m, 5s), host END; SHOW CONTINUOUS QUERIES; DROP CONTINUOUS QUERY c ON d",
        ],
    ),
    (
        "config",
        &[
            "listen = '127.0.0.1:0'\nmemory-limit = '64MiB'\nquery-timeout = '1m30s'\ndurability = 'interval:250'\ndemo = true\nbody-limit = 25000000\n",
            "--listen=[::1]:8086\n--disk-reserve=0\n--series-max\n1000\n--tag-charset=ascii\n--allow-insecure\n",
            "query-series = 1\nquery-samples = 2\nquery-rows = 3\nquery-buckets = 4\nquery-memory = '5MiB'\nquery-concurrency = 1\nconnections = 9\n",
            "listen = \"0.0.0.0:1\"\nallow-insecure = true\nlog = \"tsdb_server=debug\"\nretention-force = false # a comment\ndata-dir = './x'\nmerge-rate = '1GiB'\nseries-idle-time = '15m'\n",
            "memory-limit = 18446744073709551615\nquery-timeout = 9223372036854775807ns\n[table]\na = [1, {b = 2}]\n",
            "--memory-limit=99999999999GiB\n--query-timeout=0s\n--durability=interval:60001\n--config=/nowhere\n--help\n",
        ],
    ),
];
