#!/usr/bin/env python3
"""What the programs weigh before they do anything: the time from exec to the end of a first training step (of one example,
so that it is the start that is measured: model and data opened, all of train.tsv and dev.tsv tokenised), the resident memory of
idle programs without the pages of the mapped model, and the size of each program without symbols.

A fresh server and two daemons over mutual TLS show the idle programs: a daemon that waits for its first task, the same one
at rest, and after the only round. Prints a table; times are medians. The programs are those of $FEDPET_BIN, by default build/release.

    footprint.py --model DIR --mrpc DIR [--repeat N]
"""
import argparse
import os
import pathlib
import pty
import re
import select
import signal
import socket
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("FEDPET_BIN", ROOT / "build/release"))
REST_S = 5  # of nothing to do before a daemon rests: long enough to measure it before
LORA = "{method: lora, r: 8, alpha: 8, targets: [query, value]}"


def run(*command) -> str:
    done = subprocess.run([str(x) for x in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout


def first_step(model: pathlib.Path, mrpc: pathlib.Path, scratch: pathlib.Path) -> float:
    """Seconds until the progress line, which a terminal gets after the first step."""
    config = scratch / "experiment.yaml"
    config.write_text(f"model: {model}\ntask: {{name: mrpc, data: {mrpc}}}\npeft: {LORA}\nfederation: {{seed: 1}}\n"
                      "local: {steps: 1000, batch_size: 1, lr: 0.001}\n")
    command = [BIN / "fedpet-client", "train", "--config", config, "--out", scratch / "out", "--threads", "1"]
    master, terminal = pty.openpty()
    begun = time.monotonic()
    child = subprocess.Popen(command, stderr=terminal, stdout=subprocess.DEVNULL)
    seen = b""
    while b"loss" not in seen:
        if not select.select([master], [], [], 60)[0]:
            raise SystemExit(f"no step in a minute: {seen!r}")
        seen += os.read(master, 4096)
        if b"fedpet-client: " in seen:
            raise SystemExit(seen.decode())
    taken = time.monotonic() - begun
    child.kill()
    child.wait()
    os.close(master)
    os.close(terminal)
    return taken


def resident(pid: int, model: pathlib.Path) -> tuple[float, float]:
    """MiB without the pages of files below the model's folder; MiB of these that are no file's."""
    kib, counts = {"Rss:": 0, "Anonymous:": 0}, True
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        key, *values = line.split()
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            counts = str(model) not in line
        elif counts and key in kib:
            kib[key] += int(values[0])
    return kib["Rss:"] / 1024, kib["Anonymous:"] / 1024


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def await_line(log: pathlib.Path, pattern: str) -> None:
    for _ in range(600):
        if log.exists() and re.search(pattern, log.read_text()):
            return
        time.sleep(0.1)
    raise SystemExit(f"{log.name}: waited a minute in vain for {pattern}: {log.read_text()}")


class Federation:
    """A server and its daemons, ended with the `with` block."""

    def __init__(self, folder: pathlib.Path, model: pathlib.Path, mrpc: pathlib.Path):
        self.folder, self.model, self.mrpc, self.children = folder, model, mrpc, []
        self.port, self.enroll = free_port(), free_port()

    def __enter__(self):
        run(BIN / "fedpet-server", "init", self.folder / "srv", "--host", "127.0.0.1")
        self.config = self.folder / "srv/server.yaml"
        kept = [line for line in self.config.read_text().splitlines()
                if not re.match("(listen|enroll|model|task|peft|federation|local|allow_root):", line)]
        self.config.write_text("\n".join(kept) + f"\nlisten: 127.0.0.1:{self.port}\nenroll: 127.0.0.1:{self.enroll}\nallow_root: true\n"
                               f"model: {self.model}\ntask: {{name: mrpc}}\npeft: {LORA}\n"
                               "federation: {clients: 2, per_round: 2, rounds: 1, deadline_s: 600}\nlocal: {steps: 2}\n")
        self.server = self.start("server", BIN / "fedpet-server", "serve", "--config", self.config)
        await_line(self.folder / "server.log", "listening")
        return self

    def __exit__(self, *_):
        for child in self.children:
            child.send_signal(signal.SIGTERM)
        for child in self.children:
            child.wait()

    def start(self, name: str, *command) -> int:
        with open(self.folder / f"{name}.log", "wb") as log:
            self.children.append(subprocess.Popen([str(x) for x in command], stdout=log, stderr=log))
        return self.children[-1].pid

    def daemon(self, name: str) -> int:
        token = run(BIN / "fedpet-server", "token", "--config", self.config, "--name", name).split()[0]
        run(BIN / "fedpet-client", "enroll", "--server", f"127.0.0.1:{self.enroll}", "--token", token, "--identity", self.folder / f"id-{name}")
        config = self.folder / f"{name}.yaml"
        config.write_text(f"server: 127.0.0.1:{self.port}\nidentity: {self.folder}/id-{name}\nmodel: {self.model}\ndata: {self.mrpc}\n"
                          f"state: {self.folder}/state-{name}\nthreads: 1\nrest_after_s: {REST_S}\nlog: {{level: debug}}\n")
        return self.start(name, BIN / "fedpet-client", "run", "--config", config)


def idle(folder: pathlib.Path, model: pathlib.Path, mrpc: pathlib.Path) -> dict:
    with Federation(folder, model, mrpc) as f:
        found = {"fedpet-server, alone": resident(f.server, model)}
        first = f.daemon("one")
        await_line(folder / "one.log", "connected")
        time.sleep(2)
        found["fedpet-client run, connected, before its first task"] = resident(first, model)
        await_line(folder / "one.log", "at rest")
        found["fedpet-client run, at rest"] = resident(first, model)
        f.daemon("two")
        await_line(folder / "one.log", "finished")
        time.sleep(2)
        found["fedpet-client run, after a round"] = resident(first, model)
        await_line(folder / "one.log", "at rest(.|\n)*at rest")
        found["fedpet-client run, after a round, at rest"] = resident(first, model)
        found["fedpet-server, after the round, two clients"] = resident(f.server, model)
    return found


def stripped(program: str, scratch: pathlib.Path) -> float:
    run("strip", "-o", scratch / program, BIN / program)
    return (scratch / program).stat().st_size / 2**20


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", type=pathlib.Path, required=True)
    p.add_argument("--mrpc", type=pathlib.Path, required=True, help="GLUE's MRPC folder")
    p.add_argument("--repeat", type=int, default=5)
    a = p.parse_args()
    model, mrpc = a.model.resolve(), a.mrpc.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        starts = [first_step(model, mrpc, folder) for _ in range(a.repeat)]
        print("| what | measured |\n|---|---|")
        print(f"| `fedpet-client train`, exec to the end of the first step | {statistics.median(starts):.2f} s |")
        for what, (mib, own) in idle(folder, model, mrpc).items():
            print(f"| resident, without the mapped model: {what} | {mib:.1f} MiB, of which {own:.1f} are no file's |")
        for program in ("fedpet-server", "fedpet-client", "fedpet-sim"):
            print(f"| `{program}`, stripped | {stripped(program, folder):.2f} MiB |")


if __name__ == "__main__":
    main()
