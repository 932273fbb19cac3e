#include "tokenizer/chat_template.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/hash.h"

namespace dsmoe::tokenizer {
namespace {

// A template, of which only the hash of the canonical form is kept, and the format that it writes.
struct KnownTemplate {
  std::string_view hash, format;
};

constexpr KnownTemplate kKnown[] = {
    {"754fc5e9649ba40be63d12cc8356c9d7", "plain"},          // kPlainChatTemplate
    {"da14e175d5f932dc076c37f8c88b6427", "plain"},          // deepseek-ai/deepseek-llm-7b-chat, deepseek-moe-16b-chat
    {"af3e61c68382f737fb012f59692bd772", "deepseek-v2.5"},  // deepseek-ai/DeepSeek-V2-Chat-0628
    {"6fac4e8c1ac345501fa8f14952b0988e", "deepseek-v3"},    // deepseek-ai/DeepSeek-V3
    {"e5513d178cf4a1fae189d10e219076bf", "deepseek-v3-0324"},  // deepseek-ai/DeepSeek-V3-0324
    {"967636638717b79a5dcc5635e0377ee0", "deepseek-r1"},       // deepseek-ai/DeepSeek-R1
    {"1be86befbef77ca420e37fc6ac3501e9", "deepseek-r1-first"},
    {"30fb43673d626ac28dfb673fa4051423", "deepseek-r1-distill"},  // deepseek-ai/DeepSeek-R1-Distill-Llama-8B
    {"d6bb2756dfd9a09099bb931e7193483c", "deepseek-r1-distill-first"},
    {"a43be4f4a9cdd38d9699b27361799aba", "chatml"},
    {"16d7c5a5baeefae0ebefa189e37b2f88", "chatml-bos"},
    {"9ee7d67b44f2a5bb49195dfd68d841f4", "chatml-bos"},  // NousResearch/Hermes-3, with a default system text
    {"561a5bc3b7d28df261ef8d2e00eb9025", "qwen1.5"},     // Qwen/Qwen1.5-72B-Chat
    {"08e4f8f781864b7c634981b1083eccfc", "qwen2"},       // Qwen/Qwen2-7B-Instruct, HuggingFaceTB/SmolLM2-1.7B-Instruct
    {"ef6e7f02b1e61e4cab07f2114fa12116", "qwen2.5"},     // Qwen/Qwen2.5-7B-Instruct
    {"e5ddabe2ff2f56a9e204642f69bbecd6", "qwen3"},       // Qwen/Qwen3-0.6B
    {"ba3ccdf79536fab4743dcc6abb74b554", "llama3"},      // meta-llama/Meta-Llama-3-8B-Instruct
    {"8aaaa5d054c936a497890cb9d07df22f", "llama3-first"},
    {"49c6b1ef2611e0565696c5192fd39697", "llama3.1"},  // meta-llama/Llama-3.1-8B-Instruct
    {"86a66f47170e589e829d387bc13425c0", "llama3.2"},  // meta-llama/Llama-3.2-3B-Instruct
};

}  // namespace

const std::string_view kPlainChatTemplate =
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

std::optional<ChatFormat> recognise_chat_template(std::string_view text) {
  const auto canonical = canonical_template(text);
  if (!canonical) return std::nullopt;
  const std::string hash = base::xxh3_128_hex(canonical->text);
  const auto known = std::ranges::find(kKnown, hash, &KnownTemplate::hash);
  if (known == std::end(kKnown)) return std::nullopt;
  ChatFormat found = chat_format_named(known->format);
  if (canonical->default_system) found.default_system = canonical->default_system;
  return found;
}

ChatFormat chat_format_of(std::string_view chat_template, std::string_view where) {
  if (chat_template.empty()) return chat_format_named("plain");
  if (auto format = recognise_chat_template(chat_template)) return std::move(*format);
  base::fail_invalid("chat", "the model's chat template must be one that is known here",
                     std::string(where) + ", " + base::in_quotes(chat_template),
                     "choose a format with --chat-format: " + chat_format_names());
}

}  // namespace dsmoe::tokenizer
