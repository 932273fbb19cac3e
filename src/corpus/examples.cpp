#include "corpus/examples.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/hash.h"
#include "corpus/sources.h"

namespace dsmoe::corpus {
namespace {

using tokenizer::ChatRole;

/// The part of what a format writes before an answer that is there already when the model is asked.
size_t asked_with(const tokenizer::ChatFormat& format, const std::string& before) {
  const auto ends = std::mismatch(before.begin(), before.end(), format.generation.begin(), format.generation.end());
  return static_cast<size_t>(ends.first - before.begin());
}

/// Examples in the order of their files, each with a hash of its question.
struct Encoded {
  Example example;
  int domain;
  uint64_t question;
};

class Reader {
 public:
  Reader(const tokenizer::ChatEncoder& encoder, const ExampleOptions& options, ExampleData& data)
      : encoder_(encoder), options_(options), data_(data) {}

  void read_file(const base::fs::path& path) {
    const int64_t before = data_.read;
    data_.domains.push_back(domain_name(path));
    RecordReader reader(ByteStream(path), SourceFormat::kJsonLines);
    for (Record record; reader.next(record);) {
      if (record.bytes.find_first_not_of(" \t\r\n") == std::string::npos) continue;
      ++data_.read;
      read_line(record.bytes, path.string() + ":" + std::to_string(record.line));
    }
    if (data_.read == before) {
      base::fail_invalid("sft", "a file must hold conversations, one a line", path.string() + " holds none",
                         "leave it out");
    }
  }
  std::vector<Encoded> take() { return std::move(encoded_); }

 private:
  /// The file's name without its endings, made different from those before.
  std::string domain_name(const base::fs::path& path) const {
    const std::string stem = without_compression_ending(path).stem().string();
    std::string name = stem;
    for (int i = 2; std::ranges::find(data_.domains, name) != data_.domains.end(); ++i) {
      name = stem + "-" + std::to_string(i);
    }
    return name;
  }

  void read_line(std::string_view line, const std::string& where) {
    Conversation conversation;
    try {
      conversation = read_conversation(line, where);
    } catch (const base::Error& error) {
      if (options_.faulty == FaultyExamples::kStop) throw;
      if (data_.faulty++ == 0) data_.first_faulty = error.what();
      return;
    }
    Example example = encode_example(encoder_, conversation);
    if (!fits(example)) return;
    const auto question = std::ranges::find(conversation.messages, ChatRole::kUser, &tokenizer::ChatMessage::role);
    encoded_.push_back(
        {std::move(example), static_cast<int>(data_.domains.size()) - 1, base::xxh3_64(question->content)});
  }

  bool fits(Example& example) {
    const auto most = static_cast<size_t>(options_.longest) + 1;
    if (example.ids.size() <= most) return true;
    const bool answers = std::find(example.trained.begin(), example.trained.begin() + static_cast<int64_t>(most), 1) !=
                         example.trained.begin() + static_cast<int64_t>(most);
    if (options_.long_examples == LongExamples::kSkip || !answers) {
      ++data_.too_long;
      return false;
    }
    ++data_.cut;
    const auto trained = [&] { return std::count(example.trained.begin(), example.trained.end(), 1); };
    const double whole = static_cast<double>(trained());
    example.ids.resize(most);
    example.trained.resize(most);
    // In proportion: which bytes the tokens left spell is not known here.
    example.answer_bytes =
        std::llround(static_cast<double>(example.answer_bytes) * static_cast<double>(trained()) / whole);
    return true;
  }

  const tokenizer::ChatEncoder& encoder_;
  const ExampleOptions& options_;
  ExampleData& data_;
  std::vector<Encoded> encoded_;
};

/// Which questions are held out: those of the lowest hashes, until their examples are the share. One at least where
/// there are two, and never all.
uint64_t first_kept_question(const std::vector<Encoded>& encoded, double share) {
  std::map<uint64_t, int64_t> examples;
  for (const Encoded& each : encoded) ++examples[each.question];
  auto wanted = static_cast<int64_t>(std::llround(share * static_cast<double>(encoded.size())));
  if (share > 0) wanted = std::max<int64_t>(wanted, 1);
  auto kept = examples.begin();
  for (int64_t held = 0; held < wanted && std::next(kept) != examples.end(); ++kept) held += kept->second;
  return kept->first;
}

void require_some(const ExampleData& data, bool some) {
  if (some) return;
  std::string found = std::to_string(data.read) + " read";
  if (data.too_long > 0) found += ", " + std::to_string(data.too_long) + " too long";
  if (data.faulty > 0) found += ", " + std::to_string(data.faulty) + " faulty, the first: " + data.first_faulty;
  base::fail_invalid("sft", "some examples must be left to learn from", found,
                     data.too_long > 0 ? "raise train.sequence_length if the model takes longer texts" : "");
}

}  // namespace

Example encode_example(const tokenizer::ChatEncoder& encoder, const Conversation& conversation) {
  const tokenizer::ChatFormat& format = encoder.format();
  const auto rendering = encoder.render(conversation.messages, false);
  tokenizer::ChatEncoder::Writer writer(encoder);
  struct Span {
    size_t begin, end;
  };
  std::vector<Span> answers;
  Example example;
  writer.frame(rendering.opening);
  for (const tokenizer::ChatPart& part : rendering.parts) {
    const bool trained = part.message && conversation.trained[*part.message];
    const size_t asked = trained ? asked_with(format, part.before) : part.before.size();
    writer.frame(std::string_view(part.before).substr(0, asked));
    const size_t begin = trained ? writer.pause() : 0;
    writer.frame(std::string_view(part.before).substr(asked));
    writer.content(part.content);
    // A format may leave the last message without its end; an answer that is learnt has one.
    writer.frame(trained && part.after.empty() ? format.assistant.after : part.after);
    if (!trained) continue;
    answers.push_back({begin, writer.pause()});
    example.answer_bytes += std::ssize(part.content);
  }
  example.ids = writer.take();
  example.trained.resize(example.ids.size());
  size_t end = 0;
  for (const Span& answer : answers) {
    for (size_t i = answer.begin; i < answer.end; ++i) {
      example.trained[i] = i > 0;
      end = i + 1;
      if (example.ids[i] == encoder.end_of_turn()) break;
    }
  }
  example.ids.resize(end);
  example.trained.resize(end);
  return example;
}

void ExampleSet::add(const Example& example, int domain) {
  ids_.insert(ids_.end(), example.ids.begin(), example.ids.end());
  trained_.insert(trained_.end(), example.trained.begin(), example.trained.end());
  begins_.push_back(std::ssize(ids_));
  targets_.push_back(std::count(example.trained.begin(), example.trained.end(), 1));
  bytes_.push_back(example.answer_bytes);
  domains_.push_back(domain);
}

void ExampleSet::add_to(int64_t i, TokenBatch& out) const {
  const int64_t begin = begins_[at(i)], last = begins_[at(i) + 1] - 1;
  out.ids.insert(out.ids.end(), ids_.begin() + begin, ids_.begin() + last);
  for (int64_t t = begin + 1; t <= last; ++t) out.targets.push_back(trained_[at(t)] ? ids_[at(t)] : kNotScored);
  out.lengths.push_back(last - begin);
}

std::string ExampleSet::hash() const {
  base::Hasher hasher;
  const auto add = [&hasher](const auto& values) { hasher.update(base::as_text(std::as_bytes(std::span(values)))); };
  add(begins_), add(ids_), add(trained_), add(domains_);
  return hasher.hex();
}

ExampleData read_examples(const std::vector<base::fs::path>& files, const tokenizer::ChatEncoder& encoder,
                          const ExampleOptions& options) {
  ExampleData data;
  Reader reader(encoder, options, data);
  for (const base::fs::path& file : files) reader.read_file(file);
  const std::vector<Encoded> encoded = reader.take();
  require_some(data, !encoded.empty());
  const uint64_t first_kept = first_kept_question(encoded, options.valid_share);
  for (const Encoded& each : encoded) {
    (each.question < first_kept ? data.valid : data.train).add(each.example, each.domain);
  }
  return data;
}

}  // namespace dsmoe::corpus
