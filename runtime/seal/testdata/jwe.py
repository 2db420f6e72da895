"""Seals and opens data as packetrpc does: a counterpart to package seal that shares
no code with it, and an example for those who write one. It needs jwcrypto.

    jwe.py seal PUBLIC_KEY.pem HEADER <data >sealed
    jwe.py open PRIVATE_KEY.pem <sealed >opened

HEADER is a JSON object with what the data is bound to: for a call

    {"act": "chat.Room/Say", "dir": "request", "ses": "…", "call": 7,
     "iat": 1712345678, "jti": "…"}

and by hand {"bound": {"room": "lobby"}}, or {} for nothing. What open writes is the
header as one line of JSON, and then the data.
"""

import json
import sys

from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK

ALGORITHMS = {"alg": "RSA-OAEP-256", "enc": "A256GCM"}


def seal(data, public_key, header):
    sealed = JWE(data, protected=json.dumps({**ALGORITHMS, **header}))
    sealed.add_recipient(public_key)
    return sealed.serialize(compact=True)


def open_sealed(sealed, private_key):
    """Returns the header and the data. Who serves calls must also check that the
    header says what it should, is not older than two minutes, and has a new jti."""
    opened = JWE(algs=list(ALGORITHMS.values()))
    opened.deserialize(sealed, private_key)
    return json.loads(opened.objects["protected"]), opened.payload


command, key_file = sys.argv[1:3]
with open(key_file, "rb") as file:
    key = JWK.from_pem(file.read())
if command == "seal":
    sys.stdout.write(seal(sys.stdin.buffer.read(), key, json.loads(sys.argv[3])))
else:
    header, data = open_sealed(sys.stdin.read(), key)
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n" + data)
