#!/usr/bin/env python3
"""A subscriber: hears ticket events and acts on each once.

    follow_events.py --queue subscriber.example --bind 'ticket.#'
    follow_events.py --queue ticketgate.noc              (a queue of [[subscriptions]])

What to copy: a durable queue of one's own, so that events wait while the subscriber is away; every
argument of the queue stated; the acknowledgement after the act; repeats dropped by event_id; unknown
events passed over; a new connection after any trouble. Events of one ticket come in the order of
their sequence.

Needs pika and msgpack (Debian: python3-pika python3-msgpack).
"""

import argparse
import json
import os
import sys
import time
from collections import OrderedDict

try:
    import msgpack
    import pika
except ImportError as missing:
    sys.exit(f"needs pika and msgpack; {sys.executable} has no {missing.name}"
             " (Debian: apt install python3-pika python3-msgpack; else: pip install pika msgpack)")

PAUSE_SECONDS = 1
PREFETCH = 50
REMEMBERED = 100_000
TROUBLE = (pika.exceptions.AMQPError, OSError)


class Seen:
    """The last events' ids. In memory: after a restart a repeat is acted on again. Where that
    matters, store the id together with what the event made you do."""

    def __init__(self):
        self.ids = OrderedDict()

    def __contains__(self, event_id):
        return event_id in self.ids

    def remember(self, event_id):
        self.ids[event_id] = None
        if len(self.ids) > REMEMBERED:
            self.ids.popitem(last=False)


def act(event):
    """What this subscriber is there for."""
    ticket, alarm = event["ticket"], event.get("alarm") or {}
    print(
        event["event"],
        ticket["backend"],
        ticket["backend_id"] or "-",
        ticket["status"] or "-",
        f"{alarm.get('source', '-')}/{alarm.get('id', '-')}",
        flush=True,
    )


def read(properties, body):
    if properties.content_type == "application/json":
        return json.loads(body)
    return msgpack.unpackb(body, strict_map_key=True)


def declare(channel, options):
    arguments = {
        "x-queue-type": "quorum",
        # While nobody listens, the newest are kept.
        "x-overflow": "drop-head",
        "x-max-length": 1_000_000,
        # RabbitMQ 4 would drop what came 20 times.
        "x-delivery-limit": 1_000_000_000,
    }
    channel.queue_declare(options.queue, durable=True, arguments=arguments)
    for key in options.bind:
        channel.queue_bind(options.queue, options.exchange, key)


class Subscriber:
    def __init__(self, options):
        self.options = options
        self.parameters = pika.URLParameters(options.url)
        self.parameters.heartbeat = 10
        self.seen = Seen()
        self.acted = 0

    def done(self):
        return self.options.count is not None and self.acted >= self.options.count

    def listen(self):
        connection = pika.BlockingConnection(self.parameters)
        channel = connection.channel()
        if self.options.bind:
            declare(channel, self.options)
        channel.basic_qos(prefetch_count=PREFETCH)
        print(f"listening on {self.options.queue}", file=sys.stderr, flush=True)
        while not self.done():
            for method, properties, body in channel.consume(self.options.queue):
                self.take(method, properties, body)
                channel.basic_ack(method.delivery_tag)
                if self.done():
                    break
        channel.cancel()
        connection.close()

    def take(self, method, properties, body):
        try:
            event = read(properties, body)
        except ValueError as trouble:
            # What cannot be read will not become readable: it is said, and acknowledged.
            print(f"unreadable: {method.routing_key}: {trouble}", file=sys.stderr, flush=True)
            return
        event_id = event.get("event_id")
        # Without one it is a write-back, or whatever else a binding let in.
        if event_id is None or event_id in self.seen:
            return
        act(event)
        self.seen.remember(event_id)
        self.acted += 1


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--queue", default="subscriber.example")
    options.add_argument(
        "--bind",
        action="append",
        default=[],
        help="declare the queue and bind it to this key; without one, the queue must be there",
    )
    options.add_argument("--count", type=int, help="end after so many events")
    options.add_argument("--exchange", default="ticketgate.tickets")
    default = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2f")
    options.add_argument("--url", default=default)
    subscriber = Subscriber(options.parse_args())
    while True:
        try:
            subscriber.listen()
            return
        except TROUBLE as trouble:
            print(f"{trouble!r}; connecting again", file=sys.stderr, flush=True)
            time.sleep(PAUSE_SECONDS)


main()
