"""A crowd of scripts that all want a ticket client at once: each takes one, some write under it, each
gives it back.

Says a line for each that was served, {"client", "fence", "from", "to"}: the two are moments of this
process's own clock of events, the first when the lock was told, the second before it was given back.
Whoever is not served as it asked for says {"trouble"} instead.
"""

import argparse
import itertools
import json
import threading
import uuid

import pika

from wire import connect, say

REPLY = "amq.rabbitmq.reply-to"
# Counts events over all threads: one step of it is one instruction of the interpreter.
moments = itertools.count()
# A line is said whole.
speaking = threading.Lock()


class Part:
    """Scripts that share one connection."""

    def __init__(self, options, first, count):
        self.options = options
        self.numbers = range(first, first + count)
        self.left = count
        self.held = {}

    def run(self):
        self.connection = connect(self.options.url, heartbeat=60)
        self.channel = self.connection.channel()
        self.channel.basic_consume(REPLY, self.heard, auto_ack=True)
        for number in self.numbers:
            self.send(number, "acquire", self.acquire(number))
        while self.left:
            self.connection.process_data_events(time_limit=None)
        self.connection.close()

    def acquire(self, number):
        wait_ms = self.options.wait_ms
        guid = str(uuid.uuid4())
        self.held[number] = {"guid": guid}
        return {"command": "lock.acquire", "guid": guid, "wait_ms": wait_ms, "timeout_ms": 600000}

    def send(self, number, what, command):
        command["id"] = str(uuid.uuid4())
        properties = pika.BasicProperties(
            content_type="application/json",
            reply_to=REPLY,
            correlation_id=f"{number} {what}",
        )
        body = json.dumps(command).encode()
        self.channel.basic_publish(self.options.exchange, "command", body, properties)

    def heard(self, _channel, _method, properties, body):
        number, what = properties.correlation_id.split()
        number, answer = int(number), json.loads(body)
        if not answer["ok"]:
            self.done({"trouble": f"{what}: {answer}"})
        elif what == "acquire":
            self.granted(number, answer["result"])
        elif what == "create" and answer["stage"] == "accepted":
            self.give_back(number)
        elif what == "release":
            self.done(self.held.pop(number))

    def granted(self, number, lock):
        held = self.held[number]
        held.update({"client": lock["client"], "fence": lock["fence"], "from": next(moments)})
        if number % self.options.every:
            self.give_back(number)
            return
        guard = {"guid": held["guid"], "fence": lock["fence"]}
        fields = {"summary": f"by script {number}"}
        create = {"command": "create", "backend": "crm", "fields": fields, "lock": guard}
        self.send(number, "create", create)

    def give_back(self, number):
        held = self.held[number]
        held["to"] = next(moments)
        self.send(number, "release", {"command": "lock.release", "guid": held["guid"]})

    def done(self, line):
        with speaking:
            say(line)
        self.left -= 1


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--url", required=True)
    options.add_argument("--exchange", required=True)
    options.add_argument("--scripts", type=int, required=True)
    options.add_argument("--connections", type=int, required=True)
    options.add_argument("--wait-ms", type=int, required=True)
    options.add_argument("--every", type=int, required=True, help="each so-and-so-many writes")
    options = options.parse_args()
    share = options.scripts // options.connections
    parts = [Part(options, n * share, share) for n in range(options.connections)]
    threads = [threading.Thread(target=part.run) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
