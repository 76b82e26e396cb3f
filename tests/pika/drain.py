"""A subscriber that comes late: takes what waits in a queue that it did not declare, and goes."""

import argparse

from wire import connect, say, told


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--url", required=True)
    options.add_argument("--queue", required=True)
    options = options.parse_args()
    connection = connect(options.url)
    channel = connection.channel()
    while True:
        method, properties, body = channel.basic_get(options.queue)
        if method is None:
            break
        say(told(method, properties, body))
        channel.basic_ack(method.delivery_tag)
    connection.close()


main()
