"""A peer that speaks just enough HBONE to misbehave: TLS with any certificate, hand-made HTTP/2.

Runs inside a pod (or as a module): hbone.py ADDRESS PORT CERTIFICATE|- AUTHORITY [CLOSE], and prints one
JSON object: {"tls": ok or the error, "status": N or null, "body": text, "end": how it ended}.
"""
import json
import socket
import ssl
import struct
import sys

DIGITS = {"00000": "0", "00001": "1", "00010": "2", "011001": "3", "011010": "4", "011011": "5",
          "011100": "6", "011101": "7", "011110": "8", "011111": "9"}
INDEXED = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}


def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def literal(name, value):
    return b"\x00" + b"".join(bytes([len(one)]) + one for one in (name.encode(), value.encode()))


def connect_request(authority, method="CONNECT", stream=1):
    return frame(1, 4, stream, literal(":method", method) + literal(":authority", authority))


def status_of(block):
    """The :status that begins a header block, as nghttp2 writes it."""
    while block and block[0] >> 5 == 1:  # table size update
        block = block[1:]
    if block[0] & 0x80:
        return INDEXED.get(block[0] & 0x7F)
    length = block[1] & 0x7F
    text = block[2:2 + length]
    if not block[1] & 0x80:
        return int(text)
    bits, word, digits = "".join(f"{byte:08b}" for byte in text), "", ""
    for bit in bits:
        word += bit
        if word in DIGITS:
            digits, word = digits + DIGITS[word], ""
    return int(digits)


class Peer:
    """One TLS connection to port 15008."""

    def __init__(self, address, port, certificate, alpn=("h2",)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(list(alpn))
        if certificate != "-":
            context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(socket.create_connection((address, port), 5))
        self.socket.settimeout(5)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def frames(self):
        while True:
            while len(self.buffer) < 9:
                more = self.socket.recv(65536)
                if not more:
                    return
                self.buffer += more
            length = int.from_bytes(self.buffer[:3], "big")
            while len(self.buffer) < 9 + length:
                self.buffer += self.socket.recv(65536) or b"\0" * (9 + length)
            kind, flags = self.buffer[3], self.buffer[4]
            stream = int.from_bytes(self.buffer[5:9], "big") & 0x7FFFFFFF
            payload, self.buffer = self.buffer[9:9 + length], self.buffer[9 + length:]
            yield kind, flags, stream, payload


def call(address, port, certificate, authority, data=b"GET / HTTP/1.0\r\n\r\n", method="CONNECT"):
    answer = {"tls": "ok", "status": None, "body": "", "end": "closed"}
    try:
        peer = Peer(address, port, certificate)
        peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + connect_request(authority, method))
        for kind, flags, stream, payload in peer.frames():
            if kind == 4 and not flags & 1:
                peer.send(frame(4, 1, 0))
            elif kind == 1 and stream == 1:
                answer["status"] = status_of(payload)
                if answer["status"] == 200:
                    peer.send(frame(0, 0, 1, data))
                else:
                    answer["end"] = "refused"
                    break
            elif kind == 0 and stream == 1:
                answer["body"] += payload.decode("latin-1")
                if flags & 1:
                    answer["end"] = "end of stream"
                    break
            elif kind == 3 and stream == 1:
                answer["end"] = f"reset {int.from_bytes(payload, 'big')}"
                break
            elif kind == 7:
                answer["end"] = f"goaway {int.from_bytes(payload[4:8], 'big')}"
    except ssl.SSLError as error:
        answer["tls"] = error.reason or str(error)
    except OSError as error:
        answer["end"] = str(error)
    return answer


if __name__ == "__main__":
    print(json.dumps(call(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])))
