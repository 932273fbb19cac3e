#include "apps/examples.h"

namespace dsmoe::apps {

const std::vector<Example>& examples() {
  static const std::vector<Example> all = {
      {"dsmoe quickstart", "my-text/", "a model of what is in a folder, five minutes of training"},
      {"dsmoe quickstart", "en=books/ code='src/**/*.py' --minutes 60 -o out", "two domains, an hour"},
      {"dsmoe tokenizer train", "--vocab-size 8192 -o tok text/*.jsonl", "a vocabulary"},
      {"dsmoe tokenizer encode", "-m tok -p 'Hello world'", "ids on a line"},
      {"dsmoe tokenizer decode", "-m tok 17464 1843", "bytes, exactly"},
      {"dsmoe tokenizer chat", "-m MODEL talk.json", "a conversation as the model reads it"},
      {"dsmoe data build", "--tokenizer tok -o shards prose=books/ code='src/*.cpp'", "two domains"},
      {"dsmoe data show", "shards", "counts by domain, and the first document"},
      {"dsmoe plan", "--list", "the presets that are built in"},
      {"dsmoe plan", "deepseekmoe-16b", "parameters, FLOPs and memory of one"},
      {"dsmoe plan", "--settings", "every section.key, its default and meaning"},
      {"dsmoe init", "tiny -o DIR --seed 1", "random weights, to try other commands with"},
      {"dsmoe upcycle", "DENSE -o MOE", "eight slices, one shared, eight copies of the others"},
      {"dsmoe upcycle", "DENSE -o MOE --slices 16 --shared 2 --copies 4 --copies-per-token 2",
       "finer, two copies a token"},
      {"dsmoe train", "nano-deepseekmoe data.path=shards output.dir=run --resume auto", "begin, or go on"},
      {"dsmoe train", "nano-deepseekmoe data.path=shards output.dir=run train.minutes=30", "for half an hour"},
      {"dsmoe launch", "-n 2 --max-restarts 3 -- train tiny data.path=shards output.dir=run", "two processes"},
      {"dsmoe sft", "runs/mini qa.jsonl -o runs/answers", "a base model learns to answer"},
      {"dsmoe sft", "runs/mini qa/ -o runs/answers --lora --lora-targets attention,shared", "adapters beside it"},
      {"dsmoe sft", "runs/mini qa/ -o runs/answers --esft gate", "the experts that these questions use, and no more"},
      {"dsmoe compare", "plan.toml --data shards -o out", "what a plan says, on equal tokens"},
      {"dsmoe compare", "plan.toml -o out --dry-run", "what would run, and how long"},
      {"dsmoe report", "run -o page.html", "one page about a run"},
      {"dsmoe report", "one two -o page.html --title 'Two mixtures'", "two side by side"},
      {"dsmoe eval perplexity", "-m MODEL text.txt", "bits a byte of a text"},
      {"dsmoe eval perplexity", "-m MODEL --data shards", "of a corpus, each domain and all"},
      {"dsmoe eval choice", "-m MODEL tasks/exams -o DIR", "multiple choice"},
      {"dsmoe eval generate", "-m MODEL tasks/facts --json", "greedy answers"},
      {"dsmoe study routing", "-m MODEL --data shards -o DIR", "which expert takes what"},
      {"dsmoe study routing", "-m MODEL -p 'one text'", "token by token"},
      {"dsmoe study disable", "-m MODEL --data shards", "what is lost without the best experts"},
      {"dsmoe study shared", "-m MODEL --data shards", "without the shared expert"},
      {"dsmoe study fewer", "-m MODEL --data shards", "with fewer experts a token"},
      {"dsmoe study diff", "ONE OTHER --data shards -o DIR", "where two models part"},
      {"dsmoe logits", "-m MODEL -p 'some text' -o out.npy", "float32 [tokens, vocabulary]"},
      {"dsmoe generate", "-m MODEL -p 'Once upon a time' -n 100", "a hundred tokens more"},
      {"dsmoe generate", "-m MODEL -f prompt.txt --temp 0 --json", "the likeliest, as an object"},
      {"dsmoe chat", "-m MODEL --system 'Be brief.'", "a conversation"},
      {"dsmoe chat", "-m MODEL -q q4_k_m", "a folder's weights in a quarter of the memory"},
      {"dsmoe chat", "-m MODEL --adapter runs/answers", "with what dsmoe sft --lora trained beside it"},
      {"dsmoe merge", "-m MODEL --adapter runs/answers -o OUT", "both as one folder, or one GGUF file"},
      {"dsmoe serve", "-m MODEL --port 8080", "for OpenAI's clients, on this machine alone"},
      {"dsmoe serve", "-m model.gguf -np 8 -c 4096 --api-key-file keys", "eight at a time, with keys"},
      {"dsmoe bench", "-m model.gguf", "pp512 and tg128, five runs each"},
      {"dsmoe bench", "-m model.gguf -p 0 -n 32 --parallel 1,4", "several sequences together"},
      {"dsmoe bench serve", "http://127.0.0.1:8080 --streams 1,4,8", "one, four and eight answers at once"},
      {"dsmoe bench serve", "http://127.0.0.1:8080 --load 1,2,4 --deadline 20", "up to four times what it can"},
      {"dsmoe quantize", "-m DIR --type q4_k_m -o model.gguf", "4.8 bits a weight, as llama.cpp reads it"},
      {"dsmoe export", "-m DIR --type bf16 -o model.gguf", "as it is"},
      {"dsmoe completion", "bash > ~/.local/share/bash-completion/completions/dsmoe", "for the shell at hand"},
      {"dsmoe manual", "train", "a page to read: dsmoe manual train | man -l -"},
      {"dsmoe-train train", "tiny data.path=shards output.dir=run", "what dsmoe train starts"},
      {"dsmoe-train bench", "mini-deepseekmoe train.micro_batch=8", "tokens a second, part by part"},
  };
  return all;
}

std::string examples_text(const std::string& command) {
  std::string text;
  for (const Example& example : examples()) {
    if (example.command != command) continue;
    text.append("  # ").append(example.meaning).append("\n");
    text.append("  ").append(command).append(" ").append(example.words).append("\n");
  }
  return text;
}

}  // namespace dsmoe::apps
