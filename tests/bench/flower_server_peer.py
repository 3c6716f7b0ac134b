#!/usr/bin/env python3
"""Updates a second through a real fedpet-server and through Flower's: a SuperLink and a ServerApp with FedAvg over Flower's own
HTTP path, 0.9 M parameters (3.6 MB) an update. The clients of both are real in all but their training: they send what they were
sent plus noise. Ours are build/release/soak's, over mutual TLS, each update journalled on disk; Flower's are threads of a few processes,
each a registered node with a connection of its own that speaks the Fleet API through Flower's client code, over plain HTTP, with
all in memory. A node asks for messages every 3 s, as a SuperNode does, but starts no ClientApp: what is measured is the server.

All take part in each round. Prints a table: updates a second from the first task to the last round's result, and the processor
seconds of the server's processes an update. Needs build/release/soak (`./dev build release soak`) and requirements-flower.txt.

    flower_server_peer.py [--clients N...] [--rounds N] [--repeat N] [--processes N]
"""
import argparse
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("FEDPET_BIN", ROOT / "build/release"))
RANK = 98  # of LoRA on MiniLM's shape: 903,938 parameters
PARAMETERS = 9216 * RANK + 770
POLL_S = 3  # as a SuperNode

APP = """
import json, os, time
import numpy, psutil
from flwr.app import ArrayRecord, Array, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()

def cpu(pid):
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system

@app.main()
def main(grid: Grid, context: Context) -> None:
    c = context.run_config
    marks = []

    def mark(done, _):
        marks.append({"seconds": time.monotonic(), "cpu": cpu(os.getpid()) + cpu(c["superlink"])})
        return MetricRecord({"round": done})

    while len(list(grid.get_node_ids())) < c["clients"]:
        time.sleep(0.5)
    strategy = FedAvg(fraction_train=1.0, fraction_evaluate=0.0, min_train_nodes=c["clients"], min_available_nodes=c["clients"])
    arrays = ArrayRecord({"lora": Array(numpy.zeros(c["parameters"], dtype=numpy.float32))})
    result = strategy.start(grid=grid, initial_arrays=arrays, num_rounds=c["rounds"], evaluate_fn=mark, timeout=3600)
    moved = float(numpy.abs(result.arrays["lora"].numpy()).max())
    with open(c["out"] + ".new", "w") as f:
        json.dump({"marks": marks, "moved": moved}, f)
    os.rename(c["out"] + ".new", c["out"])
"""

CLIENT_APP = """
from flwr.clientapp import ClientApp
app = ClientApp()
"""

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "bench"
version = "1.0.0"
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "bench"
[tool.flwr.app.components]
serverapp = "bench.server:app"
clientapp = "bench.client:app"
[tool.flwr.app.config]
clients = 1
rounds = 1
parameters = 1
superlink = 1
out = ""
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# --- Flower's nodes: in processes of their own


def answer(message, tree, number, pull, push, send, confirm) -> None:
    """One training, without the training."""
    from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
    from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree, iterate_object_tree, no_object_id_recompute
    from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents, pull_objects, push_objects

    run, task = message.metadata.run_id, message.metadata.message_id
    contents = pull_objects([t.object_id for t in iterate_object_tree(tree)], pull_object_fn=lambda o: pull(run, o))
    confirm(run, task)
    message = inflate_object_from_contents(task, contents)
    message.metadata.__dict__["_message_id"] = task
    values = message.content["arrays"]["lora"].numpy() + 1e-3 * (number % 1000 + 1)
    reply = Message(RecordDict({"arrays": ArrayRecord({"lora": Array(values.astype("float32"))}),
                                "metrics": MetricRecord({"num-examples": 32})}), reply_to=message)
    with no_object_id_recompute():
        reply.metadata.__dict__["_message_id"] = reply.object_id
        objects = get_all_nested_objects(reply)
        wanted, session = send(reply, get_object_tree(reply), 0.1)
        push_objects(objects, lambda o, c: push(run, session, o, c), object_ids_to_push=set(wanted))


def live(address: str, number: int) -> None:
    from flwr.supernode.fleet_http_connection import http_request_response

    with http_request_response(address, True) as (_, receive, send, _, _, pull, push, confirm):
        while True:
            got = receive()
            if got is None:
                time.sleep(POLL_S)
            else:
                answer(*got, number, pull, push, send, confirm)


def nodes(address: str, first: str, count: str) -> None:
    threads = [threading.Thread(target=live, args=(address, int(first) + i), daemon=True) for i in range(int(count))]
    for thread in threads:
        thread.start()
        time.sleep(0.01)
    signal.pause()


# --- measuring


class Flower:
    """A SuperLink with its nodes, ended with the `with` block."""

    def __init__(self, folder: pathlib.Path, clients: int, processes: int):
        self.folder, self.clients, self.processes, self.children = folder, clients, processes, []
        self.bin = pathlib.Path(sys.executable).parent
        self.address = f"127.0.0.1:{free_port()}"
        self.environment = os.environ | {
            "FLWR_HOME": str(folder), "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "OMP_NUM_THREADS": "1",
            "PATH": f"{self.bin}:{os.environ['PATH']}"}

    def __enter__(self):
        host, port = self.address.split(":")
        app = self.folder / "app"
        (app / "bench").mkdir(parents=True)
        (app / "pyproject.toml").write_text(PROJECT)
        (app / "bench/__init__.py").write_text("")
        (app / "bench/server.py").write_text(APP)
        (app / "bench/client.py").write_text(CLIENT_APP)
        (self.folder / "config.toml").write_text(f'[superlink]\ndefault = "bench"\n[superlink.bench]\naddress = "{self.address}"\ninsecure = true\n')
        self.superlink = self.start("superlink", self.bin / "flower-superlink", "--insecure", "--host", host, "--port", port,
                                    "--disable-runtime-dependency-installation")
        self.await_port(host, int(port))
        share = -(-self.clients // self.processes)
        for first in range(0, self.clients, share):
            self.start("nodes", sys.executable, __file__, "--nodes", self.address, first, min(share, self.clients - first))
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def start(self, name, *command) -> subprocess.Popen:
        with open(self.folder / f"{name}.log", "ab") as log:
            self.children.append(subprocess.Popen([str(x) for x in command], stdout=log, stderr=log, env=self.environment, start_new_session=True))
        return self.children[-1]

    def await_port(self, host: str, port: int) -> None:
        for _ in range(600):
            try:
                socket.create_connection((host, port)).close()
                return
            except OSError:
                time.sleep(0.1)
        self.fail("waited a minute in vain for the SuperLink")

    def fail(self, why: str) -> None:
        for log in self.folder.glob("*.log"):
            print(f"--- {log.name}\n{log.read_text()[-3000:]}", file=sys.stderr)
        sys.exit(why)

    def run_ended(self) -> bool:
        """Well, or given up: a ServerApp whose heartbeats do not come through loses its token."""
        said = (self.folder / "superlink.log").read_text()
        return "Finished task" in said or "task-token authentication failed" in said or self.superlink.poll() is not None

    def run(self, rounds: int) -> dict | None:
        """None: the run ended without a result."""
        out = self.folder / "result.json"
        config = f'clients={self.clients} rounds={rounds} parameters={PARAMETERS} superlink={self.superlink.pid} out="{out}"'
        done = subprocess.run([self.bin / "flwr", "run", self.folder / "app", "bench", "--run-config", config], env=self.environment,
                              capture_output=True, text=True)
        if done.returncode != 0:
            self.fail(done.stdout + done.stderr)
        while not out.exists():
            if self.run_ended() and not out.exists():
                return None
            time.sleep(1)
        result = json.loads(out.read_text())
        if not result["moved"] > 0:
            self.fail("Flower aggregated nothing")
        first, last = result["marks"][0], result["marks"][-1]
        updates = rounds * self.clients
        return {"rate": updates / (last["seconds"] - first["seconds"]), "cpu": (last["cpu"] - first["cpu"]) / updates}


def measure_flower(clients: int, rounds: int, processes: int) -> dict | None:
    with tempfile.TemporaryDirectory() as scratch, Flower(pathlib.Path(scratch), clients, processes) as flower:
        return flower.run(rounds)


def measure_fedpet(clients: int, rounds: int) -> dict:
    done = subprocess.run([BIN / "soak", str(clients), str(rounds), str(clients), str(RANK)], check=True, stdout=subprocess.PIPE, text=True)
    heading, *lines = [line.split() for line in done.stdout.splitlines()]
    connected, last = [dict(zip(heading, line)) for line in (lines[0], lines[-1])]
    return {"rate": float(last["updates/s"]), "cpu": (float(last["CPU/s"]) - float(connected["CPU/s"])) / (rounds * clients)}


def median_of(runs: list, key: str) -> float:
    return statistics.median(run[key] for run in runs)


def main() -> None:
    if sys.argv[1:2] == ["--nodes"]:
        nodes(*sys.argv[2:])
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--clients", type=int, nargs="+", default=[100])
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--repeat", type=int, default=1, help="the two in turn, so many times; medians are printed")
    p.add_argument("--processes", type=int, default=4, help="that play Flower's nodes")
    a = p.parse_args()
    print(f"{PARAMETERS} parameters an update, {a.rounds} rounds of all clients, medians of {a.repeat}\n")
    print("| clients | fedpet-server, updates/s | Flower, updates/s | ratio | fedpet-server, ms of processor an update | Flower | ratio |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for clients in a.clients:
        runs = [(measure_fedpet(clients, a.rounds), measure_flower(clients, a.rounds, a.processes)) for _ in range(a.repeat)]
        ours, theirs = ([run[side] for run in runs if run[side]] for side in (0, 1))
        rate, cpu = median_of(ours, "rate"), 1e3 * median_of(ours, "cpu")
        row = f"| {clients} | {rate:.1f} | "
        if len(theirs) == len(runs):
            their_rate, their_cpu = median_of(theirs, "rate"), 1e3 * median_of(theirs, "cpu")
            row += f"{their_rate:.2f} | {rate / their_rate:.1f} | {cpu:.1f} | {their_cpu:.0f} | {their_cpu / cpu:.1f} |"
        else:
            row += f"{len(runs) - len(theirs)} of {len(runs)} ended without a result | | {cpu:.1f} | | |"
        print(row, flush=True)


if __name__ == "__main__":
    main()
