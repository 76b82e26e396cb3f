#!/usr/bin/python3
"""USMS as its service description has it: zeep reads the WSDL and says which operations there are, lxml
validates every request and every answer against the schema. Nothing of Ticketgate is used.

Prints the port that it was given, and serves until its standard input ends. What was wrong with a
request is kept, and given by GET /violations; the tickets by GET /tickets.
"""
import datetime
import http.server
import json
import pathlib
import sys
import threading

import zeep
from lxml import etree

HERE = pathlib.Path(__file__).parent
NS = "http://usms.example.net/ticketing/v2"
ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
SECURITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
PREFIX = {"Incident": "INC", "Change": "CHG", "Problem": "PRB"}

client = zeep.Client(str(HERE / "usms.wsdl"))
schema = etree.XMLSchema(etree.parse(str(HERE / "usms.xsd")))
parser = etree.XMLParser(resolve_entities=False, no_network=True)
binding = next(iter(client.wsdl.bindings.values()))
operations = {operation.soapaction: operation for operation in binding._operations.values()}
tickets, violations = {}, []
turn = threading.Lock()


class Refused(Exception):
    """A fault: whether the same may work another time."""

    def __init__(self, code, message, retryable):
        super().__init__(message)
        self.code, self.retryable = code, retryable


def strictly(condition, what):
    if not condition:
        violations.append(what)
        raise ValueError(what)


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


def request_of(headers, body):
    strictly(headers.get_content_type() == "text/xml", "content type %r" % headers["content-type"])
    strictly((headers.get_content_charset() or "utf-8") == "utf-8", "charset")
    action = headers.get("SOAPAction", "")
    strictly(action[:1] == action[-1:] == '"', "the action is not quoted: %r" % action)
    operation = operations.get(action.strip('"'))
    strictly(operation is not None, "no operation has the action %r" % action)
    root = etree.fromstring(body, parser)
    strictly(root.tag == "{%s}Envelope" % ENVELOPE, "the root is %r" % root.tag)
    parts = [etree.QName(child).localname for child in root]
    strictly(parts in (["Body"], ["Header", "Body"]), "the envelope holds %r" % parts)
    inner = list(root[-1])
    strictly(len(inner) == 1, "the body holds %d elements" % len(inner))
    wanted = operation.input.body.qname.text
    strictly(inner[0].tag == wanted, "%r is asked for as %r" % (wanted, inner[0].tag))
    if not schema.validate(inner[0]):
        strictly(False, str(schema.error_log))
    # zeep reads it as well: what it makes of it is what the service works with.
    value = client.get_element(wanted).parse(inner[0], client.wsdl.types)
    return operation, value, root


def signed_in(root):
    names = root.findall(".//{%s}Username" % SECURITY)
    return len(names) == 1 and names[0].text == "gate"


def ticket_of(kind, value):
    ticket = tickets.get(value.TicketId)
    if ticket is None or ticket["kind"] != kind:
        raise Refused("NOT_FOUND", "there is no such ticket", False)
    return ticket


def written(ticket, fields):
    for name, value in zeep.helpers.serialize_object(fields, dict).items():
        if value is None or value == []:
            continue
        if name == "WorkNote":
            ticket["notes"].append((now(), value))
        else:
            ticket["fields"][name] = value
    ticket["version"] += 1
    ticket["modified"] = now()


def shown(ticket):
    return {
        "TicketId": ticket["id"], "Fields": ticket["fields"],
        "WorkNotes": {"Note": [{"_value_1": text, "at": at} for at, text in ticket["notes"]]},
        "CreatedAt": ticket["created"], "ModifiedAt": ticket["modified"], "Version": ticket["version"],
    }


def done(operation, value):
    verb = next(verb for verb in ("Create", "Update", "Query") if operation.name.startswith(verb))
    kind = operation.name[len(verb):]
    if verb == "Create":
        if "poison" in (value.Fields.Title or ""):
            raise Refused("INVALID", "the title is not allowed", False)
        ident = "%s%08d" % (PREFIX[kind], len(tickets) + 1)
        ticket = {"id": ident, "kind": kind, "fields": {"Status": "Registered"}, "notes": [],
                  "version": 0, "created": now(), "modified": now()}
        written(ticket, value.Fields)
        tickets[ident] = ticket
        return {"TicketId": ident}
    if verb == "Update":
        ticket = ticket_of(kind, value)
        if value.ExpectedVersion is not None and value.ExpectedVersion != ticket["version"]:
            raise Refused("VERSION", "somebody else changed it", True)
        written(ticket, value.Fields)
        return {kind: shown(ticket)}
    criteria = value.Criteria
    found = [ticket for ticket in tickets.values() if ticket["kind"] == kind]
    if criteria.TicketId:
        found = [ticket for ticket in found if ticket["id"] == criteria.TicketId]
    if criteria.AlarmReference:
        found = [t for t in found if t["fields"].get("AlarmReference") == criteria.AlarmReference]
    if criteria.Status:
        found = [t for t in found if t["fields"]["Status"] in criteria.Status]
    start = int(criteria.Continuation or 0)
    end = start + criteria.Limit
    answer = {kind: [shown(ticket) for ticket in found[start:end]]}
    if end < len(found):
        answer["Continuation"] = str(end)
    return answer


def rendered(name, value):
    element = client.get_element("{%s}%s" % (NS, name))
    holder = etree.Element("holder")
    element.render(holder, element(**value))
    schema.assertValid(holder[0])
    return holder[0]


def envelope(inner):
    root = etree.Element("{%s}Envelope" % ENVELOPE, nsmap={"e": ENVELOPE})
    etree.SubElement(root, "{%s}Body" % ENVELOPE).append(inner)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def fault(code, words, detail=None):
    inner = etree.Element("{%s}Fault" % ENVELOPE, nsmap={"e": ENVELOPE, "wsse": SECURITY})
    etree.SubElement(inner, "faultcode").text = code
    etree.SubElement(inner, "faultstring").text = words
    if detail is not None:
        etree.SubElement(inner, "detail").append(detail)
    return envelope(inner)


def answered(headers, body):
    try:
        operation, value, root = request_of(headers, body)
        if not signed_in(root):
            return 500, fault("wsse:FailedAuthentication", "who are you?")
        return 200, envelope(rendered(operation.name + "Response", done(operation, value)))
    except Refused as refused:
        detail = {"Code": refused.code, "Message": str(refused), "Retryable": refused.retryable}
        return 500, fault("e:Server", str(refused), rendered("TicketingFault", detail))
    except ValueError as wrong:
        return 500, fault("e:Client", str(wrong)[:200])
    except Exception as wrong:  # what is wrong here must be seen by the test
        violations.append(repr(wrong))
        return 500, fault("e:Server", repr(wrong)[:200])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def give(self, status, kind, body):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        told = violations if self.path == "/violations" else list(tickets.values())
        self.give(200, "application/json", json.dumps(told, default=str).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with turn:
            status, answer = answered(self.headers, body)
        self.give(status, "text/xml; charset=utf-8", answer)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
