// Any text as config.json: refused by a one-line Error of kind kInvalid, or accepted, and then written and read back as
// the same model with every further key kept.
#include "base/error.h"
#include "formats/config_json.h"
#include "fuzz.h"
#include "spec/tensors.h"

using namespace dsmoe;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  try {
    const base::Json json = base::parse_json(text, "input");
    const spec::ModelConfig config = formats::config_from_json(json, "input");
    const formats::Dtype dtype = formats::dtype_from_json(json, "input");
    const base::Json again = formats::config_to_json(config, dtype, json);
    fuzz_check(formats::config_from_json(base::parse_json(base::dump_json(again), "again"), "again") == config,
               "a model reads back as the same");
    fuzz_check(formats::dtype_from_json(again, "again") == dtype, "and its dtype");
    if (json.contains("kept")) fuzz_check(again["kept"] == json["kept"], "further keys are kept");
  } catch (const base::Error& error) {
    fuzz_check(error.kind() == base::ErrorKind::kInvalid, "bad input has exit code 3");
    fuzz_check(std::string(error.what()).find('\n') == std::string::npos, "an error is one line");
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {
      R"({"model_type":"deepseek","vocab_size":64,"hidden_size":16,"num_hidden_layers":3,"num_attention_heads":2,)"
      R"("intermediate_size":24,"n_routed_experts":8,"num_experts_per_tok":2,"moe_intermediate_size":8,)"
      R"("n_shared_experts":1,"first_k_dense_replace":1,"bos_token_id":0,"eos_token_id":[1,2],"kept":{"a":[1,null]}})",
      R"({"model_type":"llama","vocab_size":64,"hidden_size":16,"num_hidden_layers":1,"num_attention_heads":2,)"
      R"("intermediate_size":24,"num_key_value_heads":1,"head_dim":8,"rope_scaling":null,"torch_dtype":"bfloat16",)"
      R"("rope_parameters":{"rope_type":"default","rope_theta":5e5},"rms_norm_eps":1e-5,"tie_word_embeddings":false})",
      R"({"model_type":"deepseek","vocab_size":64,"hidden_size":16,"num_hidden_layers":2,"num_attention_heads":2,)"
      R"("intermediate_size":24,"n_routed_experts":8,"num_experts_per_tok":2,"moe_intermediate_size":8,"n_group":4,)"
      R"("topk_group":2,"topk_method":"noaux_tc","scoring_func":"sigmoid","routed_scaling_factor":2.5,)"
      R"("router_type":"topk","norm_topk_prob":true,"eos_token_id":1,"bos_token_id":0,"moe_layer_freq":2})",
      R"({"model_type":"deepseek","vocab_size":1e9,"hidden_size":-0,"kept":"\ud83d\ude00","dtype":"float16"})",
  };
}
