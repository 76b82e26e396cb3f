"""An alarm system that publishes at least once.

Reads a message a line from stdin: {"routing_key", "message_id", "encoding", "body"}, where encoding
is msgpack, json, or raw with the content type in "claims" and the bytes in base64. Each is published
until the broker has confirmed it, through lost connections, again under the same message id; then
{"confirmed": message_id} is said. Ends at the end of stdin.
"""

import argparse
import json
import sys
import time

import pika

from wire import TROUBLE, complain, connect, encoded, say

# Between two tries to reach a broker that is not there.
PAUSE_SECONDS = 0.2


class Publisher:
    def __init__(self, url, exchange):
        self.url = url
        self.exchange = exchange
        self.connection = None
        self.channel = None

    def publish(self, message):
        content_type, body = encoded(message)
        properties = pika.BasicProperties(
            message_id=message["message_id"], content_type=content_type, delivery_mode=2
        )
        while True:
            try:
                if self.channel is None:
                    self.connection = connect(self.url)
                    self.channel = self.connection.channel()
                    self.channel.confirm_delivery()
                # Returns when the broker has confirmed it. Mandatory: before the service has ever
                # declared its queue, a message would be confirmed and be nowhere.
                self.channel.basic_publish(
                    self.exchange, message["routing_key"], body, properties, mandatory=True
                )
                return
            except TROUBLE as trouble:
                complain("publisher", trouble)
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
    options.add_argument("--url", required=True)
    options.add_argument("--exchange", required=True)
    options.add_argument("--rate", type=float, help="messages a second at most")
    options = options.parse_args()
    publisher = Publisher(options.url, options.exchange)
    for line in sys.stdin:
        message = json.loads(line)
        publisher.publish(message)
        say({"confirmed": message["message_id"]})
        if options.rate:
            time.sleep(1 / options.rate)
    publisher.forget()


main()
