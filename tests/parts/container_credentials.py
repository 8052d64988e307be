"""Runs a program beside what ECS has at 169.254.170.2: credentials at the relative URI, and Secrets Manager at the root.

Started in a network namespace of its own: `unshare -n python container_credentials.py PROGRAM ARG...`.
"""

import fcntl
import http.server
import json
import socket
import struct
import subprocess
import sys
import threading

ADDRESS = "169.254.170.2"


def bring_up():
    """The loopback device, and the address on it: netdevice(7)."""
    asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fcntl.ioctl(asked, 0x8914, struct.pack("16sh14s", b"lo", 0x41, b""))  # SIOCSIFFLAGS, up and running
    address = struct.pack("HH4s8s", socket.AF_INET, 0, socket.inet_aton(ADDRESS), b"")
    fcntl.ioctl(asked, 0x8916, struct.pack("16s16s8s", b"lo:0", address, b""))  # SIOCSIFADDR


class Handler(http.server.BaseHTTPRequestHandler):
    def say(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/v2/credentials/task" and self.headers.get("Authorization") == "Basic task-token":
            self.say(200, {"AccessKeyId": "ASIATASK", "SecretAccessKey": "s", "Token": "session-of-the-task",
                           "Expiration": "2099-01-01T00:00:00Z", "RoleArn": "arn:aws:iam::123456789012:role/task"})
        else:
            self.say(404, {})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        is_task = "Credential=ASIATASK/" in self.headers.get("Authorization", "")
        if is_task and self.headers.get("X-Amz-Security-Token") == "session-of-the-task":
            self.say(200, {"ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf", "Name": "a",
                           "VersionId": "v1", "VersionStages": ["AWSCURRENT"], "SecretString": "read by the task"})
        else:
            self.say(400, {"__type": "UnrecognizedClientException"})

    def log_message(self, *_):
        pass


bring_up()
server = http.server.ThreadingHTTPServer((ADDRESS, 80), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.exit(subprocess.run(sys.argv[1:]).returncode)
