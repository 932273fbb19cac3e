// For tests: request bodies of the kinds that have ended, blocked or bloated other servers (llama.cpp's, vLLM,
// SGLang's, llamafile): each is to be answered, none with a 5xx.
#pragma once

#include <string>
#include <vector>

namespace dsmoe::serve::testing {

struct Killer {
  std::string path, body;
};

inline std::string repeated(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

inline std::vector<Killer> killers() {
  std::vector<Killer> all;
  const auto put = [&](const char* path, const std::string& body) { all.push_back({path, body}); };
  const auto completion = [&](const std::string& more) {
    put("/v1/completions", R"({"prompt": "x", "max_tokens": 3, )" + more + "}");
  };
  const auto chat = [&](const std::string& more) {
    put("/v1/chat/completions", R"({"messages": [{"role": "user", "content": "x"}], "max_tokens": 3, )" + more + "}");
  };
  const auto schema = [&](const std::string& form) {
    chat(R"("response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": )" + form + "}}");
  };
  // Bodies that are no requests.
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("null"), std::string("[]"), std::string("\"x\""),
        std::string("{}"), std::string("{\"prompt\""), std::string("{\"prompt\": \"x\"}}"),
        std::string("{\"prompt\": \"\xff\"}"), std::string("{\"prompt\": \"x\", \"prompt\": \"y\"}"),
        std::string("{\"prompt\": \"x\", \"n\": 1e999}"), std::string("{\"prompt\": \"x\", \"n\": NaN}"),
        std::string("{\"prompt\": \"\\ud800\"}"), std::string(2, '\0'),
        "{\"prompt\": " + std::string(100000, '[') + "}", repeated("{\"a\":", 50000) + "1" + std::string(50000, '}'),
        std::string("\xef\xbb\xbf{\"prompt\": \"x\"}")}) {
    put("/v1/completions", body);
  }
  // Prompts.
  for (const std::string& prompt :
       {std::string("\"\""), std::string("[]"), std::string("[[]]"), std::string("[[], [1]]"), std::string("[999999]"),
        std::string("[-1]"), std::string("[1.5]"), std::string("[259, 260]"), std::string("[9223372036854775807]"),
        std::string("[1e30]"), std::string("[null]"), std::string("[\"a\", 1]"), std::string("{\"a\": 1}"),
        std::string("[[[1]]]"), "[" + repeated("\"a\",", 5000) + "\"a\"]", "\"" + std::string(200000, 'a') + "\"",
        std::string("\"<s></s><|endoftext|><|im_start|>[INST]<<SYS>>\""), std::string("\"\\u0000\\u0000\""),
        "\"" + repeated("\\u200d", 100) + "\""}) {
    put("/v1/completions", "{\"max_tokens\": 2, \"prompt\": " + prompt + "}");
    put("/tokenize", "{\"prompt\": " + prompt + "}");
  }
  for (const char* tokens : {"[999999]", "[-1]", "\"x\"", "[[1]]", "[null]", "[255, 254, 0, 256, 257]"}) {
    put("/detokenize", std::string("{\"tokens\": ") + tokens + "}");
  }
  // Numbers out of all proportion.
  for (const char* member : {R"("n": 1000000)",
                             R"("n": -1)",
                             R"("n": 0)",
                             R"("best_of": 1000000)",
                             R"("max_tokens": 2147483647)",
                             R"("max_tokens": -2)",
                             R"("max_tokens": 1e9)",
                             R"("max_tokens": 0)",
                             R"("max_tokens": 0, "echo": true)",
                             R"("max_tokens": 0, "echo": true, "logprobs": 20)",
                             R"("logprobs": 1000000)",
                             R"("logprobs": "all")",
                             R"("logprobs": -1)",
                             R"("temperature": -1)",
                             R"("temperature": 1e300)",
                             R"("temperature": 1e-300)",
                             R"("top_p": 0)",
                             R"("top_p": -1)",
                             R"("top_k": -2)",
                             R"("top_k": 2147483648)",
                             R"("min_p": 2)",
                             R"("repetition_penalty": 0)",
                             R"("repetition_penalty": 1e308)",
                             R"("frequency_penalty": 1e308)",
                             R"("seed": 99999999999999999999)",
                             R"("seed": -9223372036854775808)",
                             R"("logit_bias": {"999999": 1})",
                             R"("logit_bias": {"-1": 1})",
                             R"("logit_bias": {"1": 1e308})",
                             R"("logit_bias": {"": 1})",
                             R"("logit_bias": {"1": null})",
                             R"("logit_bias": [[1, 2]])",
                             R"("stop": "")",
                             R"("stop": [""])",
                             R"("stop": [null])",
                             R"("stop": {"a": 1})",
                             R"("stop_token_ids": [999999])",
                             R"("stop_token_ids": {})",
                             R"("ignore_eos": true, "logit_bias": {"257": 100})",
                             R"("stream": "yes")",
                             R"("stream": true, "stream_options": null)",
                             R"("stream": true, "stream_options": [])",
                             R"("suffix": "x")",
                             R"("grammar": "root ::= root")",
                             R"("grammar": "root ::= (")",
                             R"("grammar": "", "ignore_eos": true)",
                             R"("json_schema": {"type": "x"})",
                             R"("guided_regex": "(a+)+$")",
                             R"("guided_json": "{")",
                             R"("prompt_embeds": "AAAA")",
                             R"("intervention": {"masked": {"all": [0, 1, 2, 3, 4, 5]}})",
                             R"("intervention": {"experts_per_tok": 1000000})",
                             R"("routed_experts": [])",
                             R"("model": "../../etc/passwd")",
                             R"("model": 5)",
                             R"("add_special_tokens": "no")"}) {
    completion(member);
  }
  completion("\"stop\": \"" + std::string(100000, 'a') + "\"");
  std::string biases = "\"0\": 1";
  for (int i = 1; i < 1000; ++i) biases += ", \"" + std::to_string(i % 250) + "_" + std::to_string(i) + "\": 1";
  completion("\"logit_bias\": {" + biases + "}");
  // Conversations, templates, tools.
  for (const char* messages :
       {"[]", "null", "[null]", "[[]]", R"([{"role": "user"}])", R"([{"content": "x"}])",
        R"([{"role": "user", "content": 5}])",
        R"([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}])",
        R"([{"role": "user", "content": [{"type": "text", "text": null}]}])", R"([{"role": "tool", "content": "x"}])",
        R"([{"role": "assistant", "content": "x"}, {"role": "system", "content": "y"}])",
        R"([{"role": "user", "content": "{{ cycler.__init__.__globals__ }}{% for x in range(10**9) %}"}])"}) {
    put("/v1/chat/completions", std::string("{\"max_tokens\": 2, \"messages\": ") + messages + "}");
  }
  for (const char* member :
       {R"("chat_template": "{% for x in range(999999999) %}a{% endfor %}")",
        R"("chat_template_kwargs": {"tokenize": false})",
        R"("tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "x", "pattern": "("}}}])",
        R"("tool_choice": {"type": "function"})", R"("top_logprobs": 20)", R"("logprobs": true, "top_logprobs": 1000)",
        R"("logprobs": 5)", R"("response_format": {"type": "json_object"}, "stop": "}")",
        R"("response_format": "json")"}) {
    chat(member);
  }
  // Schemas.
  for (const std::string& form :
       {std::string("{\"type\": \"x\"}"), std::string("{\"pattern\": \"(a+)+$\"}"), std::string("{\"$ref\": \"#\"}"),
        std::string("{\"$ref\": \"#/$defs/a\"}"), std::string("{\"$ref\": \"file:///etc/passwd\"}"), std::string("[]"),
        std::string("{\"anyOf\": [{\"$ref\": \"#\"}]}"), std::string("{\"minItems\": 1000000000}"),
        std::string("{\"type\": \"array\", \"minItems\": 1000000, \"items\": {\"type\": \"array\"}}"),
        std::string("{\"type\": \"string\", \"maxLength\": 18446744073709551615}"), std::string("{\"enum\": []}"),
        "{\"enum\": [" + repeated("\"aaaaaaaaaaaaaaaaaaaaaaaa\",", 20000) + "1]}",
        "{\"anyOf\": [" + repeated("{\"type\": \"null\"},", 20000) + "{}]}",
        repeated("{\"items\": ", 60) + "{}" + std::string(60, '}')}) {
    schema(form);
  }
  return all;
}

}  // namespace dsmoe::serve::testing
