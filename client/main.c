/* fedpet-client: takes part in federations, and trains, evaluates and predicts by itself. */
#include "base/log.h"
#include "client/cmd.h"
#include "nn/kernels.h"

#define EXPERIMENT                                                                                 \
    "  model: models/all-MiniLM-L6-v2        # a Hugging Face directory\n"                         \
    "  task: {name: mrpc, data: data/glue/MRPC}\n"                                                 \
    "  peft: {method: lora, r: 8, alpha: 8, targets: [query, value]}\n"                            \
    "  federation: {seed: 42}\n"                                                                   \
    "  local: {epochs: 3, batch_size: 32, lr: 0.001}\n"

static const struct cli_command commands[] = {
    {"enroll", "--server HOST:PORT --token TOKEN --identity DIR [--name NAME]",
     "get this device a certificate",
     "The private key is made here and stays here; the token proves to the server that the device\n"
     "is expected, and to the device that the server is the right one. A token works once.\n"
     "Existing files are never overwritten.\n"
     "\n"
     "Example:\n"
     "  fedpet-client enroll --server fl.example.org:8444 --token fedpet1.... \\\n"
     "      --identity /etc/fedpet/identity\n",
     cmd_enroll},
    {"run", "--config FILE [--set KEY=VALUE]... [--once]", "take part in a federation (daemon)",
     "The configuration:\n"
     "\n"
     "  server: fl.example.org:8443\n"
     "  identity: /etc/fedpet/identity         # from `fedpet-client enroll`\n"
     "  model: /var/lib/fedpet/all-MiniLM-L6-v2\n"
     "  data: /var/lib/fedpet/data             # stays on this device\n"
     "  state: /var/lib/fedpet/client          # gets adapter/ when a run is finished\n"
     "\n"
     "`data` is a folder in the layout of the server's task, or one file (JSONL, CSV, TSV) with\n"
     "columns text, text_pair (for pairs) and label. What is trained, and how, comes from the\n"
     "server. The daemon reconnects for ever; SIGTERM ends it at the next training step.\n"
     "It renews its certificate by itself.\n"
     "`fedpet-client config show --keys` prints all keys.\n",
     cmd_run},
    {"train", "--config EXPERIMENT.yaml --out DIR [--set KEY=VALUE]... [--as FORMAT]",
     "train on all of the data, without a federation",
     "The experiment file is that of fedpet-sim; of federation only seed counts:\n"
     "\n" EXPERIMENT "\n"
     "DIR gets adapter/, in a format that `export` tells, and summary.json. The same seed gives\n"
     "the same bits, for any number of threads, any --memory but half, and any --memory-limit:\n"
     "  auto  keeps all activations; where the limit does not bear that, layers are computed "
     "twice\n"
     "        instead, or fewer threads work, or both, whichever takes the least time\n"
     "  min   computes layers twice from the start: the least memory a thread\n"
     "  fast  never does: only the number of threads gives way to the limit\n"
     "  half  keeps all activations, in half precision: less memory than fast for next to no "
     "time,\n"
     "        and gradients that are rounded, by some 0.1 % of their size\n"
     "A limit that does not bear one thread is refused before the first step; the error says the\n"
     "least that is needed.\n"
     "\n"
     "Example:\n"
     "  fedpet-client train --config mrpc.yaml --out mrpc --set local.lr=0.002\n",
     cmd_train},
    {"eval", "--model DIR --adapter DIR --data PATH [--task NAME] [--split NAME] [--logits FILE]",
     "score an adapter on labelled data",
     "Prints the task's metric, the others that fit, and precision, recall and F1 of each label\n"
     "and, of tagged words, of each type of entity.\n"
     "\n"
     "Example:\n"
     "  fedpet-client eval --model models/all-MiniLM-L6-v2 --adapter mrpc/adapter \\\n"
     "      --data data/glue/MRPC\n",
     cmd_eval},
    {"predict", "--model DIR --adapter DIR [TEXT [PAIR]]", "classify texts",
     "Without TEXT, reads lines `text` or `text<TAB>pair` from standard input. Prints the label\n"
     "and its probability, or the value of a regression; or a line for each word, between blanks,\n"
     "with its tag: _ for one that is beyond the adapter's length.\n"
     "\n"
     "Example:\n"
     "  fedpet-client predict --model models/all-MiniLM-L6-v2 --adapter sst2/adapter \\\n"
     "      \"a gorgeous, witty, seductive movie\"\n",
     cmd_predict},
    {"train-tokenizer", "--data FILE... --out DIR [--vocab-size N] [--lowercase]",
     "learn a tokenizer from text",
     "Byte-level BPE with RoBERTa's special tokens: the same merges as Hugging Face's tokenizers\n"
     "learn from the same text. DIR gets tokenizer.json, vocab.json, merges.txt and\n"
     "tokenizer_config.json. Files end in .jsonl for JSON lines, and may be compressed (zstd, "
     "gzip,\n"
     "xz, bzip2, lz4).\n"
     "\n"
     "Example:\n"
     "  fedpet-client train-tokenizer --out models/tiny --data news.txt wiki.jsonl.zst\n",
     cmd_train_tokenizer},
    {"pretrain", "(--model DIR | --config FILE --tokenizer DIR) --data FILE... --out DIR",
     "teach a language model to fill in masked words",
     "Goes on with any BERT, RoBERTa or DistilBERT, or begins one of a config.json. 15 % of the\n"
     "tokens are masked anew in each epoch; one document in a hundred is held out, and the model\n"
     "is scored on it. Settings and their defaults:\n"
     "\n"
     "  peft.method=full             or lora, bitfit, layernorm, with their own settings; the\n"
     "                               head is trained too, and all is merged into DIR\n"
     "  local.epochs=1               local.steps=0 (then by epochs)\n"
     "  local.batch_size=64          sequences a step\n"
     "  local.max_length=128         tokens a sequence; longer documents are cut\n"
     "  local.lr=0.0005              local.warmup=0.06, a linear schedule\n"
     "  local.weight_decay=0.01      local.beta2=0.98, local.eps=1e-6, local.max_grad_norm=1\n"
     "  local.model_dropout=-1       as config.json says\n"
     "  seed=42                      the same bits, for any number of threads\n"
     "\n"
     "DIR becomes a complete Hugging Face model with its masked-language-modelling head, and gets\n"
     "pretraining.json. Until then DIR.work holds a checkpoint: the same command goes on from it\n"
     "after Ctrl-C or any other end, and arrives at the same model. Pseudo-perplexity is exp of\n"
     "the mean loss over masked tokens.\n"
     "\n"
     "Example:\n"
     "  fedpet-client pretrain --config config.json --tokenizer models/tiny \\\n"
     "      --data news.txt wiki.jsonl.zst --out models/mine --set local.epochs=10\n",
     cmd_pretrain},
    {"tokenize", "--model DIR [--max-length N] [--tokens]", "print token ids of texts",
     "Reads lines `text` or `text<TAB>pair` from standard input; prints a JSON array for each.\n",
     cmd_tokenize},
    {"inspect", "[--model DIR] [--adapter DIR] [--set KEY=VALUE]... [--format json]",
     "describe a model, an adapter, and what this machine computes with",
     "With both, checks that they fit and prints the hash of the adapter's values. `kernels` are\n"
     "OpenBLAS's, the widest that the processor can use; the environment variable\n"
     "OPENBLAS_CORETYPE (Haswell, SkylakeX, ...) chooses others.\n"
     "\n"
     "Example:\n"
     "  fedpet-client inspect --model models/all-MiniLM-L6-v2 --set peft.r=16\n",
     cmd_inspect},
    {"export", "--model DIR --adapter DIR --out DIR [--as FORMAT]",
     "write an adapter in another file format",
     "FORMAT is one of\n"
     "  peft        Hugging Face PEFT: lora, bitfit, layernorm, prompt, and prefix with shift\n"
     "  adapterhub  AdapterHub: adapter, and prefix without shift; there, load it with\n"
     "              load_adapter(DIR, use_safetensors=True)\n"
     "  fedpet      our own: any method\n"
     "Every command that takes an adapter reads all three, also as the libraries write them\n"
     "(safetensors). peft and adapterhub get a reparametrised prefix without its network.\n"
     "\n"
     "Example:\n"
     "  fedpet-client export --model models/roberta-base --adapter mrpc/adapter \\\n"
     "      --out mrpc/hub --as adapterhub\n",
     cmd_export},
    {"merge", "--model DIR --adapter DIR --out DIR", "fold an adapter into its base model",
     "DIR becomes a complete Hugging Face model with its head, for any library that reads one; it\n"
     "appears whole or not at all. Methods: lora, bitfit, layernorm, full, head.\n"
     "\n"
     "Example:\n"
     "  fedpet-client merge --model models/all-MiniLM-L6-v2 --adapter sst2/adapter \\\n"
     "      --out sst2/model\n",
     cmd_merge},
    {"quantize", "--model DIR --out DIR [--format json]", "store a model's weights in int8",
     "The weights of the encoder's linear layers become 8-bit integers with a scale for each\n"
     "row (symmetric, |error| <= scale / 2), embeddings F16; the rest stays as it is. DIR is used\n"
     "as any model: every command and every method computes with it, at about a third of the\n"
     "size of F32. It appears whole or not at all, with the tokenizer. The bytes depend on the\n"
     "model alone; their sha256 is the base model's identity: all members of a federation need\n"
     "the same.\n"
     "\n"
     "The format is that of compressed-tensors (W8A16, pack-quantized): transformers loads DIR\n"
     "where that package is installed, with dequantize=True to train on it.\n"
     "\n"
     "Example:\n"
     "  fedpet-client quantize --model models/roberta-base --out models/roberta-base-int8\n",
     cmd_quantize},
    {"fetch model", "NAME [--revision REV] [--out DIR] [--ca FILE] [--format json]",
     "download a model from the Hugging Face hub",
     "Takes config.json, model.safetensors and the tokenizer's files, checks each against the "
     "hub's\n"
     "checksum, and prints the folder. Without --out that is in the cache that all Hugging Face\n"
     "libraries share. An interrupted download goes on where it ended.\n"
     "\n"
     "Environment, as for huggingface_hub: HF_TOKEN (for private and gated models), HF_ENDPOINT,\n"
     "HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE=1 (use the cache alone); https_proxy.\n"
     "\n"
     "Example:\n"
     "  fedpet-client fetch model sentence-transformers/all-MiniLM-L6-v2 --out models/minilm\n",
     cmd_fetch_model},
    {"fetch data", "glue/TASK... [--out DIR] [--mirror URL] [--ca FILE] [--format json]",
     "download data sets of GLUE",
     "TASK is one of cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli. Prints each folder,\n"
     "DIR/glue/SST-2 and the like, which is `data` of the task in an experiment file.\n"
     "\n"
     "Environment: FEDPET_GLUE_URL (as --mirror), HF_HUB_OFFLINE=1, https_proxy.\n"
     "\n"
     "Example:\n"
     "  fedpet-client fetch data glue/sst2 glue/mrpc\n",
     cmd_fetch_data},
    {"config show", "[--config FILE] [--set KEY=VALUE]... [--experiment] [--keys]",
     "print every setting and where it came from", NULL, cmd_config_show},
    {0},
};

int main(int argc, char **argv)
{
    static const struct cli_program program = {
        .name = "fedpet-client",
        .what = "federated parameter-efficient tuning on a device",
        .more = "Try:\n"
                "  fedpet-client train --config experiment.yaml --out results\n"
                "  echo \"what a film\" | fedpet-client predict --model MODEL --adapter "
                "results/adapter\n",
        .command = commands,
    };
    kernels_choose(argv);
    log_setup("fedpet-client", stderr, LOG_INFO, false);
    return cli_main(&program, argc, argv);
}
