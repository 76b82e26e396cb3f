#!/usr/bin/env python3
"""An alarm system: sends one alarm event to Ticketgate over RabbitMQ, at least once.

    publish_alarm.py raised probe link-7 --severity major --text "no signal"
    publish_alarm.py cleared probe link-7

What to copy: one message id an event, made before the first try and kept through every other;
publisher confirms with a time-out; mandatory, so that a broker where Ticketgate has never been does
not confirm what it drops; a new connection after any trouble. Ticketgate takes a repeat of a message
id as said already.

Needs pika (Debian: python3-pika).
"""

import argparse
import json
import os
import re
import sys
import time
import uuid
from datetime import datetime, timezone

try:
    import pika
except ImportError as missing:
    sys.exit(f"needs pika; {sys.executable} has no {missing.name}"
             " (Debian: apt install python3-pika; else: pip install pika)")

PAUSE_SECONDS = 1
# What a lost connection, a refusal, or a broker that is not there raises.
TROUBLE = (pika.exceptions.AMQPError, OSError)


class Publisher:
    """Publishes until the broker has it."""

    def __init__(self, url, exchange):
        self.parameters = pika.URLParameters(url)
        self.parameters.heartbeat = 10
        self.parameters.socket_timeout = 10
        # A broker that is short of memory or disk takes nothing: then this connection is given up.
        self.parameters.blocked_connection_timeout = 30
        self.exchange = exchange
        self.connection = None
        self.channel = None

    def publish(self, key, message_id, event):
        properties = pika.BasicProperties(
            message_id=message_id, content_type="application/json", delivery_mode=2
        )
        body = json.dumps(event).encode()
        while True:
            try:
                if self.channel is None:
                    self.connection = pika.BlockingConnection(self.parameters)
                    self.channel = self.connection.channel()
                    self.channel.confirm_delivery()
                # Returns when the broker has confirmed it.
                self.channel.basic_publish(self.exchange, key, body, properties, mandatory=True)
                return
            except pika.exceptions.UnroutableError:
                print(f"no queue takes {key}: has Ticketgate run here?", file=sys.stderr)
            except TROUBLE as trouble:
                print(f"{message_id}: {trouble!r}; trying again", file=sys.stderr)
            self.forget()
            time.sleep(PAUSE_SECONDS)

    def forget(self):
        connection, self.connection, self.channel = self.connection, None, None
        try:
            if connection is not None:
                connection.close()
        except TROUBLE:
            pass  # it is gone already


def main():
    options = argparse.ArgumentParser()
    options.add_argument("state", choices=["raised", "updated", "cleared"])
    options.add_argument("source", help="who watches: part of the alarm's identity")
    options.add_argument("id", help="the alarm's id at its source, the same from raise to clear")
    options.add_argument("--object", help="what it is about; the id, if absent")
    options.add_argument("--severity", default="major")
    options.add_argument("--text", default="")
    options.add_argument("--raised-at", help="when the alarm was raised (RFC 3339); now, if absent")
    options.add_argument("--exchange", default="ticketgate.alarms")
    default = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2f")
    options.add_argument("--url", default=default)
    options = options.parse_args()

    now = datetime.now(timezone.utc).isoformat()
    event = {
        "id": options.id,
        "source": options.source,
        "state": options.state,
        "raised_at": options.raised_at or now,
        "changed_at": now,
        "object": options.object or options.id,
        "text": options.text,
    }
    severity = "cleared"
    if options.state != "cleared":
        event["severity"] = severity = options.severity
    # A topic key's words have no dots.
    source, severity = (re.sub(r"[.*# ]", "_", word) for word in (options.source, severity))
    key = f"alarm.{source}.{severity}"

    # An alarm system stores this beside the event, before the first try.
    message_id = str(uuid.uuid4())
    publisher = Publisher(options.url, options.exchange)
    publisher.publish(key, message_id, event)
    publisher.forget()
    print(f"confirmed {message_id} {key}")


main()
