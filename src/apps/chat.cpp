// dsmoe chat: a conversation in a terminal, or of lines through a pipe.
#include <charconv>
#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/line_editor.h"
#include "apps/open_model.h"
#include "apps/stop_signals.h"
#include "base/error.h"
#include "base/output.h"
#include "engine/conversation.h"
#include "engine/generate.h"
#include "formats/model_files.h"

namespace dsmoe::apps {
namespace {

struct Options {
  ModelArguments model;
  std::string system, format;
  engine::GenerateOptions generate;
};

constexpr const char* kHelp =
    "  /help             this list\n"
    "  /clear            forget the conversation\n"
    "  /system TEXT      the same, with TEXT before it (none: without)\n"
    "  /again            another answer to the last question\n"
    "  /undo             take back the last question and its answer\n"
    "  /temp X           temperature; 0: always the likeliest token\n"
    "  /save FILE        write the conversation as text; --force FILE over one that is there\n"
    "  /tokens           how much of the context is used\n"
    "  /quit             leave; so do Ctrl-D, and Ctrl-C twice\n"
    "A line that ends with \\ goes on in the next one. Ctrl-C stops an answer.\n";

class Chat {
 public:
  explicit Chat(const Options& options)
      : options_(options),
        model_(open_model(options.model)),
        encoder_(model_.chat_encoder(options.format)),
        conversation_(encoder_, *model_.tokenizer(), options.system),
        session_(model_.engine()) {
    options_.generate.ends = model_.end_tokens();
    options_.generate.ends.push_back(encoder_.end_of_turn());
    if (options.format.empty() && model_.chat_template().empty()) {
      std::cerr << "the model has no chat template: the conversation is written as User: and Assistant: "
                   "(--chat-format chooses another form)\n";
    }
  }

  void run() {
    std::cerr << "seed " << options_.generate.sampling.seed << "\n";
    if (editor_.is_terminal()) std::cerr << "/help lists the commands\n";
    for (bool was_interrupted = false;;) {
      const auto line = read();
      if (!line) break;
      if (line->interrupted) {
        if (was_interrupted) break;
        std::cerr << "(Ctrl-C again leaves)\n";
        was_interrupted = true;
        continue;
      }
      was_interrupted = false;
      if (line->text.empty()) continue;
      if (line->text.front() == '/') {
        try {
          if (!command(line->text)) break;
        } catch (const base::Error& error) {  // whatever a command met, the conversation goes on
          std::cerr << error.what() << "\n";
        }
      } else {
        said_.push_back("User: " + line->text);
        conversation_.ask(line->text);
        answer();
      }
      if (!std::cout) break;  // whoever read us has left
    }
  }

 private:
  std::optional<LineEditor::Line> read() {
    auto line = editor_.read("> ");
    while (line && !line->interrupted && line->text.ends_with('\\')) {
      line->text.back() = '\n';
      auto more = editor_.read(". ");
      if (!more || more->interrupted) return more;
      line->text += more->text;
    }
    return line;
  }

  // What the cache has of the conversation stays, the rest is read; the model then answers.
  void answer() {
    const int64_t context = model_.config().max_position_embeddings;
    const int64_t reserve = std::min<int64_t>(context / 4, std::max<int64_t>(16, options_.generate.max_tokens));
    if (const size_t gone = conversation_.make_room(context - reserve); gone > 0) {
      std::cerr << "(the context is full: the " << gone << " oldest questions are forgotten)\n";
    }
    const auto tokens = conversation_.tokens();
    if (std::ssize(tokens) >= context) {
      std::cerr << "(too long: " << tokens.size() << " tokens, and the model has " << context << ")\n";
      conversation_.take_back_question();
      said_.pop_back();
      return;
    }
    const int64_t kept = std::min(engine::Conversation::shared(read_, tokens), std::ssize(tokens) - 1);
    session_.rewind(std::min(kept, session_.size()));
    const StopSignals signals({SIGINT});
    bool first = true;
    const engine::Generation result = engine::generate(
        session_, model_.config(), tokens, options_.generate, model_.tokenizer(), [&](int32_t, std::string_view text) {
          if (first) text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
          first = first && text.empty();
          std::cout << text << std::flush;
          return !signals.requested() && static_cast<bool>(std::cout);
        });
    std::cout << "\n" << std::flush;
    if (result.finish == engine::Finish::kInterrupted) std::cerr << "(stopped)\n";
    if (result.finish == engine::Finish::kLength) std::cerr << "(stopped at " << result.tokens.size() << " tokens)\n";
    if (result.finish == engine::Finish::kContext) std::cerr << "(the context is full)\n";
    conversation_.answer(result.tokens);
    said_.push_back("Assistant:" + std::string(result.text.starts_with(' ') ? "" : " ") + result.text);
    read_ = tokens;
    read_.insert(read_.end(), result.tokens.begin(), result.tokens.end());
    read_.resize(static_cast<size_t>(session_.size()));
  }

  void restart(const std::string& system) {
    conversation_.restart(system);
    said_.clear();
  }

  /// False to leave.
  bool command(const std::string& line) {
    const size_t space = line.find(' ');
    const std::string name = line.substr(0, space);
    const size_t more = line.find_first_not_of(' ', space);
    const std::string rest = more == std::string::npos ? "" : line.substr(more);
    if (name == "/quit" || name == "/exit" || name == "/bye") return false;
    if (name == "/help") {
      std::cerr << kHelp;
    } else if (name == "/clear" || name == "/new") {
      restart(options_.system);
    } else if (name == "/system") {
      options_.system = rest;
      restart(rest);
    } else if (name == "/again" || name == "/regen") {
      again();
    } else if (name == "/undo") {
      undo();
    } else if (name == "/temp") {
      set_temperature(rest);
    } else if (name == "/save") {
      save(rest);
    } else if (name == "/tokens") {
      std::cerr << conversation_.tokens().size() << " of " << model_.config().max_position_embeddings << " tokens\n";
    } else {
      const std::string near =
          base::nearest(name, {"/help", "/clear", "/system", "/again", "/undo", "/temp", "/save", "/tokens", "/quit"});
      std::cerr << "no command " << base::in_quotes(name) << (near.empty() ? "" : "; is it " + near + "?") << "\n";
    }
    return true;
  }

  void again() {
    if (!conversation_.take_back_answer()) {
      std::cerr << "nothing has been asked\n";
      return;
    }
    if (said_.back().starts_with("Assistant:")) said_.pop_back();
    ++options_.generate.sampling.seed;
    answer();
  }

  void undo() {
    if (!conversation_.take_back_question()) {
      std::cerr << "nothing has been asked\n";
      return;
    }
    if (said_.back().starts_with("Assistant:")) said_.pop_back();
    said_.pop_back();
  }

  void set_temperature(const std::string& text) {
    double value = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (fault != std::errc() || end != text.data() + text.size() || !(value >= 0)) {
      std::cerr << "/temp takes a number from 0 on\n";
      return;
    }
    options_.generate.sampling.temperature = value;
  }

  void save(std::string path) {
    const std::string_view kForce = "--force ";
    const bool force = path.starts_with(kForce);
    if (force) path.erase(0, std::min(path.find_first_not_of(' ', kForce.size()), path.size()));
    if (path.empty() || path == "--force") {
      std::cerr << "/save takes a file name\n";
      return;
    }
    std::string text = options_.system.empty() ? "" : options_.system + "\n\n";
    for (const std::string& part : said_) text += part + "\n\n";
    base::require_output_file(path, force, formats::model_files(options_.model.path), text.size());
    base::write_file(path, text);
    std::cerr << "written\n";
  }

  Options options_;
  loading::Model model_;
  tokenizer::ChatEncoder encoder_;
  engine::Conversation conversation_;
  engine::Session session_;
  std::vector<int32_t> read_;      // what the session's cache holds
  std::vector<std::string> said_;  // the conversation as text
  LineEditor editor_;
};

void act(const Options& options) {
  validate(options.generate.sampling);
  if (!options.format.empty()) tokenizer::chat_format_named(options.format);  // before the model is opened
  Chat(options).run();
}

}  // namespace

void add_chat(CLI::App& program) {
  auto options = std::make_shared<Options>();
  options->model.cache_type = "f16";
  options->generate.max_tokens = -1;
  CLI::App* command = program.add_subcommand("chat", "Talk to a model; /help lists what may be typed");
  options->model.add_to(*command);
  command->add_option("--system", options->system, "text before the conversation");
  command->add_option("--chat-format", options->format,
                      "how a conversation is written, instead of as the model's own chat template says: " +
                          tokenizer::chat_format_names());
  add_sampling(*command, options->generate);
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
