// dsmoe data: documents into a corpus folder (build), and what is in one (show).
#include <iomanip>
#include <iostream>
#include <optional>
#include <sstream>

#include "apps/commands.h"
#include "apps/output_arguments.h"
#include "apps/progress.h"
#include "apps/real_number.h"
#include "apps/source_arguments.h"
#include "apps/stop_signals.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/output.h"
#include "base/parallel.h"
#include "corpus/dataset.h"
#include "corpus/dataset_builder.h"
#include "corpus/source_files.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::apps {
namespace {

using base::Json;

struct BuildArguments {
  std::string tokenizer;
  OutputArguments output;
  std::vector<std::string> sources;
  double valid_share = corpus::BuildOptions{}.valid_share;
  uint64_t seed = 0;
  SourceArguments reading;
  bool parse_special = false, json = false;
  int threads = 0;
};

struct ShowArguments {
  std::string folder, split = "train", domain;
  int64_t document = -1;
  size_t longest = 600;
  bool verify = false, json = false;
};

std::vector<corpus::CorpusDomain> domains_of(const std::vector<std::string>& sources) {
  std::vector<corpus::CorpusDomain> out;
  for (const std::string& source : sources) {
    const size_t equals = source.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == source.size()) {
      base::fail(base::ErrorKind::kUsage, "data", "a source must be NAME=PATH", base::in_quotes(source),
                 "for example zh='text/zh*.jsonl' or en=books/");
    }
    corpus::SourceFiles found = corpus::find_sources({source.substr(equals + 1)});
    for (const std::string& note : found.notes) std::cerr << "note: " << note << "\n";
    out.push_back({source.substr(0, equals), std::move(found.files)});
  }
  return out;
}

// The tokenizer and the files it came from, read once so that what is copied is what encoded.
struct LoadedTokenizer {
  explicit LoadedTokenizer(const base::fs::path& path) {
    std::error_code ignored;
    const base::fs::path json = base::fs::is_directory(path, ignored) ? path / "tokenizer.json" : path;
    const base::fs::path config = json.parent_path() / "tokenizer_config.json";
    files.emplace_back("tokenizer.json", base::read_file(json));
    if (base::fs::exists(config, ignored)) files.emplace_back("tokenizer_config.json", base::read_file(config));
    tokenizer.emplace(
        tokenizer::parse_tokenizer(files[0].second, files.size() > 1 ? files[1].second : "", json.string()));
  }
  corpus::CorpusEncoder encoder(bool parse_special) const {
    return {[this, parse_special](std::string_view text) {
              return parse_special ? tokenizer->encode(text) : tokenizer->encode_document(text);
            },
            tokenizer->vocab_size(),
            tokenizer->bos_id().value_or(-1),
            tokenizer->eos_id().value_or(-1),
            tokenizer::tokenizer_hash(*tokenizer),
            files};
  }
  std::vector<std::pair<std::string, std::string>> files;
  std::optional<tokenizer::Tokenizer> tokenizer;
};

void print_cells(std::ostream& out, std::string_view name, const std::vector<std::string>& cells) {
  out << std::left << std::setw(16) << name << std::right;
  for (const std::string& cell : cells) out << std::setw(13) << cell;
  out << "\n";
}

void print_counts(std::ostream& out, const Json& manifest) {
  print_cells(out, "domain", {"documents", "tokens", "bytes", "bytes/token", "validation", "duplicates", "blank"});
  const auto line = [&](const std::string& name, const Json& counts, int64_t duplicates, int64_t blank) {
    const Json &train = counts.at("train"), &valid = counts.at("valid");
    const auto tokens = train.at("tokens").get<int64_t>(), bytes = train.at("bytes").get<int64_t>();
    std::ostringstream ratio;
    if (tokens > 0)
      ratio << std::fixed << std::setprecision(2) << static_cast<double>(bytes) / static_cast<double>(tokens);
    print_cells(out, name,
                {train.at("documents").dump(), std::to_string(tokens), std::to_string(bytes), ratio.str(),
                 valid.at("tokens").dump(), std::to_string(duplicates), std::to_string(blank)});
  };
  int64_t all_duplicates = 0, all_blank = 0;
  for (const Json& domain : manifest.at("domains")) {
    const auto duplicates = domain.at("duplicates").get<int64_t>(), blank = domain.at("blank").get<int64_t>();
    line(domain.at("name").get<std::string>(), domain, duplicates, blank);
    all_duplicates += duplicates;
    all_blank += blank;
  }
  line("all", manifest, all_duplicates, all_blank);
}

void require_output(const BuildArguments& arguments, const std::vector<corpus::CorpusDomain>& domains) {
  std::vector<base::fs::path> read = {arguments.tokenizer};
  for (const corpus::CorpusDomain& domain : domains) {
    read.insert(read.end(), domain.files.begin(), domain.files.end());
  }
  base::require_output_folder(arguments.output.path, corpus::corpus_folder_policy(arguments.output.force), read);
}

// What a person would otherwise learn only from a run without validation.
void print_split(const Json& manifest) {
  if (manifest.at("valid_share").get<double>() == 0) return;
  for (const Json& domain : manifest.at("domains")) {
    const auto name = domain.at("name").get<std::string>();
    if (const auto bytes = domain.at("held_out").get<int64_t>(); bytes > 0) {
      std::cerr << name << ": all documents fell to one split, so the last " << bytes
                << " bytes of the last one are its validation text\n";
    }
    for (const char* split : {"train", "valid"}) {
      if (domain.at(split).at("documents").get<int64_t>() > 0) continue;
      std::cerr << "warning: " << name << " has nothing in " << split
                << " (few and short documents); more text, or another --valid-share or --seed, changes that\n";
    }
  }
  if (manifest.at("valid").at("documents").get<int64_t>() == 0) {
    std::cerr << "warning: the validation split is empty: training on this corpus will measure no validation loss\n";
  }
}

void build(const BuildArguments& arguments) {
  const LoadedTokenizer tokenizer(arguments.tokenizer);
  const std::vector<corpus::CorpusDomain> domains = domains_of(arguments.sources);
  require_output(arguments, domains);
  const WorkSignals signals;
  std::optional<Progress> progress;
  corpus::BuildOptions options;
  options.valid_share = arguments.valid_share;
  options.seed = arguments.seed;
  options.force = arguments.output.force;
  options.invalid_utf8 = arguments.reading.policy();
  options.limits = arguments.reading.limits();
  options.program_version = version_text();
  options.on_progress = [&](const corpus::BuildProgress& done) {
    if (signals.requested()) {
      base::fail(base::ErrorKind::kFailure, "data", "stopped on request", "", "nothing is left behind");
    }
    if (!progress) progress.emplace("encoding", done.total_raw_bytes, bytes_text);
    progress->update(done.raw_bytes);
  };
  base::ThreadPool pool(arguments.threads);
  const Json manifest = corpus::build_corpus(arguments.output.path, domains, tokenizer.encoder(arguments.parse_special),
                                             options, pool.parallel_for());
  progress->finish();
  print_counts(std::cerr, manifest);
  print_split(manifest);
  print_repairs({manifest.at("replaced_bytes").get<int64_t>(), manifest.at("replaced_escapes").get<int64_t>()});
  if (arguments.json) std::cout << base::dump_json(manifest) << "\n";
}

// At most `longest` bytes, cut where a character ends.
std::string_view front_of(std::string_view text, size_t longest) {
  if (text.size() <= longest) return text;
  while (longest > 0 && (static_cast<unsigned char>(text[longest]) & 0xc0) == 0x80) --longest;
  return text.substr(0, longest);
}

int64_t chosen_document(const corpus::TokenDataset& dataset, const ShowArguments& arguments) {
  if (dataset.documents() == 0 && arguments.document >= 0) {
    base::fail(base::ErrorKind::kUsage, "data", "the split has no document", base::in_quotes(arguments.split));
  }
  if (arguments.document >= dataset.documents()) {
    base::fail(base::ErrorKind::kUsage, "data",
               "the split has documents 0 to " + std::to_string(dataset.documents() - 1),
               std::to_string(arguments.document));
  }
  if (arguments.document >= 0) return arguments.document;
  const int domain = arguments.domain.empty() ? -1 : dataset.domain_of(arguments.domain);
  for (int64_t document = 0; document < dataset.documents(); ++document) {
    if (domain < 0 || dataset.domain(document) == domain) return document;
  }
  return -1;
}

void show(const ShowArguments& arguments) {
  const corpus::TokenDataset dataset = corpus::TokenDataset::open(arguments.folder, arguments.split);
  if (arguments.verify) {
    dataset.verify();
    std::cerr << "all checksums agree\n";
  }
  const int64_t document = chosen_document(dataset, arguments);
  if (arguments.json) {
    Json out = dataset.manifest();
    out["hash"] = dataset.hash();
    std::cout << base::dump_json(out) << "\n";
    return;
  }
  print_counts(std::cout, dataset.manifest());
  const auto& document_form = dataset.manifest().at("document");
  std::cout << "a document is: " << document_form.get<std::string>() << "; tokens are "
            << dataset.manifest().at("token_type").get<std::string>() << "; vocabulary " << dataset.vocab_size()
            << "; hash " << dataset.hash() << "\n";
  if (document < 0) return;
  const std::string text =
      tokenizer::load_tokenizer(dataset.folder()).decode(dataset.tokens(document), /*skip_special=*/true);
  const std::string_view front = front_of(text, arguments.longest);
  std::cout << "\n"
            << arguments.split << " document " << document << " ("
            << dataset.domain_names()[static_cast<size_t>(dataset.domain(document))] << ", "
            << dataset.tokens_in(document) << " tokens, " << dataset.bytes_in(document) << " bytes)"
            << (front.size() < text.size() ? ", its beginning" : "") << ":\n"
            << front << "\n";
}

void add_build(CLI::App& data) {
  auto arguments = std::make_shared<BuildArguments>();
  CLI::App* command = data.add_subcommand("build", "Encode documents into a corpus folder to train on");
  command
      ->add_option("SOURCES", arguments->sources,
                   "NAME=PATH: a domain and its files, .jsonl, .txt or others, plain, .gz or .zst; a folder gives its "
                   "text files; a pattern, to be quoted, has * ? [..] {a,b} and ** for folders of any depth")
      ->required();
  command->add_option("--tokenizer", arguments->tokenizer, "a tokenizer.json, or a folder with one")->required();
  add_output(*command, arguments->output, "-o,--out,--output", "the folder to make; it must not be there or be empty")
      ->required();
  add_real_number(*command, "--valid-share", arguments->valid_share,
                  "the part of the documents kept for validation, chosen by a hash of their text");
  add_whole_number(*command, "-s,--seed", arguments->seed, "another seed keeps other documents");
  arguments->reading.add_to(*command);
  command->add_flag("--parse-special", arguments->parse_special,
                    "text that spells a special token becomes that token; else it is text like any other");
  add_threads(*command, arguments->threads);
  command->add_flag("--json", arguments->json, "the manifest on standard output");
  command->callback([arguments] { build(*arguments); });
}

void add_show(CLI::App& data) {
  auto arguments = std::make_shared<ShowArguments>();
  CLI::App* command = data.add_subcommand("show", "Counts of a corpus by domain, and one of its documents");
  command->add_option("DIR", arguments->folder, "a folder made by dsmoe data build")->required();
  command->add_option("--split", arguments->split, "where the document comes from")
      ->check(CLI::IsMember({"train", "valid"}))
      ->capture_default_str();
  add_whole_number(*command, "--document", arguments->document, "its number; without it the first")->default_str("");
  command->add_option("--domain", arguments->domain, "the first of this domain");
  add_whole_number(*command, "--bytes", arguments->longest, "how much of it");
  command->add_flag("--verify", arguments->verify, "read everything and compare checksums");
  command->add_flag("--json", arguments->json, "the manifest and the corpus' hash, as one object");
  command->callback([arguments] { show(*arguments); });
}

}  // namespace

void add_data(CLI::App& program) {
  CLI::App* data = program.add_subcommand("data", "Make and look at corpora");
  data->require_subcommand(1);
  add_build(*data);
  add_show(*data);
}

}  // namespace dsmoe::apps
