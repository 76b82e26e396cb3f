"""What the clients here share: one connection's parameters, one way to read a body, one way to speak.

These programs stand for everybody else's: they know the wire contract, and nothing of Ticketgate's
own code. Debian's python3-pika and python3-msgpack are all they need.
"""

import base64
import hashlib
import json
import sys

import msgpack
import pika

# What a broken connection, a refusal, or a broker that is not there raises.
TROUBLE = (pika.exceptions.AMQPError, OSError)


def connect(url, heartbeat=10):
    parameters = pika.URLParameters(url)
    # A broker that was killed is noticed at once by its closed socket; this is for one that hangs.
    parameters.heartbeat = heartbeat
    parameters.blocked_connection_timeout = 30
    parameters.socket_timeout = 5
    return pika.BlockingConnection(parameters)


def say(what):
    print(json.dumps(what), flush=True)


def complain(who, what):
    print(f"{who}: {what!r}", file=sys.stderr, flush=True)


def encoded(message):
    """The content type and the bytes."""
    match message["encoding"]:
        case "msgpack":
            return "application/msgpack", msgpack.packb(message["body"])
        case "json":
            return "application/json", json.dumps(message["body"]).encode()
        case "raw":
            return message["claims"], base64.b64decode(message["body"])
    raise ValueError(message["encoding"])


def read_body(content_type, body):
    if content_type == "application/msgpack":
        # Refuses keys that are no strings; bytes where the contract has strings do not become JSON.
        return msgpack.unpackb(body, raw=False, strict_map_key=True)
    if content_type == "application/json":
        return json.loads(body)
    raise ValueError(f"content type {content_type!r} is not of the contract")


def told(method, properties, body):
    """A delivery as one line of JSON."""
    return {
        "routing_key": method.routing_key,
        "exchange": method.exchange,
        "redelivered": method.redelivered,
        "message_id": properties.message_id,
        "delivery_mode": properties.delivery_mode,
        "content_type": properties.content_type,
        "headers": properties.headers or {},
        "digest": hashlib.sha256(body).hexdigest(),
        "body": read_body(properties.content_type, body),
    }
