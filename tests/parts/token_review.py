"""Stands for the Kubernetes API server: answers TokenReview requests over TLS.

    token_review.py FOLDER PORT

As the API server does it: who asks must present a token for the API server's own audience (401) and be a reviewer, which
`system:auth-delegator` makes of a service account (403). The token in question must have one of the audiences that are
asked for; none asked for means the API server's.
"""

import base64
import http.server
import json
import ssl
import sys

folder, port = sys.argv[1], int(sys.argv[2])
AUDIENCE = "https://kubernetes.default.svc"
REVIEWERS = ["system:serviceaccount:kube-system:vault-reviewer"]


def claims(token):
    part = token.strip().split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            caller = claims(self.headers["Authorization"].removeprefix("Bearer "))
        except (AttributeError, IndexError, ValueError):
            return self.refuse(401, "Unauthorized")
        if AUDIENCE not in caller["aud"]:
            return self.refuse(401, "Unauthorized")
        if caller["sub"] not in REVIEWERS:
            return self.refuse(403, "Forbidden")
        said = claims(review["spec"]["token"])
        asked = review["spec"].get("audiences") or [AUDIENCE]
        audiences = [name for name in asked if name in said["aud"]]
        status = {"authenticated": False, "error": "the audiences do not match"}
        if audiences:
            account = said["kubernetes.io"]
            user = {
                "username": said["sub"],
                "uid": account["serviceaccount"]["uid"],
                "groups": ["system:serviceaccounts", "system:serviceaccounts:" + account["namespace"]],
            }
            status = {"authenticated": True, "user": user, "audiences": audiences}
        self.reply(201, {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status})

    def refuse(self, code, reason):
        self.reply(code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code})

    def reply(self, code, answer):
        body = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + "/server.pem", folder + "/server.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
