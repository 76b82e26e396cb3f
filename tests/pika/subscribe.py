"""A subscriber with a queue of its own, bound to what it wants to hear.

Says {"ready": true} each time that it listens, and a line for each delivery, which it acknowledges
after it was said. Comes back through lost connections, until it is ended.
"""

import argparse
import time

from wire import TROUBLE, complain, connect, say, told

PAUSE_SECONDS = 0.2


def listen(options):
    connection = connect(options.url)
    channel = connection.channel()
    # Passive: the exchange is the service's to declare.
    channel.exchange_declare(options.exchange, passive=True)
    channel.queue_declare(options.queue, durable=True)
    for key in options.bind:
        channel.queue_bind(options.queue, options.exchange, key)
    channel.basic_qos(prefetch_count=200)
    say({"ready": True})
    for method, properties, body in channel.consume(options.queue):
        say(told(method, properties, body))
        channel.basic_ack(method.delivery_tag)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--url", required=True)
    options.add_argument("--exchange", required=True)
    options.add_argument("--queue", required=True)
    options.add_argument("--bind", action="append", required=True)
    options = options.parse_args()
    while True:
        try:
            listen(options)
        except TROUBLE as trouble:
            complain(options.queue, trouble)
            time.sleep(PAUSE_SECONDS)


main()
