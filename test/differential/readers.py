"""Other people's HTTP servers: each forwards what it read to a backend, and says how it reads the path."""
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time


given = set()


def free_port():
    """Below those that the kernel gives to connections, which are many here."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in given:
            given.add(port)
            return port


NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/nb; proxy_temp_path {folder}/np; fastcgi_temp_path {folder}/nf;
  uwsgi_temp_path {folder}/nu; scgi_temp_path {folder}/ns; large_client_header_buffers 8 64k; underscores_in_headers on;
  map $uri $read {{ "~[\\x00-\\x1f]" "control"; default $uri; }}
  server {{ listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{backend}; proxy_http_version 1.1; proxy_set_header Host $http_host;
                 proxy_set_header X-Reader-Path $read; proxy_buffering off; }} }}
}}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend front
  bind 127.0.0.1:{port}
  default_backend back
backend back
  server one 127.0.0.1:{backend}
"""
APACHE = """
ServerRoot /etc/apache2
PidFile {folder}/apache.pid
ErrorLog {folder}/apache.log
Listen 127.0.0.1:{port}
ServerName localhost
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LimitRequestFieldSize 65536
LimitRequestLine 65536
ProxyPreserveHost On
ProxyPass / http://127.0.0.1:{backend}/ nocanon
RequestHeader set X-Reader-Path "expr=%{{escape:%{{REQUEST_URI}}}}"
"""


def manager(number, decoding):
    """Envoy's connection manager as a waypoint has it."""
    slashes = "UNESCAPE_AND_FORWARD" if decoding else "KEEP_UNCHANGED"
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": f"in{number}", "normalize_path": True, "merge_slashes": decoding,
        "path_with_escaped_slashes_action": slashes,
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": f"backend{number}"}}]}]}}}


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def envoy_config(lanes):
    """`lanes`: (port, backend, decoding)."""
    listeners = [{"address": address(port), "filter_chains": [{"filters": [manager(number, decoding)]}]}
                 for number, (port, _, decoding) in enumerate(lanes)]
    clusters = [{"name": f"backend{number}", "load_assignment": {"cluster_name": f"backend{number}", "endpoints": [
        {"lb_endpoints": [{"endpoint": {"address": address(backend)}}]}]}} for number, (_, backend, _) in enumerate(lanes)]
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


class Process:
    """A program, its log, and its end."""

    def __init__(self, folder, name, command, ports):
        self.name, self.ports = name, ports
        self.log = pathlib.Path(folder, name + ".out")
        with open(self.log, "w", encoding="utf-8") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
        until = time.monotonic() + 30
        for port in ports:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError as error:
                    if self.process.poll() is not None or time.monotonic() > until:
                        raise SystemExit(f"{name} does not come up: {self.log.read_text()[-500:]}") from error
                    time.sleep(0.05)

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start(folder, backend, envoy):
    """Every reader (Envoy where there is one), in front of `backend`: name to Process."""
    found = {}
    for name, program, text, command in (
            ("nginx", "nginx", NGINX, lambda file: ["nginx", "-c", file, "-e", f"{folder}/nginx.log"]),
            ("haproxy", "haproxy", HAPROXY, lambda file: ["haproxy", "-db", "-f", file]),
            ("apache", "apache2", APACHE, lambda file: ["apache2", "-X", "-f", file])):
        path = f"{os.environ['PATH']}:/usr/sbin"
        if not shutil.which(program, path=path):
            raise SystemExit(f"{program} is not installed: run `make setup`")
        port = free_port()
        file = pathlib.Path(folder, name + ".conf")
        file.write_text(text.format(folder=folder, port=port, backend=backend), encoding="utf-8")
        said = command(str(file))
        found[name] = Process(folder, name, [shutil.which(program, path=path), *said[1:]], [port])
    if envoy:
        port = free_port()
        found["envoy"] = start_envoy(folder, "envoy-reader", envoy, [(port, backend, False)])
    return found


def start_envoy(folder, name, envoy, lanes):
    file = pathlib.Path(folder, name + ".json")
    file.write_text(json.dumps(envoy_config(lanes)), encoding="utf-8")
    command = [envoy, "-c", str(file), "--use-dynamic-base-id", "--concurrency", "1", "-l", "error"]
    return Process(folder, name, command, [port for port, _, _ in lanes])
