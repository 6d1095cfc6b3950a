import json
import os
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from hms_async import SignatureInvalid, verify_webhook

SECRET = os.environ["WEBHOOK_SECRET"]
PORT = int(os.environ.get("PORT", "8099"))
LARGEST = 1_048_576
REMEMBERED = 10_000
heard: OrderedDict[str, None] = OrderedDict()  # a service keeps it where a restart cannot lose it


class Receiver(BaseHTTPRequestHandler):
    timeout = 10

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        if length > LARGEST:
            self.send_error(413)
            return
        body = self.rfile.read(length)
        try:
            message_id = verify_webhook(SECRET, self.headers, body)
        except SignatureInvalid as error:
            print(f"refused: {error}", flush=True)
            self.send_error(401)
            return
        if message_id not in heard:  # else it was sent again, as our answer got lost
            print(f"{message_id}: {json.loads(body)}", flush=True)
            heard[message_id] = None
            if len(heard) > REMEMBERED:
                heard.popitem(last=False)
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    with ThreadingHTTPServer(
        ("127.0.0.1", int(os.environ.get("PORT", "8099"))), Receiver
    ) as server:
        print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()
