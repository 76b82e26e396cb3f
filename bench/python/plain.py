"""What somebody would write in Python: aio-pika and aiohttp, one call in flight a backend.

The same work on the wire as the bare loop: consume, call, publish event and write-back with confirms,
acknowledge. No store, no promise.

    plain.py BROKER_URL QUEUE EXCHANGE BACKENDS_URL
"""

import asyncio
import datetime
import json
import sys
import uuid

import aio_pika
import aiohttp


class Lane:
    def __init__(self, name, base, session, exchange):
        self.name, self.session, self.exchange = name, session, exchange
        self.address = f"{base}/{name}/tickets"
        self.alarms = asyncio.Queue()
        self.task = asyncio.create_task(self.run())

    async def run(self):
        while True:
            alarm, message = await self.alarms.get()
            fields = {name: value for name, value in alarm.items() if name != "ticket"}
            key = "tg" + uuid.uuid4().hex
            async with self.session.post(self.address, json={**fields, "correlation_key": key}) as answer:
                answer.raise_for_status()
                made = await answer.json()
            # The next call need not wait for the confirms of this one.
            asyncio.create_task(self.tell(alarm, fields, key, made, message))

    async def tell(self, alarm, fields, key, made, message):
        at = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        reference = {"source": alarm["source"], "id": alarm["id"]}
        ticket = {"key": str(uuid.uuid4()), "backend": self.name, "backend_id": made["id"],
                  "kind": "incident", "status": "acknowledged", "url": made["url"]}
        event = {"event_id": str(uuid.uuid4()), "event": "created", "at": at, "sequence": 1,
                 "correlation_key": key, "alarm": reference, "alarms": [reference],
                 "ticket": {**ticket, "fields": fields}}
        await asyncio.gather(
            self.publish(f"ticket.{self.name}.incident.created", event, at),
            self.publish(f"writeback.{alarm['source']}", {**reference, **ticket, "at": at}, at))
        await message.ack()

    async def publish(self, routing_key, body, at):
        message_id = str(uuid.uuid4())
        headers = {"cloudEvents_specversion": "1.0", "cloudEvents_id": message_id, "cloudEvents_time": at,
                   "cloudEvents_type": "ticketgate.ticket", "cloudEvents_source": "urn:plain"}
        await self.exchange.publish(
            aio_pika.Message(json.dumps(body).encode(), message_id=message_id, headers=headers,
                             content_type="application/json",
                             delivery_mode=aio_pika.DeliveryMode.PERSISTENT),
            routing_key)


async def main(url, queue, exchange, base):
    connection = await aio_pika.connect(url)
    channel = await connection.channel(publisher_confirms=True)
    await channel.set_qos(prefetch_count=512)
    exchange = await channel.get_exchange(exchange, ensure=False)
    queue = await channel.get_queue(queue, ensure=False)
    lanes = {}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async with queue.iterator() as messages:
            async for message in messages:
                alarm = json.loads(message.body)
                name = alarm["ticket"]["backend"]
                if name not in lanes:
                    lanes[name] = Lane(name, base, session, exchange)
                lanes[name].alarms.put_nowait((alarm, message))


asyncio.run(main(*sys.argv[1:]))
