"""readers.py NAME KEY TABLE…: reads Delta tables with a reader that is not delta-rs; prints their summaries as JSON.

Runs in `.cache/witness-venv`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
from digest import summary

JARS = Path(__file__).resolve().parents[2] / ".cache" / "witness-jars"
Read = Callable[[str], pa.Table]


def spark() -> Read:
    from pyspark.sql import SparkSession

    settings = {
        "spark.jars": ",".join(str(jar) for jar in sorted(JARS.glob("*.jar"))),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
    }
    os.environ.update(SPARK_LOCAL_IP="127.0.0.1", PYSPARK_PYTHON=sys.executable)
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    return lambda table: session.read.format("delta").load(table).toArrow()


def duckdb() -> Read:
    import duckdb

    (extension,) = files("duckdb_extension_delta").rglob("*.duckdb_extension")
    session = duckdb.connect()
    session.execute(f"LOAD '{extension}'")
    return lambda table: session.execute("SELECT * FROM delta_scan(?)", [table]).fetch_arrow_table()


def polars() -> Read:
    from polars_deltalake import scan_delta

    return lambda table: scan_delta(table).collect().to_arrow()


if __name__ == "__main__":
    reader, key, *tables = sys.argv[1:]
    read = {"spark": spark, "duckdb": duckdb, "polars": polars}[reader]()
    print(json.dumps([summary(read(table), key) for table in tables]))
