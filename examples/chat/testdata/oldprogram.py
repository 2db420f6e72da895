"""A program for the system that packetrpc carries on, as they were written: four
keys in a packet, no newline after it, one recv(1024) for each reply."""
import json, socket, sys, time


def createPacket(action, data, token=None):
    return json.dumps({"action": action, "data": data, "packet-created": time.time(), "token": token}).encode()


def exchange(connection, packet):
    connection.sendall(packet)
    return json.loads(connection.recv(1024).decode())


connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)

reply = exchange(connection, createPacket("handShake", {"username": "demo", "password": "test"}))
assert reply["action"] == "handShake", reply
assert reply["data"]["status"] == "success", reply
token = reply["data"]["uuid"]
assert token and reply["data"]["remoteToken"] == reply["token"] == token, reply
assert abs(reply["packet-created"] - time.time()) < 60, reply

reply = exchange(connection, createPacket("CoreListClients", {}, token))
assert reply["action"] == "ListClients", reply
assert [client["name"] for client in reply["data"]["clients"]] == ["demo"], reply
assert token not in json.dumps(reply["data"]), reply

reply = exchange(connection, createPacket("chat.v1.ChatService/Send", {"text": "hello"}, token))
assert reply["action"] == "chat.v1.ChatService/Send", reply
assert reply["data"] == {"number": 1}, reply

reply = exchange(connection, createPacket("chat.v1.ChatService/Typing", {}, token))
assert (reply["action"], reply["data"]) == ("chat.v1.ChatService/Typing", {}), reply

reply = exchange(connection, createPacket("chat.v1.ChatService/History", {}, token))
assert reply["status"] == "unimplemented", reply

reply = exchange(connection, createPacket("chat.v1.ChatService/Send", {"text": "hello"}, "someone else's"))
assert (reply["action"], reply["status"]) == ("chat.v1.ChatService/Send", "unauthenticated"), reply

reply = exchange(connection, createPacket("chat.v1.ChatService/Send", {"text": "again"}, token))
assert reply["data"] == {"number": 2}, reply
print("ok")
