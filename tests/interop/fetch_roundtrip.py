#!/usr/bin/env python3
"""`fedpet-client fetch model` and huggingface_hub share one cache: what either fetched from a local hub, the other finds
there without asking again, in the same layout."""
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading

import model_common as common

REPO, COMMIT = "sentence-transformers/all-MiniLM-L6-v2", "c" * 40
NEEDED = ["config.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json", "vocab.txt",
          "model.safetensors"]


def checksum(data: bytes, large: bool) -> str:
    return hashlib.sha256(data).hexdigest() if large else hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub(http.server.BaseHTTPRequestHandler):
    """The part of huggingface.co that downloads touch."""
    protocol_version = "HTTP/1.1"
    requests: list[str] = []

    def log_message(self, *_):
        pass

    def reply(self, status: int, body: bytes, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def resolve(self, name: str):
        data, large = (common.MINILM / name).read_bytes(), name.endswith(".safetensors")
        # Another host, as the hub's store is: the library follows redirects within the hub.
        etag, at = checksum(data, large), f"{self.server.base.replace('127.0.0.1', 'localhost')}/store/{name}"
        if large:
            self.reply(302, b"", X_Linked_Etag=f'"{etag}"', X_Linked_Size=str(len(data)), X_Repo_Commit=COMMIT, Location=at)
        else:
            self.reply(200, data, ETag=f'"{etag}"', X_Repo_Commit=COMMIT)

    def do_GET(self):
        path = self.path.split("?")[0]
        names = [p.name for p in sorted(common.MINILM.iterdir()) if p.is_file()]
        if self.command == "GET":
            Hub.requests.append(path)
        if path == f"/api/models/{REPO}/revision/main":
            info = {"id": REPO, "modelId": REPO, "sha": COMMIT, "siblings": [{"rfilename": n} for n in names]}
            self.reply(200, json.dumps(info).encode(), Content_Type="application/json")
        elif path == f"/api/models/{REPO}/tree/{COMMIT}":
            self.reply(200, json.dumps([self.entry(n) for n in names]).encode(), Content_Type="application/json")
        elif path.startswith(f"/{REPO}/resolve/") and path.split("/")[-1] in names:
            self.resolve(path.split("/")[-1])
        elif path.startswith("/store/"):
            self.reply(200, (common.MINILM / path.split("/")[-1]).read_bytes())
        else:
            self.reply(404, b"", X_Error_Code="EntryNotFound")

    do_HEAD = do_GET

    @staticmethod
    def entry(name: str) -> dict:
        data, large = (common.MINILM / name).read_bytes(), name.endswith(".safetensors")
        entry = {"type": "file", "path": name, "size": len(data), "oid": checksum(data, False)}
        return entry | ({"lfs": {"oid": checksum(data, True), "size": len(data), "pointerSize": 134}} if large else {})


def serve(context: ssl.SSLContext | None) -> str:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.base = f"http{'s' if context else ''}://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.base


def certificate(scratch: pathlib.Path) -> ssl.SSLContext:
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                    "-keyout", scratch / "key.pem", "-out", scratch / "cert.pem", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(scratch / "cert.pem", scratch / "key.pem")
    return context


def ours(endpoint: str, cache: pathlib.Path, scratch: pathlib.Path, **env) -> dict:
    done = subprocess.run(
        [common.CLIENT, "fetch", "model", REPO, "--ca", scratch / "cert.pem", "--format", "json"], check=True, text=True,
        capture_output=True, env=os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(cache), "no_proxy": "*"} | env)
    return json.loads(done.stdout)


def layout(cache: pathlib.Path) -> dict:
    """Every link and file of the repository, with the link's text or the file's checksum; what only the library keeps
    for itself (its cached listings) is left out."""
    repo = cache / ("models--" + REPO.replace("/", "--"))
    return {str(p.relative_to(repo)): os.readlink(p) if p.is_symlink() else checksum(p.read_bytes(), True)
            for p in repo.rglob("*") if not p.is_dir() and p.relative_to(repo).parts[0] != "trees"}


def main() -> int:
    common.need(common.CLIENT, common.MINILM, pathlib.Path(shutil.which("openssl") or "openssl"))
    checks = {}
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        secure, plain = serve(certificate(scratch)), serve(None)
        os.environ["HF_ENDPOINT"], os.environ["HF_HUB_DISABLE_XET"] = plain, "1"
        import huggingface_hub as hub

        mine, theirs = scratch / "ours", scratch / "theirs"
        got = ours(secure, mine, scratch)
        found = hub.snapshot_download(REPO, cache_dir=mine, local_files_only=True)
        checks["huggingface_hub finds our snapshot"] = found == got["path"]
        checks["and no fault in our cache"] = not hub.scan_cache_dir(mine).warnings
        checks["transformers loads it"] = common.open_base(pathlib.Path(found), 2) is not None
        hub.snapshot_download(REPO, cache_dir=theirs, allow_patterns=NEEDED, endpoint=plain)
        checks["both make the same cache"] = layout(mine) == layout(theirs)
        offline = ours(secure, theirs, scratch, HF_HUB_OFFLINE="1")
        checks["we find theirs offline"] = offline["cached"] and offline["commit"] == COMMIT
        Hub.requests.clear()
        again = ours(secure, theirs, scratch)
        checks["and fetch nothing of it again"] = (not any(f["fetched"] for f in again["files"])
                                                   and [r for r in Hub.requests if not r.startswith("/api/")] == [])
    for check, right in checks.items():
        print(f"{'ok    ' if right else 'FAILED'}  {check}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
