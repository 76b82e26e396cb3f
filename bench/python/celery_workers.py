"""What somebody would write with Celery: a task a ticket, and a queue with one worker process for each
backend, so that one call is in flight at each. Tasks are acknowledged late.

    celery_workers.py BROKER_URL PREFIX EXCHANGE BACKENDS_URL BACKENDS
"""

import datetime
import http.client
import json
import os
import signal
import sys
import urllib.parse
import uuid

from celery import Celery
from kombu import Exchange, Queue

url, prefix, exchange, base, backends = sys.argv[1:]
app = Celery("bench", broker=url)
app.conf.update(
    task_acks_late=True,
    # With the usual 4 a worker of the solo pool stands still for some ten seconds now and then.
    worker_prefetch_multiplier=64,
    task_ignore_result=True,
    broker_transport_options={"confirm_publish": True},
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
)
connections = {}


def call(backend, body):
    """One POST on a connection that stays open."""
    if backend not in connections:
        connections[backend] = http.client.HTTPConnection(urllib.parse.urlsplit(base).netloc)
    connection = connections[backend]
    connection.request("POST", f"/{backend}/tickets", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    made = answer.read()
    assert answer.status == 201, answer.status
    return json.loads(made)


@app.task(name="make_ticket")
def make_ticket(alarm):
    backend = alarm["ticket"]["backend"]
    fields = {name: value for name, value in alarm.items() if name != "ticket"}
    key = "tg" + uuid.uuid4().hex
    made = call(backend, {**fields, "correlation_key": key})
    at = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    reference = {"source": alarm["source"], "id": alarm["id"]}
    ticket = {"key": str(uuid.uuid4()), "backend": backend, "backend_id": made["id"],
              "kind": "incident", "status": "acknowledged", "url": made["url"]}
    event = {"event_id": str(uuid.uuid4()), "event": "created", "at": at, "sequence": 1,
             "correlation_key": key, "alarm": reference, "alarms": [reference],
             "ticket": {**ticket, "fields": fields}}
    with app.producer_or_acquire() as producer:
        for routing_key, body in ((f"ticket.{backend}.incident.created", event),
                                  (f"writeback.{alarm['source']}", {**reference, **ticket, "at": at})):
            message_id = str(uuid.uuid4())
            producer.publish(body, exchange=exchange, routing_key=routing_key, serializer="json",
                             delivery_mode=2, message_id=message_id,
                             headers={"cloudEvents_id": message_id, "cloudEvents_time": at})


def work(number):
    queue = f"{prefix}.b{number}"
    app.conf.task_queues = [Queue(queue, Exchange(queue, type="direct"), routing_key=queue)]
    app.worker_main(["worker", "--pool", "solo", "--concurrency", "1", "--loglevel", "WARNING",
                     "--hostname", f"{queue}@%h", "--without-gossip", "--without-mingle",
                     "--without-heartbeat"])


children = []
for number in range(int(backends)):
    child = os.fork()
    if child == 0:
        work(number)
        sys.exit(0)
    children.append(child)
signal.signal(signal.SIGTERM, lambda *_: [os.kill(child, signal.SIGTERM) for child in children])
for child in children:
    os.waitpid(child, 0)
