#!/usr/bin/env python3
"""Writes the seed corpus of the fuzz targets: tests/fuzz/corpus/TARGET/NAME, a few small valid inputs each.

Standard library only, same bytes at every run. The protobuf encoding is done by hand, so that the seeds do not
depend on the code under test.
"""
import json
import os
import struct

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")


def write(target, name, data):
    folder = os.path.join(ROOT, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


# ---- protobuf ----

def varint(v):
    out = bytearray()
    while v > 127:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v)
    return bytes(out)


def field(number, value):
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(*fields):
    return b"".join(field(i, v) for i, v in fields)


RUN = "00112233445566ff"
HASH = bytes(range(32))
PARAMS = struct.pack("<4f", 1, -2, 0.5, 0)
WELCOME = message(
    (1, 3), (2, RUN),
    (3, message((1, "mrpc"), (5, "no"), (5, "yes"), (6, 2), (7, "f1"))),
    (4, message((1, "lora"), (2, 8), (3, 16.0), (4, 0.1), (6, 5))),
    (5, message((1, 1), (3, 32), (4, 1), (5, 128), (8, 1e-3), (10, 0.9), (11, 0.999), (12, 1e-8), (14, 1.0), (15, -1.0))),
    (6, message((1, 100), (2, 10), (4, 20), (5, 600), (6, 1), (7, 1.0), (9, 1), (10, 42))),
    (7, HASH), (8, HASH), (9, 3), (10, 1))
MESSAGES = {
    1: message((1, 3), (2, "fedpet-client 0.1.0")),
    2: WELCOME,
    3: message((1, HASH), (2, HASH), (3, 408), (4, 0x10000001f)),
    4: message((1, RUN), (2, 3), (3, 60000), (4, PARAMS)),
    5: message((1, RUN), (2, 3), (3, HASH), (4, HASH), (5, 408), (6, 13), (7, 0.7), (8, 1.5),
               (9, message((1, "accuracy"), (2, 0.5), (3, 40))), (10, PARAMS)),
    6: message((1, 3), (2, HASH), (3, 1)),
    7: message((1, RUN), (2, 20), (3, PARAMS)),
    8: message((1, 14), (2, "stopping"), (3, 30)),
    9: b"",
    10: b"",
    11: message((1, "fedpet1.AAAA"), (2, "-----BEGIN CERTIFICATE REQUEST-----\n")),
    12: message((1, "client-1"), (2, "-----BEGIN CERTIFICATE-----\n"), (3, "-----BEGIN CERTIFICATE-----\n")),
    13: message((1, "-----BEGIN CERTIFICATE REQUEST-----\n")),
    14: message((1, 2)),
    15: message((1, "first"), (1, "second")),
    16: message((1, RUN), (2, 3), (3, HASH), (4, 1000000), (5, 524288), (6, PARAMS)),
    17: message((1, HASH), (2, 524288)),
}


def frames():
    stream = b"".join(b"FP\x01" + bytes([t]) + struct.pack(">I", len(m)) + m for t, m in MESSAGES.items())
    write("frame", "all", b"\x05" + stream)
    write("frame", "empty", b"\x00FP\x01\x01\x00\x00\x00\x00")


def messages():
    for number, body in MESSAGES.items():
        write("msg", f"type{number:02}", bytes([number]) + body)
    write("msg", "type05_uploaded", b"\x05" + message((1, RUN), (2, 3), (3, HASH), (4, HASH), (5, 408), (13, 1000000), (14, 400)))


def codings():
    """First byte: the coding; second: how many values, by which the fuzz target encodes the rest, too."""
    write("codec", "fp32", b"\x00\x04" + PARAMS)
    write("codec", "fp16", b"\x01\x04" + struct.pack("<4e", 1, -2, 0.5, 0))
    write("codec", "bf16", b"\x02\x04" + bytes.fromhex("803f00c0003f0000"))
    write("codec", "int8", b"\x03\x04" + struct.pack("<f4b", 0.5, 2, -4, 127, 0))
    write("codec", "topk", b"\x04\x80" + struct.pack("<IBBB2e", 2, 3, 0x80, 1, 1, -2))
    # A frame of one raw block, RFC 8878: magic, single segment of 16 bytes, last block.
    write("codec", "zstd", b"\x20\x04" + bytes.fromhex("28b52ffd2010810000") + PARAMS)


# ---- the others ----

# Of a key that was thrown away (openssl req -new, and with -x509).
REQUEST = """-----BEGIN CERTIFICATE REQUEST-----
MIHLMHICAQAwEDEOMAwGA1UEAwwFYWxpY2UwWTATBgcqhkjOPQIBBggqhkjOPQMB
BwNCAASi+L6TBUunwITLD3b5k+YowoLKsgeCUhm3FYam0JdIcCunAFVvQ1kzDBvZ
MiOTlqe1M7IQ9UWsWrZQ5jOkP3umoAAwCgYIKoZIzj0EAwIDSQAwRgIhAJxV/hIa
7DC9/WKKBOjvWGMU5OIw8rlEAxr4BjZKD2czAiEA+EzwxMfmSkhAsF/stri7qWgT
DOM+Ti+iUqdskZllAF4=
-----END CERTIFICATE REQUEST-----
"""
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBeDCCAR2gAwIBAgIUcD1lfSHZDMt/m6wXNGMqs6ViO+IwCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFYWxpY2UwIBcNMjYxMTIyMDYxOTIxWhgPMjEyNjEwMjkwNjE5
MjFaMBAxDjAMBgNVBAMMBWFsaWNlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
ovi+kwVLp8CEyw92+ZPmKMKCyrIHglIZtxWGptCXSHArpwBVb0NZMwwb2TIjk5an
tTOyEPVFrFq2UOYzpD97pqNTMFEwHQYDVR0OBBYEFI5/L7qvJdn7izN3O6w849tG
MPnBMB8GA1UdIwQYMBaAFI5/L7qvJdn7izN3O6w849tGMPnBMA8GA1UdEwEB/wQF
MAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAMhUxGEEJflJ1YVr1XPv4U0g/78dA5Pf
4AikWXD9XRAiAiEAnWEZwoVxhhshVWlBiCYsGwWK7fNKcnU/SXtd8QMKFWY=
-----END CERTIFICATE-----
"""

CLIENT_HELLO = bytes.fromhex(
    "160301003d" "01000039" "0303" + "42" * 32 + "00" "0002" "1301" "0100" "000e"
    "002b0003020304" "000a00040002001d" )


def network():
    write("tls", "hello", b"\x00" + CLIENT_HELLO)
    write("tls", "answer", b"\x01" + b"\x16\x03\x03\x00\x2c\x02\x00\x00\x28\x03\x03" + b"\x17" * 38)
    write("tls", "spoilt_handshake", b"\x02\x00\x05\x01\x01\x00\x80")
    write("tls", "spoilt_record", b"\x03\x00\x14\x01\x02\x00\xff")
    write("token", "good", "fedpet1.8PHy8_T19vf4-fr7_P3-_w." + "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    write("identity", "request", REQUEST)
    write("identity", "certificate", CERTIFICATE)


def configurations():
    write("conf", "full", "task: {name: mrpc, data: data/glue/MRPC}\npeft: {method: lora, r: 8, alpha: 8, targets: [query, value]}\n"
          "federation: {clients: 100, per_round: 10, rounds: 20, partition: dirichlet, alpha: 1.0, seed: 42}\n"
          "local:\n  epochs: 1\n  batch_size: 32\n  lr: 0.001\n")
    write("conf", "labels", "task:\n  name: text\n  labels: [\"no\", 'yes']\n  text_pair: \"a \\u00e9\"\n# comment\n")


def tensors(**shapes):
    """A safetensors file of zeros; "__" stands for a dot, since names are keywords here."""
    header, at = {}, 0
    for name, shape in sorted(shapes.items()):
        size = 4
        for n in shape:
            size *= n
        header[name.replace("__", ".")] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def adapters():
    """adapter_config.json, head_config.json, fedpet.json and the files of the head and of the values, as fuzz_adapter takes
    them. For its model: one layer, width 8, 16 between."""
    def seed(name, values, config, head_config=None, info=None, head=b""):
        files = [json.dumps(j).encode() if j else b"" for j in (config, head_config, info)] + [head, values]
        write("adapter", name, b"".join(struct.pack("<I", len(f)) + f for f in files))
    about = {"format": 1, "task": "text", "labels": ["no", "yes"], "max_length": 16}
    bert = {"bert__pooler__dense__weight": [8, 8], "bert__pooler__dense__bias": [8], "classifier__weight": [2, 8], "classifier__bias": [2]}
    wrapped = {"base_model__model__" + k: v for k, v in bert.items()}
    query = "base_model__model__bert__encoder__layer__0__attention__self__query"
    seed("peft_lora", tensors(**{query + "__lora_A__weight": [2, 8], query + "__lora_B__weight": [8, 2]}, **wrapped),
         {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "task_type": "SEQ_CLS"}, info=about)
    seed("peft_prefix", tensors(prompt_embeddings=[3, 16], **{"base_model__" + k: v for k, v in bert.items()}),
         {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 3})
    seed("peft_norms", tensors(base_model__model__bert__embeddings__LayerNorm__ln_tuning_layers__weight=[8], **wrapped),
         {"peft_type": "LN_TUNING", "target_modules": ["LayerNorm"]})
    hub = {"model_type": "roberta", "name": "n", "version": "adapters.1.3.0"}
    flexible = {"config": {"head_type": "classification", "layers": 2, "activation_function": "tanh", "use_pooler": False}}
    head = tensors(heads__n__1__weight=[8, 8], heads__n__1__bias=[8], heads__n__4__weight=[2, 8], heads__n__4__bias=[2])
    down = "roberta__encoder__layer__0__output__adapters__n__adapter_"
    seed("hub_pfeiffer",
         tensors(**{down + "down__0__weight": [3, 8], down + "down__0__bias": [3], down + "up__weight": [8, 3], down + "up__bias": [8]}),
         {**hub, "config": {"mh_adapter": False, "output_adapter": True, "original_ln_before": True, "non_linearity": "relu",
                            "reduction_factor": 2.5, "scaling": 1.0}}, flexible, about, head)
    prefix = "roberta__prefix_tuning__prefix_tunings__n__self_prefix__"
    seed("hub_network",
         tensors(**{prefix + "wte__weight": [3, 8], prefix + "control_trans__0__weight": [2, 8], prefix + "control_trans__0__bias": [2],
                    prefix + "control_trans__2__weight": [16, 2], prefix + "control_trans__2__bias": [16]}),
         {**hub, "config": {"architecture": "prefix_tuning", "prefix_length": 3}}, flexible, None, head)
    seed("fedpet_prompt", tensors(prompt_embeddings=[3, 8], classifier__weight=[2, 8], classifier__bias=[2]),
         {"peft_type": "FEDPET", "task_type": "TOKEN_CLS", "settings": {"method": "prompt", "norms": False, "length": 3}}, info=about)


def safetensors():
    header = json.dumps({"__metadata__": {"format": "pt"},
                         "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
                         "b": {"dtype": "BF16", "shape": [2], "data_offsets": [16, 20]},
                         "c": {"dtype": "F16", "shape": [2], "data_offsets": [20, 24]}}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    write("safetensors", "three", struct.pack("<Q", len(header)) + header + bytes(24))
    write("safetensors", "none", struct.pack("<Q", 8) + b"{}      ")
    header = json.dumps({"l.weight_packed": {"dtype": "I32", "shape": [2, 1], "data_offsets": [0, 8]},
                         "l.weight_scale": {"dtype": "F32", "shape": [2, 1], "data_offsets": [8, 16]},
                         "l.weight_shape": {"dtype": "I64", "shape": [2], "data_offsets": [16, 32]}}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    write("safetensors", "int8", struct.pack("<Q", len(header)) + header + bytes(range(127, 135)) + struct.pack("<2f2q", 0.5, 2, 2, 4))


def tokenizers():
    def added(token, number):
        return {"id": number, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    vocab = {t: i for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "##b", "hello", ","])}
    def special(token, number):
        return {token: {"id": token, "ids": [number], "tokens": [token]}}
    wordpiece = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added(t, i) for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing",
                           "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
                           "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
                                    {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
                           "special_tokens": {**special("[CLS]", 2), **special("[SEP]", 3)}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab}}
    write("tokenizer", "wordpiece", json.dumps(wordpiece).encode() + b"\0hello, ab \xc3\xa9")
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "h", "e", "l", "o", "\u0120", "he", "ll", "\u0120he"]
    bpe = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [added(t, i) for i, t in enumerate(tokens[:4])],
        "normalizer": None, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": False,
                  "vocab": {t: i for i, t in enumerate(tokens)}, "merges": ["h e", "l l", "\u0120 he"]}}
    write("tokenizer", "bpe", json.dumps(bpe).encode() + b"\0hello hello")


def datasets():
    write("dataset", "csv", b'\x00text,label\n"a ""b"", the",yes\nthe,no\n')
    write("dataset", "tsv", b"\x01label\ttext\nyes\ta b\nno\tthe\n")
    write("dataset", "jsonl", b'\x82{"text": "a", "pair": "b", "label": "yes"}\n{"text": "\\u00e9", "pair": "", "label": 0}\n')
    write("dataset", "sst2", b"\x03sentence\tlabel\na b the\t1\nthe .\t0\n")
    write("dataset", "mrpc", b"\x04Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\ta b\tthe\n0\t3\t4\tb\ta\n")
    write("dataset", "rte", b"\x05index\tsentence1\tsentence2\tlabel\n0\ta b\tthe\tentailment\n1\tb\ta\tnot_entailment\n")
    write("dataset", "conll", b"\x06-DOCSTART- -X- O\n\na NNP B-X\nb NNP I-X\n\nthe DT O\n")
    write("dataset", "conll_named", b"\x06# global.columns = ID FORM\n1 a\n2 b\n")
    write("dataset", "conll_jsonl", b'\x47{"tokens": ["a", "b"], "tags": ["O", "B-X"]}\n{"tokens": ["the"], "tags": ["O"]}\n')


def sessions():
    """Events of fuzz_session.c: CONNECT and so on, plus the client."""
    connect, leave, hello, ready, deliver, part, spoil, say, wait, commit, store, begin, observe, drain, join = \
        0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 240
    everybody = bytes(join + k for k in range(6))
    rounds = bytes(deliver + k for k in range(6)) * 5
    write("session", "whole", b"\0\0\0" + everybody + rounds)
    for how in range(1, 5):
        write("session", "aggregator_%d" % how, bytes([0, 0, how]) + everybody + rounds)
    write("session", "quorum", b"\2\0\0" + everybody + bytes([leave, deliver + 1, deliver + 2, deliver + 3, wait, 61, wait, 61]) * 4)
    step = bytes([begin]) + bytes(deliver + k for k in range(6)) + bytes(store + k for k in range(0, 6, 2)) + bytes(
        deliver + k for k in range(6)) + bytes(range(store, store + 12, 2)) + bytes([commit])
    write("session", "held", b"\0\7\0" + everybody + step * 5)
    spoilt = b"".join(bytes([spoil + k, 7 * k, 0x80, head]) for k, head in enumerate((0x05, 0x0c, 0x14, 0x84, 0x45, 0x04)))
    write("session", "spoilt", b"\1\0\0" + everybody + spoilt + rounds)
    parts = b"".join(bytes([part + k, at, n, how]) for k in range(6) for at, n, how in ((0, 0, 0), (0, 8, 0), (8, 12, 0), (0, 0, 3)))
    write("session", "parts", b"\0\0\0" + everybody + parts * 5)
    cut = b"".join(bytes([part + k, 0, 0, 0, part + k, 0, 8, 0, leave + k, join + k, part + k, 0, 8, 0, join + k, part + k, 0, 0, 0, part + k, 8, 12, 0,
                          part + k, 0, 0, 3, part + k, 0, 0, 32]) for k in range(6))
    write("session", "parts_cut", b"\0\0\0" + everybody + cut * 5)
    by_hand = bytes([connect, hello, ready, observe, connect + 1, hello + 1, ready + 1, connect + 1])
    talk = b"".join(bytes([say + 2, t, len(m)]) + m for t, m in sorted(MESSAGES.items()) if len(m) < 256)
    write("session", "talk", b"\1\0\0" + by_hand + bytes([connect + 2]) + talk + everybody + rounds + bytes([drain]))


if __name__ == "__main__":
    frames()
    messages()
    codings()
    network()
    configurations()
    safetensors()
    adapters()
    tokenizers()
    datasets()
    sessions()
