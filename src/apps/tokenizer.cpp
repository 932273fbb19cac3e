#include <algorithm>
#include <charconv>
#include <iostream>
#include <iterator>
#include <memory>
#include <mutex>
#include <sstream>

#include "apps/commands.h"
#include "apps/model_option.h"
#include "apps/output_arguments.h"
#include "apps/source_arguments.h"
#include "apps/text_input.h"
#include "apps/tokenizer_chat.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/json.h"
#include "base/output.h"
#include "base/parallel.h"
#include "corpus/source_files.h"
#include "corpus/sources.h"
#include "tokenizer/bpe_trainer.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::apps {
namespace {

using base::fail_invalid;
using base::Json;

// --- train ---

struct TrainOptions {
  int32_t vocab_size = 8192;
  uint64_t min_frequency = 2;
  int threads = 0;
  std::string pre = "deepseek-v3";
  SourceArguments reading;
  OutputArguments output;
  std::vector<std::string> files;
};

// Documents in batches: enough text for all threads, little enough for memory.
class Counting {
 public:
  Counting(tokenizer::WordCounter& counter, const TrainOptions& options)
      : counter_(counter), pool_(options.threads), reading_(options.reading) {}

  void add_file(const base::fs::path& path) {
    corpus::RecordReader reader(path, reading_.limits());
    std::vector<corpus::Record> batch;
    size_t bytes = 0;
    const auto flush = [&] {
      count(batch, reader);
      batch.clear();
      bytes = 0;
    };
    for (corpus::Record record; reader.next(record);) {
      bytes += record.bytes.size();
      batch.push_back(std::move(record));
      if (bytes > kBatch) flush();
    }
    flush();
  }
  uint64_t documents() const { return documents_; }
  const corpus::TextRepairs& repairs() const { return repairs_; }

 private:
  static constexpr size_t kBatch = size_t{16} << 20, kPart = size_t{1} << 20;

  void count(std::vector<corpus::Record>& batch, const corpus::RecordReader& reader) {
    documents_ += batch.size();
    const auto text_of = [&](corpus::Record& record) {
      corpus::TextRepairs repairs;
      std::string text =
          corpus::document_text(std::move(record), reader.format(), reader.name(), reading_.policy(), repairs);
      const std::lock_guard lock(repairs_mutex_);
      repairs_ += repairs;
      return text;
    };
    if (batch.size() == 1) {  // one document for all threads
      const std::string text = text_of(batch[0]);
      const auto parts = tokenizer::cut_at_lines(text, kPart);
      pool_.run(static_cast<int64_t>(parts.size()), 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) counter_.add(parts[static_cast<size_t>(i)]);
      });
      return;
    }
    pool_.run(static_cast<int64_t>(batch.size()), 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) counter_.add(text_of(batch[static_cast<size_t>(i)]));
    });
  }

  tokenizer::WordCounter& counter_;
  base::ThreadPool pool_;
  SourceArguments reading_;
  uint64_t documents_ = 0;
  std::mutex repairs_mutex_;
  corpus::TextRepairs repairs_;
};

base::FolderPolicy output_policy(bool force) {
  base::FolderPolicy policy;
  policy.force = force;
  policy.beside_others = true;
  policy.is_own = [](const std::string& name) { return name == "tokenizer.json" || name == "tokenizer_config.json"; };
  policy.last = "tokenizer.json";
  return policy;
}

void train(const TrainOptions& options) {
  const base::FolderPolicy policy = output_policy(options.output.force);
  const corpus::SourceFiles sources = corpus::find_sources(options.files);
  base::require_output_folder(options.output.path, policy, sources.files);
  tokenizer::BpeTrainOptions training;
  training.vocab_size = options.vocab_size;
  training.min_frequency = options.min_frequency;
  training.progress = [&](int32_t tokens) {
    if (tokens % 1024 == 0) std::cerr << "  " << tokens << " of " << options.vocab_size << " tokens\n";
  };
  training.pre_tokenizer = *tokenizer::pretokenizer_steps(options.pre);
  tokenizer::WordCounter counter(training.pre_tokenizer);
  Counting counting(counter, options);
  for (const std::string& note : sources.notes) std::cerr << "note: " << note << "\n";
  for (const base::fs::path& file : sources.files) counting.add_file(file);
  const tokenizer::WordCounts words = counter.take();
  std::cerr << "counted " << words.size() << " different words in " << counting.documents() << " documents, "
            << words.total_bytes() << " bytes\n";
  print_repairs(counting.repairs());
  const tokenizer::TokenizerSpec spec = tokenizer::train_bpe(words, training);
  base::FolderOutput folder(options.output.path, policy);
  tokenizer::save_tokenizer(spec, folder.path());
  folder.commit();
  std::cerr << "tokenizer of " << spec.tokens.size() << " tokens written to " << options.output.path << "\n";
}

// --- encode, decode ---

struct CodeOptions {
  std::string tokenizer, file;
  std::optional<std::string> prompt;
  std::vector<std::string> ids;
  bool json = false, special = false, lines = false, skip_special = false;
  SourceArguments reading;  // of lines
};

void print_ids(const std::vector<int32_t>& ids) {
  std::string line;
  for (const int32_t id : ids) line.append(line.empty() ? "" : " ").append(std::to_string(id));
  std::cout << line << "\n";
}

void print_json(const tokenizer::Tokenizer& tokenizer, const std::vector<int32_t>& ids, size_t bytes) {
  Json tokens = Json::array();
  for (const int32_t id : ids) tokens.push_back(std::string(tokenizer.token_bytes(id)));
  std::cout << base::dump_json({{"ids", ids}, {"tokens", tokens}, {"count", ids.size()}, {"bytes", bytes}}) << "\n";
}

// The lines are JSON whatever the file is called, and what a corpus' .jsonl lines may be.
corpus::RecordReader line_reader(const CodeOptions& options, std::istringstream& input) {
  const corpus::SourceFormat format = corpus::SourceFormat::kJsonLines;
  std::error_code ignored;
  if (!options.prompt && base::fs::is_regular_file(options.file, ignored)) {
    return {corpus::ByteStream(base::fs::path(options.file)), format, options.reading.limits()};
  }
  input.str(options.prompt ? *options.prompt : read_text(options.file.empty() ? "-" : options.file));
  return {corpus::ByteStream(input, options.prompt ? "prompt" : "input"), format, options.reading.limits()};
}

void for_each_line(const CodeOptions& options, const std::function<void(std::string_view)>& action) {
  std::istringstream input;
  corpus::RecordReader reader = line_reader(options, input);
  corpus::TextRepairs repairs;
  for (corpus::Record record; reader.next(record);) {
    action(corpus::document_text(std::move(record), reader.format(), reader.name(), options.reading.policy(), repairs));
  }
  print_repairs(repairs);
}

void encode(const CodeOptions& options) {
  const tokenizer::Tokenizer tokenizer = tokenizer::load_tokenizer(options.tokenizer);
  const auto put = [&](std::string_view text) {
    const std::vector<int32_t> ids = tokenizer.encode(text, options.special);
    if (options.json) {
      print_json(tokenizer, ids, text.size());
    } else {
      print_ids(ids);
    }
  };
  if (options.lines) return for_each_line(options, put);
  put(options.prompt ? *options.prompt : read_text(options.file.empty() ? "-" : options.file));
}

std::vector<int32_t> known_ids(const tokenizer::Tokenizer& tokenizer, const CodeOptions& options) {
  std::vector<std::string> words = options.ids;
  if (words.empty()) words.assign(std::istream_iterator<std::string>(std::cin), {});
  std::vector<int32_t> ids;
  for (const std::string& word : words) {
    if (word.find_first_not_of("0123456789") != word.npos) {
      fail_invalid("decode", "ids must be whole numbers separated by spaces", base::in_quotes(word));
    }
    int32_t id = -1;
    const auto fault = std::from_chars(word.data(), word.data() + word.size(), id).ec;
    if (fault != std::errc() || tokenizer.token_bytes(id).empty()) {
      fail_invalid("decode", "no token has this id", base::in_quotes(word),
                   "ids go from 0 to " + std::to_string(tokenizer.vocab_size() - 1));
    }
    ids.push_back(id);
  }
  return ids;
}

void decode(const CodeOptions& options) {
  const tokenizer::Tokenizer tokenizer = tokenizer::load_tokenizer(options.tokenizer);
  const std::vector<int32_t> ids = known_ids(tokenizer, options);
  const std::string text = tokenizer.decode(ids, options.skip_special);
  if (options.json) {
    std::cout << base::dump_json({{"text", text}, {"count", ids.size()}, {"bytes", text.size()}}) << "\n";
  } else {
    std::cout << text;
  }
}

// --- the command ---

void add_train(CLI::App& group) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* command =
      group.add_subcommand("train", "Make a vocabulary from text (byte-level BPE, DeepSeek-V3's rules)");
  command
      ->add_option("FILE", options->files,
                   "text: .jsonl with \"text\", .txt, or any other file whole; also .gz, .zst; a folder's text files")
      ->required();
  add_whole_number(*command, "--vocab-size", options->vocab_size, "tokens in all: 3 special ones, 256 bytes, merges");
  add_output(*command, options->output, "-o,--out,--output", "folder for tokenizer.json and tokenizer_config.json")
      ->required();
  command->add_option("--pre", options->pre, "how text is cut into words, by llama.cpp's names")
      ->capture_default_str()
      ->check(CLI::IsMember({"deepseek-v3", "deepseek-llm", "llama-bpe", "qwen2", "gpt-2"}));
  options->reading.add_to(*command);
  add_whole_number(*command, "--min-frequency", options->min_frequency, "do not merge pairs that come less often",
                   {1, 1'000'000'000});
  add_threads(*command, options->threads);
  command->callback([options] { train(*options); });
}

void add_tokenizer_option(CLI::App& command, CodeOptions& options) {
  add_model(command, options.tokenizer, "-m,--model,--tokenizer",
            "a tokenizer.json, or a folder with one: a model's, a run's, a corpus'")
      ->required();
}

void add_encode(CLI::App& group) {
  auto options = std::make_shared<CodeOptions>();
  CLI::App* command = group.add_subcommand("encode", "Text to ids");
  add_tokenizer_option(*command, *options);
  command->add_option("FILE", options->file, "text; standard input without it");
  command->add_option("-p,--prompt", options->prompt, "text given here")->excludes("FILE");
  command->add_flag("--special", options->special, "with the tokens that begin and end a text");
  command->add_flag(
      "--lines", options->lines,
      "every line is a text of its own: a JSON string or an object with \"text\"; a line of ids for each");
  options->reading.add_to(*command);
  command->add_flag("--json", options->json, "one object: ids, tokens, count, bytes");
  command->callback([options] { encode(*options); });
}

void add_decode(CLI::App& group) {
  auto options = std::make_shared<CodeOptions>();
  CLI::App* command = group.add_subcommand("decode", "Ids to text, byte for byte");
  add_tokenizer_option(*command, *options);
  command->add_option("IDS", options->ids, "from standard input without them");
  command->add_flag("--skip-special", options->skip_special, "leave special tokens out");
  command->add_flag("--json", options->json, "one object: text (U+FFFD where not UTF-8), count, bytes");
  command->callback([options] { decode(*options); });
}

}  // namespace

void add_tokenizer(CLI::App& program) {
  CLI::App* group = program.add_subcommand("tokenizer", "Make a tokenizer; text to ids and back");
  group->require_subcommand(1);
  add_train(*group);
  add_encode(*group);
  add_decode(*group);
  add_tokenizer_chat(*group);
}

}  // namespace dsmoe::apps
