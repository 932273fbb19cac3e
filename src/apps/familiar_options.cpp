#include "apps/familiar_options.h"

#include <string>
#include <utility>

namespace dsmoe::apps {
namespace {

struct Entry {
  std::string_view names;  // with a space after each
  FamiliarOption meant;
};

// Keys and values are kept in one type here, so either of llama.cpp's two options sets it.
constexpr std::pair<std::string_view, std::string_view> kSame[] = {
    {"-ctk", "--cache-type"},           {"-ctv", "--cache-type"}, {"--cache-type-k", "--cache-type"},
    {"--cache-type-v", "--cache-type"}, {"-ub", "--ubatch-size"}, {"-sys", "--system"},
    {"--system-prompt", "--system"},
};

constexpr Entry kOptions[] = {
    {"ngl gpu-layers n-gpu-layers nkvo no-kv-offload dev device sm split-mode ts tensor-split mg main-gpu ot "
     "override-tensor cmoe cpu-moe ncmoe n-cpu-moe nopo no-op-offload ",
     {"", "everything is computed on the processor, so nothing is offloaded: leave it out"}},
    {"fa flash-attn flash-attention ", {"", "attention never keeps its scores, without being asked: leave it out"}},
    {"hf hfr hf-repo hff hf-file hft hf-token mu model-url ",
     {"", "models are not fetched: -m takes a folder or a GGUF file of this machine"}},
    {"mlock mmap no-mmap dio direct-io ", {"", "weights are mapped and the system keeps what is read: leave it out"}},
    {"c ctx-size n-ctx ", {"", "the context is all that the model has, and memory grows as it fills: leave it out"}},
    {"ub ubatch b batch-size n-ubatch n-batch ", {"--ubatch-size", ""}},
    {"ctk ctv cache-type-k cache-type-v kv-type ", {"--cache-type", ""}},
    {"tb threads-batch n-threads num-threads j ", {"--threads", ""}},
    {"n-predict max-tokens max-new-tokens num-predict max-length ", {"--predict", ""}},
    {"temperature ", {"--temp", ""}},
    {"k topk ", {"--top-k", ""}},
    {"topp ", {"--top-p", ""}},
    {"repetition-penalty penalty ", {"--repeat-penalty", ""}},
    {"random-seed ", {"--seed", ""}},
    {"sys system-prompt ", {"--system", ""}},
    {"r reverse-prompt stop-sequence stop-strings ", {"--stop", ""}},
    {"text ", {"--prompt", ""}},
    {"prompt-file input ", {"--file", ""}},
    {"model-path checkpoint ", {"--model", ""}},
    {"o out output-dir out-dir outfile ", {"--output", ""}},
    {"output output-dir ", {"--out", ""}},
    {"quant qtype ftype outtype ", {"--type", ""}},
    {"keep ",
     {"", "what is forgotten when the context is full are the oldest questions of a chat, whole: leave it out"}},
    {"e escape ", {"", "a prompt is taken as it stands; the shell's $'a\\nb' has line ends: leave it out"}},
    {"color colors log-disable log-colors v verbose log-verbosity lv ",
     {"",
      "the text is on standard output and everything else on standard error, which 2>/dev/null drops: leave it out"}},
    {"no-display-prompt display-prompt ", {"", "only what is generated is printed, and --echo adds the prompt"}},
    {"jinja no-jinja chat-template chat-template-file ",
     {"", "the model's own template is recognised, and --chat-format of dsmoe chat names another"}},
    {"mirostat mirostat-lr mirostat-ent typical typical-p xtc-probability dry-multiplier dynatemp-range samplers ",
     {"", "sampling knows --temp, --top-k, --top-p, --min-p and --repeat-penalty"}},
    {"cnv conversation i interactive ", {"", "dsmoe chat holds a conversation"}},
    {"no-cnv no-conversation st single-turn ", {"", "dsmoe generate continues a prompt once"}},
};

struct Command {
  std::string_view names, meant;
};

constexpr Command kCommandNames[] = {
    {"run complete completion infer sample llama-cli ", "generate"},
    {"talk ask converse interactive ", "chat"},
    {"llama-bench benchmark speed ", "bench"},
    {"quant quantise llama-quantize ", "quantize"},
    {"convert gguf to-gguf ", "export"},
    {"ppl llama-perplexity evaluate ", "eval perplexity"},
    {"tokenize tokenise llama-tokenize ", "tokenizer encode"},
    {"detokenize detokenise ", "tokenizer decode"},
    {"prepare preprocess prepare-data ", "data build"},
    {"pretrain finetune fine-tune fit ", "train"},
    {"info count params memory estimate ", "plan"},
    {"new create ", "init"},
};

bool lists(std::string_view names, std::string_view name) {
  if (name.empty() || name.find(' ') != std::string_view::npos) return false;
  std::string word = " ";
  for (const char c : name) word += c == '_' ? '-' : c;
  return std::string(" ").append(names).find(word + " ") != std::string::npos;
}

}  // namespace

std::string_view same_option(std::string_view spelling) {
  for (const auto& [theirs, ours] : kSame) {
    if (theirs == spelling) return ours;
  }
  return {};
}

FamiliarOption familiar_option(std::string_view name) {
  for (const Entry& entry : kOptions) {
    if (lists(entry.names, name)) return entry.meant;
  }
  return {};
}

std::string_view familiar_command(std::string_view name) {
  for (const Command& command : kCommandNames) {
    if (lists(command.names, name)) return command.meant;
  }
  return {};
}

}  // namespace dsmoe::apps
