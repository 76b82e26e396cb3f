#!/usr/bin/python3
"""What zeep, which knows only the service description, makes of a USMS at an address: each operation of
each kind, answers checked against the schema as zeep reads them. Ends with 0 if all is as described.

    client.py http://127.0.0.1:8700/one/usms
"""
import pathlib
import sys

import zeep
from zeep.wsse.username import UsernameToken

WSDL = str(pathlib.Path(__file__).parent / "usms.wsdl")
BINDING = "{http://usms.example.net/ticketing/v2/wsdl}TicketingSoap"

settings = zeep.Settings(strict=True)
client = zeep.Client(WSDL, wsse=UsernameToken("gate", "right"), settings=settings)
service = client.create_service(BINDING, sys.argv[1])


def fault_of(call, **arguments):
    try:
        call(**arguments)
    except zeep.exceptions.Fault as fault:
        return fault
    raise SystemExit("there is no fault")


for kind, prefix in (("Incident", "INC"), ("Change", "CHG"), ("Problem", "PRB")):
    create, update, query = (service["%s%s" % (verb, kind)] for verb in ("Create", "Update", "Query"))
    fields = {"Title": "it's <down>", "Priority": "2-High", "ConfigurationItem": ["a"], "AlarmReference": "k"}
    ident = create(RequestId="r1", Fields=dict(fields, WorkNote="first"))
    assert ident.startswith(prefix), ident
    (found,) = query(Criteria={"AlarmReference": "k", "Limit": 10})[kind]
    assert found.Fields.Title == "it's <down>" and found.WorkNotes.Note[0]["_value_1"] == "first", found
    version = found.Version
    changed = update(RequestId="r2", TicketId=ident, ExpectedVersion=version, Fields={"Status": "Closed"})
    assert changed.Fields.Status == "Closed" and changed.Version > version, changed
    stale = fault_of(update, RequestId="r3", TicketId=ident, ExpectedVersion=version, Fields={})
    assert stale.detail.find(".//{*}Retryable").text == "true", stale
    gone = fault_of(update, RequestId="r4", TicketId=prefix + "99999999", Fields={})
    assert gone.detail.find(".//{*}Retryable").text == "false", gone
    for _ in range(2):
        create(RequestId="r5", Fields=fields)
    page = query(Criteria={"AlarmReference": "k", "Limit": 2})
    rest = query(Criteria={"AlarmReference": "k", "Limit": 2, "Continuation": page.Continuation})
    assert len(page[kind]) == 2 and len(rest[kind]) == 1 and rest.Continuation is None, (page, rest)

stranger = zeep.Client(WSDL, wsse=UsernameToken("gate", "guess"), settings=settings)
refused = fault_of(stranger.create_service(BINDING, sys.argv[1]).QueryIncident, Criteria={"Limit": 1})
assert "FailedAuthentication" in refused.code, refused
