"""Shakes hands and makes a call with everything sealed, over a connection that is not
encrypted: a counterpart to packages server and seal that shares no code with them, and
an example for those who write a client. It needs jwcrypto.

    sealed.py HOST:PORT SERVER_KEY.pem NAME PASSWORD ACTION DATA

DATA is the request as JSON. What is printed is the reply.
"""

import base64
import hashlib
import json
import secrets
import socket
import sys
import time

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK

ALGORITHMS = {"alg": "RSA-OAEP-256", "enc": "A256GCM"}


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def seal(data, key, **label):
    header = ALGORITHMS | label | {"iat": int(time.time()), "jti": base64url(secrets.token_bytes(16))}
    sealed = JWE(json.dumps(data).encode(), protected=json.dumps(header))
    sealed.add_recipient(key)
    return sealed.serialize(compact=True), header["jti"]


def open_sealed(sealed, key, **label):
    opened = JWE(algs=list(ALGORITHMS.values()))
    opened.deserialize(sealed, key)
    header = json.loads(opened.objects["protected"])
    if abs(time.time() - header.pop("iat")) > 120 or header.pop("jti") is None or header != ALGORITHMS | label:
        sys.exit(f"the reply was sealed for something else: {header}")
    return json.loads(opened.payload)


def exchange(connection, lines, **packet):
    connection.sendall(json.dumps(packet).encode() + b"\n")
    answer = json.loads(lines.readline())
    if answer.get("kind") == "error":
        sys.exit(f"{answer['status']}: {answer['message']}")
    return answer


server, key_file, name, password, action, data = sys.argv[1:]
with open(key_file, "rb") as file:
    server_key = JWK.from_pem(file.read())
own_key = JWK.generate(kty="RSA", size=2048)
public_key = own_key.get_op_key("encrypt").public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

host, _, port = server.rpartition(":")
connection = socket.create_connection((host, int(port)))
lines = connection.makefile("r", encoding="utf-8", newline="\n")

challenge = exchange(connection, lines, action="CoreChallenge")["data"]["challenge"]
hello = {"version": 1, "username": name, "password": password, "publicKey": base64.b64encode(public_key).decode()}
sealed, _ = seal(hello, server_key, act="handShake", dir="request", chl=challenge)
token = exchange(connection, lines, action="handShake", sealed=True, data=sealed)["token"]

label = {"act": action, "ses": base64url(hashlib.sha256(token.encode()).digest()), "call": 3}
sealed, request_id = seal(json.loads(data), server_key, dir="request", **label)
answer = exchange(connection, lines, action=action, id=3, token=token, sealed=True, data=sealed)
print(json.dumps(open_sealed(answer["data"], own_key, dir="reply", irt=request_id, **label)))
