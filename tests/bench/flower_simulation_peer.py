#!/usr/bin/env python3
"""FedPETuning's RTE experiment in Flower's simulation with transformers + peft, beside fedpet-sim: the same clients' data
(`fedpet-sim partition`), model, method and settings. 100 clients, Dirichlet 1.0, 10 a round, LoRA r = 8 on query and value,
one local epoch, batches of 32, at most 128 tokens; accuracy on dev before the first round and after the last, on all threads.

Both run in alternation, so that they meet the same machine. Flower gets one actor a core with one thread each, and its model
is loaded once an actor, not once a message. Seconds are of the whole command, and of its rounds alone (Flower: from the start
of its strategy; fedpet-sim: from rounds.jsonl). Peak memory is fedpet-sim's; Flower's driver's and its largest process's. Prints a
table of medians. Needs requirements-flower.txt.

    flower_simulation_peer.py --model DIR --rte DIR [--rounds N] [--repeat N] [--threads N]
"""
import argparse
import functools
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("FEDPET_BIN", ROOT / "build/release"))
CLIENTS, PER_ROUND, BATCH, MAX_LENGTH, LR = 100, 10, 32, 128, 1e-3


def experiment(model, rte, rounds) -> str:
    return (f"model: {model}\ntask: {{name: rte, data: {rte}}}\npeft: {{method: lora, r: 8, alpha: 8, targets: [query, value]}}\n"
            f"federation: {{clients: {CLIENTS}, per_round: {PER_ROUND}, rounds: {rounds}, partition: dirichlet, alpha: 1.0, seed: 42, "
            f"evaluate_every: {rounds}}}\nlocal: {{epochs: 1, batch_size: {BATCH}, lr: {LR}, max_length: {MAX_LENGTH}}}\n")


@functools.cache
def tuned(model_dir):
    """Model and tokenizer, once a process."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.manual_seed(42)
    base = AutoModelForSequenceClassification.from_pretrained(model_dir, num_labels=2)
    lora = LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=8, target_modules=["query", "value"])
    return get_peft_model(base, lora), AutoTokenizer.from_pretrained(model_dir)


def encode(tokenizer, rows, labels):
    import torch

    enc = tokenizer([r["text"] for r in rows], [r["text_pair"] for r in rows], truncation="longest_first", max_length=MAX_LENGTH,
                    padding=True, return_tensors="pt")
    return enc, torch.tensor([labels.index(r["label"]) for r in rows])


def read(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def fit(model, tokenizer, rows, labels, seed) -> float:
    import torch
    from transformers import get_linear_schedule_with_warmup

    params = [p for p in model.parameters() if p.requires_grad]
    steps = (len(rows) + BATCH - 1) // BATCH
    optimizer = torch.optim.AdamW(params, lr=LR, weight_decay=0.0)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, steps)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    model.train()
    total = 0.0
    for start in range(0, len(rows), BATCH):
        enc, y = encode(tokenizer, [rows[i] for i in order[start : start + BATCH]], labels)
        loss = model(**enc, labels=y).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        schedule.step()
        total += loss.item()
    return total / steps


def flower(folder: pathlib.Path, threads: int) -> None:
    """In a process of its own; prints a line of JSON."""
    from flwr.app import ArrayRecord, MetricRecord, Message, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import ServerApp
    from flwr.serverapp.strategy import FedAvg
    from flwr.simulation import run_simulation

    plan = json.loads((folder / "plan.json").read_text())
    model_dir, rounds, labels, shards = plan["model"], plan["rounds"], plan["labels"], plan["shards"]
    client, server = ClientApp(), ServerApp()

    @client.train()
    def train(message, context):
        from peft import get_peft_model_state_dict, set_peft_model_state_dict

        model, tokenizer = tuned(model_dir)
        set_peft_model_state_dict(model, message.content["arrays"].to_torch_state_dict())
        rows = read(shards[int(context.node_config["partition-id"])])
        loss = fit(model, tokenizer, rows, labels, int(context.node_config["partition-id"]))
        metrics = MetricRecord({"train_loss": loss, "num-examples": len(rows)})
        return Message(RecordDict({"arrays": ArrayRecord(get_peft_model_state_dict(model)), "metrics": metrics}), reply_to=message)

    taken = {}

    @server.main()
    def main(grid, context):
        from peft import get_peft_model_state_dict, set_peft_model_state_dict

        import torch

        model, tokenizer = tuned(model_dir)
        torch.set_num_threads(threads)
        dev = read(plan["dev"])

        def evaluate(done, arrays):
            if done not in (0, rounds):
                return None
            set_peft_model_state_dict(model, arrays.to_torch_state_dict())
            model.eval()
            with torch.no_grad():
                right = sum(int((model(**enc).logits.argmax(-1) == y).sum())
                            for enc, y in (encode(tokenizer, dev[i : i + 64], labels) for i in range(0, len(dev), 64)))
            taken["accuracy"] = right / len(dev)
            return MetricRecord({"accuracy": taken["accuracy"]})

        strategy = FedAvg(fraction_train=PER_ROUND / CLIENTS, fraction_evaluate=0.0, min_train_nodes=PER_ROUND, min_available_nodes=CLIENTS)
        begun = time.monotonic()
        strategy.start(grid=grid, initial_arrays=ArrayRecord(get_peft_model_state_dict(model)), num_rounds=rounds, evaluate_fn=evaluate)
        taken["rounds"] = time.monotonic() - begun

    run_simulation(server_app=server, client_app=client, num_supernodes=CLIENTS,
                   backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": {"num_cpus": threads}})
    kids, own = (resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
    print(json.dumps({**taken, "peak_mib": (own + kids) / 1024}))


def measure_flower(folder, a) -> dict:
    begun = time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests/bench"), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
                                "FLWR_TELEMETRY_ENABLED": "0", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run([sys.executable, __file__, "--flower", folder, "--threads", str(a.threads)], capture_output=True, text=True,
                          env=environment)
    if done.returncode != 0:
        sys.exit(done.stderr[-3000:])
    return {"whole": time.monotonic() - begun, **json.loads(done.stdout.splitlines()[-1])}


def measure_fedpet(folder, a) -> dict:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([BIN / "fedpet-sim", "run", folder / "experiment.yaml", "--wire", "proto", "--threads", str(a.threads), "--out", f"{out}/r"],
                       check=True, capture_output=True)
        whole = time.monotonic() - begun
        summary = json.loads(pathlib.Path(f"{out}/r/summary.json").read_text())
        last = json.loads(pathlib.Path(f"{out}/r/rounds.jsonl").read_text().splitlines()[-1])
    return {"whole": whole, "rounds": last["seconds"], "accuracy": summary["value"], "peak_mib": summary["peak_rss_bytes"] / 2**20}


def prepare(folder: pathlib.Path, a) -> None:
    (folder / "experiment.yaml").write_text(experiment(a.model.resolve(), a.rte.resolve(), a.rounds))
    subprocess.run([BIN / "fedpet-sim", "partition", folder / "experiment.yaml", "--out", folder / "shards"], check=True, capture_output=True)
    shards = sorted(map(str, (folder / "shards").glob("client-*.jsonl")))
    plan = {"model": str(a.model.resolve()), "rounds": a.rounds, "labels": ["entailment", "not_entailment"], "shards": shards,
            "dev": str(folder / "shards/dev.jsonl")}
    (folder / "plan.json").write_text(json.dumps(plan))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", type=pathlib.Path)
    p.add_argument("--rte", type=pathlib.Path, help="GLUE's RTE folder")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--repeat", type=int, default=3)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--flower", type=pathlib.Path, help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.flower:
        import flower_simulation_peer  # Ray's actors find functions by the name of a module that they can import

        flower_simulation_peer.flower(a.flower, a.threads)
        return
    if not a.model or not a.rte:
        p.error("--model and --rte are needed")
    runs = {"fedpet-sim": [], "flower + peft": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        prepare(folder, a)
        for _ in range(a.repeat):
            runs["fedpet-sim"].append(measure_fedpet(folder, a))
            runs["flower + peft"].append(measure_flower(folder, a))
    print(f"{a.rounds} rounds, {a.threads} threads, medians of {a.repeat} runs in alternation")
    print("| | whole command | rounds | peak memory | accuracy |\n|---|---|---|---|---|")
    median = {who: {key: statistics.median(r[key] for r in all_runs) for key in all_runs[0]} for who, all_runs in runs.items()}
    for who, m in median.items():
        print(f"| {who} | {m['whole']:.1f} s | {m['rounds']:.1f} s | {m['peak_mib']:.0f} MiB | {m['accuracy']:.3f} |")
    ours, theirs = median["fedpet-sim"], median["flower + peft"]
    print(f"ratio: {theirs['whole'] / ours['whole']:.1f} whole, {theirs['rounds'] / ours['rounds']:.1f} rounds alone")


if __name__ == "__main__":
    main()
