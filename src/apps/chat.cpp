// dsmoe chat: a conversation in a terminal, or of lines through a pipe.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <memory>

#include "apps/chat_speed.h"
#include "apps/commands.h"
#include "apps/open_model.h"
#include "apps/progress.h"
#include "apps/stop_signals.h"
#include "apps/weight_sizes.h"
#include "base/error.h"
#include "base/json.h"
#include "base/output.h"
#include "engine/conversation.h"
#include "engine/generate.h"
#include "formats/checkpoint_folders.h"
#include "formats/model_files.h"
#include "spec/counts.h"
#include "terminal/line_editor.h"

namespace dsmoe::apps {
namespace {

struct Options {
  ModelArguments model;
  std::string system, format;
  engine::GenerateOptions generate;
  bool no_history = false;
};

/// Whether the model is a checkpoint of training on text (docs/training.md). Its tokenizer's template says how a
/// conversation would be written, not that the model has ever seen one.
bool trained_on_text(const loading::Model& model) {
  std::error_code ignored;
  return base::fs::is_regular_file(model.path() / "run.toml", ignored) && model.tuned_format().empty();
}

/// What follows a command: without the quotes that a shell would have taken away.
std::string unquoted(std::string text) {
  const bool quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front();
  return quoted ? text.substr(1, text.size() - 2) : text;
}

class Chat {
 public:
  explicit Chat(const Options& options)
      : options_(options),
        model_(open_model(options.model)),
        encoder_(model_.chat_encoder(options.format)),
        conversation_(encoder_, *model_.tokenizer(), options.system),
        session_(model_.engine()),
        editor_(command_names()) {
    options_.generate.ends = model_.end_tokens();
    options_.generate.ends.push_back(encoder_.end_of_turn());
  }

  void run() {
    introduce();
    if (editor_.is_terminal()) {
      if (!options_.no_history) remember();
      std::cerr << "/help lists the commands\n";
    }
    for (bool was_interrupted = false;;) {
      const auto line = editor_.read("> ", ". ");
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
  struct Command {
    std::string name;
    std::vector<std::string> also;  ///< other names
    std::string argument;           ///< as the list shows it
    std::string help;
    void (Chat::*act)(const std::string& argument);
  };
  static const std::vector<Command>& commands() {
    static const std::vector<Command> all = {
        {"/help", {"/?"}, "", "this list", &Chat::help},
        {"/clear", {"/new"}, "", "forget the conversation", &Chat::clear},
        {"/system", {}, "TEXT", "the same, with TEXT before it (none: without)", &Chat::system},
        {"/again", {"/regen"}, "", "another answer to the last question", &Chat::again},
        {"/undo", {}, "", "take back the last question and its answer", &Chat::undo},
        {"/temp", {}, "X", "temperature; 0: always the likeliest token", &Chat::set_temperature},
        {"/save", {}, "FILE", "write the conversation as text; --force FILE over one that is there", &Chat::save},
        {"/tokens", {}, "", "how much of the context is used", &Chat::tokens},
        {"/stats", {}, "", "speed, and what the cache holds", &Chat::stats},
        {"/quit", {"/exit", "/bye"}, "", "leave; so do Ctrl-D, and Ctrl-C twice", &Chat::quit},
    };
    return all;
  }
  static std::vector<std::string> command_names() {
    std::vector<std::string> names;
    for (const Command& command : commands()) names.push_back(command.name);
    return names;
  }

  // The model as a person may know it, and what to expect of it.
  void introduce() {
    const spec::ModelConfig& config = model_.config();
    const double all = static_cast<double>(spec::count_parameters(config).total());
    const double activated = static_cast<double>(spec::count_activated(config).total());
    const WeightSizes sizes = weight_sizes(model_.engine().weights());
    std::cerr << formats::model_name(model_.path()) << ": " << count_text(all) << " parameters";
    if (activated < all) std::cerr << ", " << count_text(activated) << " of them for each token";
    std::cerr << "; " << sizes.type << ", " << bytes_text(static_cast<double>(sizes.all)) << "; context of "
              << config.max_position_embeddings << " tokens; chat format " << encoder_.format().name << "; seed "
              << options_.generate.sampling.seed << "\n";
    if (!options_.format.empty()) return;
    if (!options_.model.adapters.empty()) return;  // they may have taught it
    if (model_.chat_template().empty()) {
      std::cerr
          << "the model has no chat template: it is probably a base model, which continues a text rather than "
             "answers. The conversation is written as User: and Assistant: (--chat-format chooses another form)\n";
    } else if (trained_on_text(model_)) {
      std::cerr << "this is a base model, trained on text alone: it continues what it reads rather than answers\n";
    }
  }

  void remember() {
    try {
      if (const auto file = terminal::state_file("chat_history")) editor_.history().keep_in(*file);
    } catch (const base::Error& error) {
      std::cerr << "questions are not kept for the next session: " << error.what() << "\n";
    }
  }

  // What the cache has of the conversation stays, the rest is read; the model then answers.
  void answer() {
    const int64_t context = model_.config().max_position_embeddings;
    const int64_t reserve = std::min<int64_t>(context / 4, std::max<int64_t>(16, options_.generate.max_tokens));
    if (const size_t gone = conversation_.make_room(context - reserve); gone > 0) {
      std::cerr << "(the context is full: the "
                << (gone == 1 ? "oldest question is" : std::to_string(gone) + " oldest questions are")
                << " forgotten)\n";
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
    speed_.begin(session_.size(), std::ssize(tokens));
    const engine::Generation result = engine::generate(
        session_, model_.config(), tokens, options_.generate, model_.tokenizer(), [&](int32_t, std::string_view text) {
          speed_.token();
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
    const size_t space = line.find_first_of(" \n");
    const std::string name = line.substr(0, space);
    const size_t more = line.find_first_not_of(" \n", space);
    const std::string rest =
        more == std::string::npos ? "" : line.substr(more, line.find_last_not_of(" \n") + 1 - more);
    for (const Command& command : commands()) {
      if (command.name != name && std::ranges::find(command.also, name) == command.also.end()) continue;
      (this->*command.act)(unquoted(rest));
      return !leave_;
    }
    const std::string near = base::nearest(name, command_names());
    std::cerr << "no command " << base::in_quotes(name)
              << (near.empty() ? "; /help lists them" : "; is it " + near + "?") << "\n";
    return true;
  }

  void help(const std::string&) {
    for (const Command& command : commands()) {
      std::cerr << "  " << std::left << std::setw(18) << command.name + " " + command.argument << command.help << "\n";
    }
    std::cerr << "A line that ends with \\ goes on in the next one, as after Alt-Enter. Ctrl-C stops an answer.\n";
  }

  void quit(const std::string&) { leave_ = true; }

  void clear(const std::string&) { restart(options_.system); }

  void system(const std::string& text) {
    options_.system = text;
    restart(text);
  }

  void tokens(const std::string&) {
    std::cerr << conversation_.tokens().size() << " of " << model_.config().max_position_embeddings << " tokens\n";
  }

  void stats(const std::string&) {
    const int64_t context = model_.config().max_position_embeddings;
    std::cerr << speed_.text() << session_.size() << " tokens in the cache, " << context - session_.size() << " of "
              << context << " left\n";
  }

  void again(const std::string&) {
    if (!conversation_.take_back_answer()) {
      std::cerr << "nothing has been asked\n";
      return;
    }
    if (said_.back().starts_with("Assistant:")) said_.pop_back();
    ++options_.generate.sampling.seed;
    answer();
  }

  void undo(const std::string&) {
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
    if (fault != std::errc() || end != text.data() + text.size() || !std::isfinite(value) || value < 0) {
      std::cerr << "/temp takes a number from 0 on\n";
      return;
    }
    options_.generate.sampling.temperature = value;
  }

  void save(const std::string& argument) {
    const std::string_view kForce = "--force ";
    const bool force = argument.starts_with(kForce);
    const std::string path =
        force ? unquoted(argument.substr(std::min(argument.find_first_not_of(' ', kForce.size()), argument.size())))
              : argument;
    if (path.empty() || path == "--force") {
      std::cerr << "/save takes a file name\n";
      return;
    }
    std::string text = options_.system.empty() ? "" : options_.system + "\n\n";
    for (const std::string& part : said_) text += part + "\n\n";
    base::require_output_file(path, force, formats::model_files(options_.model.path), text.size());
    base::write_file(path, text);
    std::cerr << "written to " << path << "\n";
  }

  Options options_;
  loading::Model model_;
  tokenizer::ChatEncoder encoder_;
  engine::Conversation conversation_;
  engine::Session session_;
  std::vector<int32_t> read_;      // what the session's cache holds
  std::vector<std::string> said_;  // the conversation as text
  ChatSpeed speed_;
  terminal::LineEditor editor_;
  bool leave_ = false;
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
  options->model.add_context(*command);
  command->add_option("--system", options->system, "text before the conversation");
  command->add_option("--chat-format", options->format,
                      "how a conversation is written, instead of as the model's own chat template says: " +
                          tokenizer::chat_format_names());
  add_sampling(*command, options->generate);
  command->add_flag("--no-history", options->no_history,
                    "neither show questions of earlier sessions on the arrow keys nor keep those of this one");
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
