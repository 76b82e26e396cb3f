#!/usr/bin/env python3
"""An automation script: under a lock, finds the open ticket of an object and writes a note into it,
or makes one.

    locked_ticket.py crm db-1 "disk is full"

What to copy: a lock is a place at Ticketgate's ticket clients, with a time-out and a fence; every
command under it carries both, and is refused with lock_lost once it is gone. Each command has an id,
made before the first try: when no answer comes, or the connection is lost, the same command goes out
again under the same id, and is not done twice. A write is answered twice: accepted (it is stored,
and will be done) and final. In between come blocked_by, in_doubt and undecided: not final, so the
script waits on.

Exit codes: 0 done; 1 refused; 3 not known yet (the id is printed: ask again under it).

Needs pika (Debian: python3-pika).
"""

import argparse
import json
import os
import sys
import time
import uuid

try:
    import pika
except ImportError as missing:
    sys.exit(f"needs pika; {sys.executable} has no {missing.name}"
             " (Debian: apt install python3-pika; else: pip install pika)")

# A queue that the broker makes up for this connection: no rights on any queue are needed.
REPLIES = "amq.rabbitmq.reply-to"
# Without an answer for so long, a command is sent again; longer than an acquire waits.
ASK_AGAIN_SECONDS = 15
ACQUIRE_WAITS_MS = 10_000
PAUSE_SECONDS = 1
# Locks that are taken, one after another was lost.
LOCKS_MAX = 5
TROUBLE = (pika.exceptions.AMQPError, OSError)
# For these, `timeout` says that nothing was done.
READS = ("lock.acquire", "search", "query")


def complain(what):
    print(what, file=sys.stderr, flush=True)


class Refused(Exception):
    """A final answer: a code of the closed list, and a message."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


class NotKnown(Exception):
    """No final answer came in time."""


class Desk:
    """Sends commands and waits for their answers, one at a time."""

    def __init__(self, options):
        self.options = options
        self.parameters = pika.URLParameters(options.url)
        self.parameters.heartbeat = 10
        self.parameters.socket_timeout = 10
        self.parameters.blocked_connection_timeout = 30
        self.connection = None
        self.channel = None
        self.answers = []

    def call(self, name, **parts):
        """The result of a command."""
        # The id belongs to the command, through every try.
        command = {"command": name, "id": str(uuid.uuid4()), **parts}
        until = time.monotonic() + self.options.patience
        while time.monotonic() < until:
            try:
                answer = self.ask(command, until)
            except TROUBLE as trouble:
                complain(f"{trouble!r}; asking again")
                self.forget()
                time.sleep(PAUSE_SECONDS)
                continue
            if answer is None:
                continue  # silence: sent again, as it is
            if answer["ok"]:
                return answer["result"]
            code, message = answer["error"]["code"], answer["error"]["message"]
            if code == "busy" or (code == "timeout" and name in READS):
                # Nothing was done, and nothing is remembered.
                complain(f"{message}; asking again")
                time.sleep(PAUSE_SECONDS)
                continue
            raise Refused(code, message)
        raise NotKnown(command["id"])

    def ask(self, command, until):
        """Sends a command and waits for its final answer; None if there was silence for too long."""
        if self.channel is None:
            self.connect()
        self.answers.clear()
        properties = pika.BasicProperties(
            message_id=command["id"],
            correlation_id=command["id"],
            reply_to=REPLIES,
            content_type="application/json",
            delivery_mode=2,
        )
        body = json.dumps(command).encode()
        # Returns when the broker has confirmed it.
        self.channel.basic_publish(self.options.exchange, "command", body, properties)
        silence = time.monotonic() + ASK_AGAIN_SECONDS
        while True:
            left = min(silence, until) - time.monotonic()
            if left <= 0:
                return None
            self.connection.process_data_events(time_limit=min(left, 1))
            while self.answers:
                correlation_id, answer = self.answers.pop(0)
                if correlation_id != command["id"]:
                    continue  # late, of a command before
                if answer["stage"] == "final":
                    return answer
                silence = time.monotonic() + ASK_AGAIN_SECONDS
                if answer["ok"]:
                    complain(f"accepted: request {answer['request_id']}")
                else:
                    # blocked_by, in_doubt, undecided: accepted all the same.
                    error = answer["error"]
                    complain(f"{error['code']}: {error['message']} {error['field'] or ''}")

    def connect(self):
        self.connection = pika.BlockingConnection(self.parameters)
        channel = self.connection.channel()

        def heard(_channel, _method, properties, body):
            self.answers.append((properties.correlation_id, json.loads(body)))

        # Listening comes first, and on the channel that publishes.
        channel.basic_consume(REPLIES, heard, auto_ack=True)
        channel.confirm_delivery()
        self.channel = channel

    def forget(self):
        connection, self.connection, self.channel = self.connection, None, None
        try:
            if connection is not None:
                connection.close()
        except TROUBLE:
            pass  # it is gone already


def think(desk, guid, timeout_ms):
    """Long work under a lock: renews it three times within its time-out."""
    until = time.monotonic() + desk.options.think
    while True:
        desk.call("lock.renew", guid=guid, timeout_ms=timeout_ms)
        left = until - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, timeout_ms / 3_000))


def under_lock(desk, guid):
    """The whole work, under one lock."""
    options = desk.options
    timeout_ms = int(options.lock_timeout * 1_000)
    acquired = desk.call(
        "lock.acquire",
        guid=guid,
        timeout_ms=timeout_ms,
        wait_ms=ACQUIRE_WAITS_MS,
        holder="locked_ticket example",
    )
    complain(f"locked: client {acquired['client']}, fence {acquired['fence']}")
    lock = {"guid": guid, "fence": acquired["fence"]}

    where = {"object": options.object}
    found = desk.call("search", backend=options.backend, where=where, limit=20, lock=lock)
    think(desk, guid, timeout_ms)
    for ticket in found["tickets"]:
        if ticket["status"] not in ("closed", "cancelled"):
            result = desk.call(
                "update",
                backend=options.backend,
                backend_id=ticket["backend_id"],
                fields={"note": options.note},
                lock=lock,
            )
            return f"updated {result['ticket']['backend_id']}"
    fields = {
        "summary": f"{options.object}: {options.note}",
        "object": options.object,
        "note": options.note,
    }
    result = desk.call("create", backend=options.backend, fields=fields, lock=lock)
    return f"created {result['backend_id']}"


def release(desk, guid):
    """It would end by itself; so it is free at once. Nothing depends on the answer."""
    try:
        desk.call("lock.release", guid=guid)
    except (Refused, NotKnown):
        pass


def run(desk):
    for _ in range(LOCKS_MAX):
        guid = str(uuid.uuid4())
        try:
            print(under_lock(desk, guid))
            release(desk, guid)
            return 0
        except NotKnown as command:
            complain(f"no final answer yet to command {command}")
            return 3
        except Refused as refused:
            release(desk, guid)
            if refused.code != "lock_lost":
                complain(refused)
                return 1
            # Nothing was written. What was found may have changed: all of it again.
            complain(f"{refused}; beginning again")
    complain(f"the lock was lost {LOCKS_MAX} times")
    return 1


def main():
    options = argparse.ArgumentParser()
    options.add_argument("backend")
    options.add_argument("object")
    options.add_argument("note")
    options.add_argument("--think", type=float, default=0, help="seconds between search and write")
    options.add_argument("--lock-timeout", type=float, default=30, help="seconds, unless renewed")
    options.add_argument("--patience", type=float, default=300, help="seconds to wait for an answer")
    options.add_argument("--exchange", default="ticketgate.commands")
    default = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2f")
    options.add_argument("--url", default=default)
    desk = Desk(options.parse_args())
    code = run(desk)
    desk.forget()
    sys.exit(code)


main()
