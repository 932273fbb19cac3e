// dsmoe tokenizer chat, a part of dsmoe tokenizer.
#pragma once

#include <CLI/CLI.hpp>

namespace dsmoe::apps {

void add_tokenizer_chat(CLI::App& group);

}  // namespace dsmoe::apps
