// Any bytes as a GGUF file with a model and a tokenizer in it: refused by a one-line Error, or accepted, and then every
// tensor of the model is there with its shape, and the tokenizer works.
#include "base/error.h"
#include "base/test_files.h"
#include "formats/gguf_model.h"
#include "formats/gguf_tokenizer.h"
#include "fuzz.h"

using namespace dsmoe;

namespace {

base::fs::path scratch() {
  static const base::TestFolder folder("gguf_model_fuzz");
  return folder / "f.gguf";
}

template <class Action>
void refused_or(Action&& action) {
  try {
    action();
  } catch (const base::Error& error) {
    fuzz_check(error.kind() == base::ErrorKind::kInvalid, "bad input has exit code 3");
    fuzz_check(std::string(error.what()).find('\n') == std::string::npos, "an error is one line");
  }
}

void check_model() {
  const formats::GgufModel model = formats::GgufModel::open(scratch());
  spec::for_each_tensor(model.config(), [&](const spec::TensorSpec& tensor) {
    const formats::GgufModel::View view = model.tensor(tensor.name);
    fuzz_check(view.shape == tensor.shape, "a tensor has the model's shape");
    const formats::GgufTypeInfo& info = formats::gguf_type_info(view.type);
    fuzz_check(view.bytes.size() == static_cast<uint64_t>(tensor.numel() / info.block_values * info.block_bytes),
               "and its bytes");
  });
}

void check_tokenizer() {
  const formats::GgufFile file(scratch());
  auto spec = formats::tokenizer_from_gguf(file);
  if (!spec) return;
  const tokenizer::Tokenizer tokenizer(std::move(*spec));
  tokenizer.decode(tokenizer.encode("the text, 12\n", true));
}

std::string model_file(const spec::ModelConfig& config) {
  formats::GgufMetadata metadata;
  formats::add_model_keys(metadata, config, formats::gguf_arch_for(config));
  tokenizer::TokenizerSpec tokenizer;
  tokenizer.tokens = {"<s>", "t", "h", "th"};
  tokenizer.merges = {{1, 2, 3}};
  tokenizer.pre_tokenizer = *tokenizer::pretokenizer_steps("deepseek-v3");
  tokenizer::AddedToken begin;
  begin.content = "<s>";
  begin.special = true;
  tokenizer.added_tokens = {begin};
  tokenizer.bos = tokenizer.eos = 0;
  tokenizer.prefix = {0};
  formats::add_tokenizer_keys(metadata, tokenizer, config.vocab_size);
  std::vector<formats::GgufDeclaration> tensors;
  for (const formats::GgufTensorPlan& plan : formats::gguf_tensors(config)) {
    tensors.push_back({plan.name, formats::GgufType::kF32, plan.shape});
  }
  formats::GgufWriter writer(scratch(), metadata, tensors, base::unsynced_files);
  for (const formats::GgufDeclaration& tensor : tensors) writer.append(std::vector<std::byte>(tensor.bytes()));
  writer.finish();
  return base::read_file(scratch());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  base::write_file(scratch(), {reinterpret_cast<const char*>(bytes), size}, base::unsynced_files);
  refused_or(check_model);
  refused_or(check_tokenizer);
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  spec::ModelConfig dense;
  dense.vocab_size = 5;
  dense.hidden_size = 2;
  dense.num_hidden_layers = dense.num_attention_heads = dense.num_key_value_heads = 1;
  dense.intermediate_size = 1;
  dense.max_position_embeddings = 8;
  dense.bos_token_id = dense.eos_token_id = 0;
  spec::ModelConfig mixture = dense;
  mixture.n_routed_experts = 2;
  mixture.n_shared_experts = mixture.num_experts_per_tok = mixture.moe_intermediate_size = 1;
  spec::ModelConfig own = mixture;
  own.norm_topk_prob = true;
  own.topk_method = spec::TopkMethod::kNoauxTc;
  return {model_file(dense), model_file(mixture), model_file(own)};
}
