"""Plain TCP in, HBONE's TLS out: for programs that cannot show a certificate. relay.py PORT ADDRESS CERTIFICATE"""
import socket
import ssl
import sys
import threading


def pump(source, sink):
    """Until the end, which is passed on; what still comes the other way is not cut off by it."""
    try:
        while part := source.recv(65536):
            sink.sendall(part)
    except (OSError, ValueError):
        pass
    try:
        sink.shutdown(socket.SHUT_WR)
        while source.recv(65536):
            pass
    except (OSError, ValueError):
        pass


def main():
    port, address, certificate = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", port), backlog=64) as listener:
        print("ready", flush=True)
        while True:
            near, _ = listener.accept()
            far = context.wrap_socket(socket.create_connection((address, 15008), 10))
            far.settimeout(None)
            threading.Thread(target=pump, args=(near, far), daemon=True).start()
            threading.Thread(target=pump, args=(far, near), daemon=True).start()


if __name__ == "__main__":
    main()
