"""An automation script: sends commands and says every answer, until its input ends.

Reads a command a line from stdin: {"reply", "correlation_id", "encoding", "body"}. The reply goes to
RabbitMQ's own direct reply-to ("direct"), to a queue of this script ("own"), to nobody (null), or to
any other queue by its name. The encoding is msgpack, json, or raw with the content type in "claims"
and the bytes in base64. Says {"ready": true} once, and a line for each answer.
"""

import argparse
import functools
import json
import sys
import threading

import pika

from wire import connect, encoded, say, told

DIRECT = "amq.rabbitmq.reply-to"


class Script:
    def __init__(self, options):
        self.exchange = options.exchange
        # It may be frozen for a while, and still have its connection when it wakes.
        self.connection = connect(options.url, heartbeat=60)
        self.channel = self.connection.channel()
        # Direct reply-to: answered on the channel that asked, never acknowledged.
        self.channel.basic_consume(DIRECT, functools.partial(heard, "direct"), auto_ack=True)
        own = self.channel.queue_declare("", exclusive=True)
        self.own = own.method.queue
        self.channel.basic_consume(self.own, functools.partial(heard, "own"), auto_ack=True)

    def send(self, message):
        content_type, body = encoded(message)
        properties = pika.BasicProperties(
            content_type=content_type,
            correlation_id=message["correlation_id"],
            reply_to={"direct": DIRECT, "own": self.own}.get(message["reply"], message["reply"]),
        )
        self.channel.basic_publish(self.exchange, "command", body, properties)

    def take_orders(self):
        for line in sys.stdin:
            order = functools.partial(self.send, json.loads(line))
            self.connection.add_callback_threadsafe(order)
        self.connection.add_callback_threadsafe(self.channel.stop_consuming)


def heard(via, _channel, method, properties, body):
    answer = told(method, properties, body)
    answer["via"] = via
    answer["correlation_id"] = properties.correlation_id
    say(answer)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--url", required=True)
    options.add_argument("--exchange", required=True)
    options = options.parse_args()
    script = Script(options)
    threading.Thread(target=script.take_orders, daemon=True).start()
    say({"ready": True})
    script.channel.start_consuming()
    script.connection.close()


main()
