#!/usr/bin/env python3
"""The Python client of this folder under the conformance runner (docs/conformance.md):

    packetrpc conformance -- python3 examples/python/conformance.py

It declares what it is made for: the JSON form, unary and one-way calls, streams of
replies, pushes, pings. It gives endless credit and counts none, as section 15 of the
protocol allows to a client whose calls have one small message each.
"""
import contextlib, hashlib, json, sys

from client import Connection

DECLARED = [
    r"^handshake/(version-1|no-password|nothing-before-the-answer|push-behind-the-answer|answer-byte-by-byte|unknown-fields)/json$",
    r"^handshake/(no-limits|numbers-as-.*|null-values|wrong-password|version-refused|unavailable|closed-without-answer)/json$",
    r"^calls/(unary-(empty|1-byte|1-KiB|64-KiB.*)|ids|token|numbers|few-numbers|no-numbers|concurrent-.*|one-way|special-characters)/json$",
    r"^calls/(unknown-fields-.*|reply-without-data|json-.*|metadata-.*|no-timeout|timeout-told|cancel)/json$",
    r"^streams/(server-.*|messages-joined|metadata-of-messages|cancel-server-stream)/json$",
    r"^errors/.*/json$",
    r"^bear/(drain|close-.*|end-of-stream|late-.*|response-.*|error-.*|credit-.*|much-.*|ping.*|pong-.*|ack|cancel-.*)/json$",
    r"^bear/(unknown-kind-for-no-call|byte-by-byte|seven-by-seven)/json$",
]
STATUSES = """canceled unknown invalid_argument deadline_exceeded not_found already_exists permission_denied resource_exhausted
    failed_precondition aborted out_of_range unimplemented internal unavailable data_loss unauthenticated""".split()


def tell(event, **fields):
    print(json.dumps({"event": event} | {key: value for key, value in fields.items() if value}), flush=True)


def text_of(data):
    text = data.get("text") or "" if isinstance(data, dict) else ""
    size = len(text.encode())
    return {"text": text} if size <= 1000 else {"size": size, "sha256": hashlib.sha256(text.encode()).hexdigest()}


class Script:
    def __init__(self, connection):
        self.connection, self.names, self.metadata = connection, {}, {}
        self.received, self.handled, self.drained, self.closed = {}, 0, False, False

    def id_of(self, name):
        return next((id for id, other in self.names.items() if other == name), None)

    def send(self, **packet):
        with contextlib.suppress(OSError):  # that the connection has ended is read, not written
            self.connection.send(**packet)

    def do_call(self, step):
        name, kind, message = step["call"], step["type"], step.get("message", {})
        if self.closed or self.drained:
            return tell("end", call=name, status="unavailable")
        packet = {"action": step["action"], "token": self.connection.token, "data": {}}
        text, size = message.get("text", ""), message.get("size", 0)
        if kind not in ("client-stream", "bidi-stream"):
            packet["data"] = {"text": (text * (size // len(text) + 1))[:size] if size else text}
        for key, value in step.get("metadata", []):
            packet.setdefault("metadata", {}).setdefault(key, []).append(value)
        if step.get("timeout"):
            packet["timeout"] = step["timeout"]
        if kind == "one-way":
            return self.send(kind="one-way", id=1, **packet)
        packet["id"] = next(self.connection.ids)
        self.names[packet["id"]] = name
        self.send(**packet)

    def do_send(self, step):
        if id := self.id_of(step["call"]):
            self.send(kind="message", id=id, data={"text": step["message"]["text"]})

    def do_half_close(self, step):
        if id := self.id_of(step["call"]):
            self.send(kind="half-close", id=id)

    def do_cancel(self, step):
        if id := self.id_of(step["call"]):
            self.send(kind="cancel", id=id)
            self.end(id, status="canceled")

    def do_receive(self, step):
        want = self.received.get(step["call"], 0) + step["count"]
        while self.received.get(step["call"], 0) < want and self.id_of(step["call"]):
            self.take()

    def do_finish(self, step):
        while self.id_of(step["call"]):
            self.take()

    def do_handled(self, step):
        while self.handled < step["count"] and not self.closed:
            self.take()

    def do_closed(self, _):
        while not self.closed:
            self.take()
        tell("closed", message=self.reason)

    def end(self, id, **fields):
        tell("end", call=self.names.pop(id), metadata=self.metadata.pop(id, []), **fields)

    def take(self):
        line = self.connection.lines.readline()
        packet = json.loads(line) if line.endswith("\n") else {"kind": "close"}
        kind, id, text = packet.get("kind") or "request", packet.get("id") or 0, text_of(packet.get("data"))
        if id in self.names and kind in ("message", "response", "error"):
            for key, values in (packet.get("metadata") or {}).items():
                values = values if isinstance(values, list) else [values]
                self.metadata.setdefault(id, []).extend([key, value] for value in values)
        match kind:
            case "message" if id in self.names:
                name = self.names[id]
                self.received[name] = self.received.get(name, 0) + 1
                tell("message", call=name, **text)
            case "response" if id in self.names:
                self.end(id, **text)
            case "error" if id in self.names:
                status, why = packet.get("status"), {key: packet.get(key) for key in ("message", "details")}
                self.end(id, status=status if status in STATUSES else "unknown", retryAfter=packet.get("retry-after"), **why)
            case "one-way":
                self.handled += 1
                tell("handled", action=packet["action"], **text)
            case "ping":
                self.send(**packet | {"kind": "pong"})
            case "request" if id:
                self.send(kind="error", id=id, status="unimplemented")
            case "drain":
                self.drained = True
            case "close":
                self.closed, self.reason = True, packet.get("reason", "")
                for id in list(self.names):
                    self.end(id, status="unavailable")


def main():
    task = json.loads(sys.stdin.readline())
    if task["role"] == "declare":
        return print(json.dumps({"declares": DECLARED}))
    try:
        script = Script(Connection(task["address"], task["username"]))
    except SystemExit as refused:
        return tell("refused", **dict(zip(("status", "message"), str(refused).split(": ", 2)[1:])))
    tell("connected")
    for step in task.get("steps", []):
        getattr(script, "do_" + step["do"].replace("-", "_"))(step)
    if not script.closed:
        script.send(kind="close")


main()
