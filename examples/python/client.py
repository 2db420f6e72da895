#!/usr/bin/env python3
"""A chat client that needs nothing but Python 3.10: packetrpc's JSON form over TCP.

What you type is sent with the action Send; what the server pushes is printed.
"""
import argparse, collections, contextlib, itertools, json, queue, socket, sys, threading

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--server", default="127.0.0.1:25565", metavar="HOST:PORT")
parser.add_argument("--name", required=True, help="the name that others see")
parser.add_argument("--wait", type=int, default=0, metavar="N", help="leave when N pushes have arrived, not before")


class Connection:
    def __init__(self, server, name):
        host, _, port = server.rpartition(":")
        self.socket = socket.create_connection((host.strip("[]"), int(port)))
        self.lines = self.socket.makefile("r", encoding="utf-8", newline="\n")
        self.send(action="handShake", data={"version": 1, "username": name, "limits": {"maxMessageSize": "4194304"}})
        answer = json.loads(self.lines.readline() or '{"message": "the server closed the connection"}')
        if answer.get("kind") != "response":
            sys.exit(f"handshake failed: {answer.get('status', 'unknown')}: {answer.get('message', '')}")
        self.token = answer["data"]["uuid"]  # goes with every call
        self.ids = itertools.count(3, 2)  # the dialling side's are odd, and 1 is for one-way packets

    def send(self, **packet):
        self.socket.sendall(json.dumps(packet).encode() + b"\n")


def read(lines, decode, events, end):
    """Runs as a thread: each line becomes an event, and so does the end."""
    with contextlib.suppress(OSError, ValueError):
        for line in lines:
            events.put(decode(line))
    events.put(end)


def chat(connection, wait):
    typed, events = open(0, encoding="utf-8", errors="replace", closefd=False), queue.SimpleQueue()
    for source in (connection.lines, json.loads, events, {"kind": "close"}), (typed, str.strip, events, None):
        threading.Thread(target=read, args=source, daemon=True).start()
    unsent, typing, call_id = collections.deque(), True, None
    while typing or unsent or call_id or wait > 0:
        if unsent and not call_id:  # one call at a time keeps the lines in order
            call_id, data = next(connection.ids), {"text": unsent.popleft()}
            connection.send(action="chat.v1.ChatService/Send", id=call_id, token=connection.token, data=data)
        event = events.get()
        match event:
            case None:
                typing = False
            case str(text):
                unsent.extend([text] if text else [])
            case {"kind": "response" | "error", "id": number} if number == call_id:
                call_id = None
                if event["kind"] == "error":
                    print(f"not sent: {event['status']}: {event.get('message', '')}", file=sys.stderr, flush=True)
            case {"kind": "one-way", "action": "chat.v1.ChatEvents/Posted", "data": {"message": message}}:
                print(f"{message.get('name', '')}: {message.get('text', '')}", flush=True)
                wait -= 1
                if "sequence" in event:  # now the server need not keep the push
                    connection.send(kind="ack", acknowledged=event["sequence"])
            case {"kind": "ping"}:
                connection.send(**event | {"kind": "pong"})  # with the same data
            case {"action": _, "id": number} if event.get("kind", "request") == "request":
                connection.send(kind="error", id=number, status="unimplemented")
            case {"kind": "drain"}:
                print("the server takes no more calls:", event.get("reason", "it is going down"), file=sys.stderr)
            case {"kind": "close"}:
                sys.exit(f"the connection ended: {event.get('reason', 'the server did not say why')}")
    connection.send(kind="close")


if __name__ == "__main__":
    arguments = parser.parse_args()
    try:
        chat(Connection(arguments.server, arguments.name), arguments.wait)
    except (OSError, KeyboardInterrupt) as error:
        sys.exit(f"{arguments.server}: {error or 'interrupted'}")
