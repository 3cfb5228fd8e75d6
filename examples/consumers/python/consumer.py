"""Keeps what Postroad delivers to a queue of RabbitMQ in SQLite, and sends receipts. Needs pika alone.

python consumer.py AMQP_URL QUEUE FILE
"""

import json
import sqlite3
import sys

import pika

url, queue, file = sys.argv[1:]
database = sqlite3.connect(file)
database.execute("CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, version INT, deleted INT, record TEXT)")
GUARDED = """INSERT INTO records VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET version = excluded.version,
    deleted = excluded.deleted, record = excluded.record WHERE records.version < excluded.version"""


def read(channel, method, properties, body):
    event, rejected = json.loads(body), []
    with database:  # one transaction a message
        for place, record in enumerate(event["data"]):
            if len(record.get("text") or "") > 20:  # a rule of our own
                rejected.append({"record": place, "cause": "too_long", "sentence": "text has more than 20 letters"})
                continue
            key = json.dumps([record[column] for column in json.loads(event["entitykey"])])
            database.execute(GUARDED, (key, record["_version"], record["_op"] == "delete", json.dumps(record)))
    # First the commit, then the receipt, then the acknowledgement: a crash between them brings the message again.
    receipt = {"specversion": "1.0", "type": "org.postroad.receipt.v1", "source": "/example/python"}
    receipt |= {"id": event["id"], "subject": event["id"], "data": {"rejected": rejected}}
    kept = pika.BasicProperties(content_type="application/cloudevents+json", delivery_mode=2)
    channel.basic_publish("", properties.reply_to, json.dumps(receipt).encode(), kept, mandatory=True)
    channel.basic_ack(method.delivery_tag)


channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
channel.confirm_delivery()  # so a publish returns once the broker has the receipt
channel.basic_qos(prefetch_count=10)
channel.basic_consume(queue, read)
channel.start_consuming()
