"""Answers predictions over HTTP: POST /predict {"features": [5.1, 3.5, 1.4, 0.2]} gives {"species": "setosa", …}."""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import joblib

LOADED = joblib.load(os.environ.get("MODEL", "/model/model.joblib"))


def predict(features: list[float]) -> dict[str, object]:
    (row,) = LOADED["model"].predict_proba([features])
    best = int(row.argmax())
    return {"species": LOADED["names"][best], "probability": round(float(row[best]), 4)}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(200, {"status": "ok"})

    def do_POST(self) -> None:
        try:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.answer(200, predict([float(value) for value in body["features"]]))
        except (ValueError, KeyError, TypeError) as error:
            self.answer(400, {"error": str(error)})

    def answer(self, status: int, value: dict[str, object]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        print(self.address_string(), format % args, flush=True)


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8080"))
    # The first process of a container has to say itself that it ends when it is asked to.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"listening on {port}", flush=True)
    ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()
