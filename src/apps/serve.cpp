// dsmoe serve: a model behind HTTP, for OpenAI's clients.
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <thread>

#include "apps/commands.h"
#include "apps/open_model.h"
#include "apps/real_number.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/memory.h"
#include "formats/checkpoint_folders.h"
#include "serve/http.h"
#include "serve/service.h"

namespace dsmoe::apps {
namespace {

struct Options {
  ModelArguments model;
  serve::HttpOptions http;
  int64_t port = 8080, context = 0, slots = 4, queue = 64, timeout = 600, drain = 30;
  double cache_gigabytes = 0;
  bool count_experts = false;
  std::string alias, chat_format, key_file, log_file;
  std::vector<std::string> hosts;
};

// Waits for signals on a thread of its own. Until the server is ready one ends the program, and a second one always.
class Stop {
 public:
  Stop() {
    sigset_t signals;
    ::sigemptyset(&signals);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
      struct sigaction old {};
      ::sigaction(number, nullptr, &old);
      if (number != SIGHUP || old.sa_handler != SIG_IGN) ::sigaddset(&signals, number);  // nohup's wish stands
    }
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // in all threads that are made from now on
    ::signal(SIGPIPE, SIG_IGN);
    std::thread([state = state_, signals] { listen(*state, signals); }).detach();
  }
  /// From now on the first signal ends wait().
  void ready() { state_->ready = true; }
  void wait() {
    std::unique_lock lock(state_->mutex);
    state_->came.wait(lock, [this] { return state_->asked; });
  }

 private:
  struct State {
    std::atomic<bool> ready{false};
    std::mutex mutex;
    std::condition_variable came;
    bool asked = false;
  };
  static void listen(State& state, const sigset_t& signals) {
    for (;;) {
      int number = 0;
      if (::sigwait(&signals, &number) != 0) continue;
      const std::lock_guard lock(state.mutex);
      if (!state.ready || state.asked) std::_Exit(128 + number);
      state.asked = true;
      state.came.notify_all();
    }
  }
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

std::string model_name(const Options& options) {
  if (!options.alias.empty()) return options.alias;
  return formats::model_name(options.model.path);
}

std::vector<std::string> read_keys(const Options& options) {
  std::vector<std::string> keys;
  if (!options.key_file.empty()) keys = serve::read_key_file(options.key_file);
  if (const char* key = std::getenv("DSMOE_API_KEY"); key != nullptr && *key != '\0') keys.emplace_back(key);
  return keys;
}

// Caches for all slots and as much again for known beginnings, but no more than three quarters of what is free.
serve::SchedulerOptions scheduler_options(const Options& options, const engine::Engine& engine) {
  serve::SchedulerOptions scheduler;
  scheduler.slots = options.slots;
  scheduler.count_experts = options.count_experts;
  const int64_t most = engine.config().max_position_embeddings;
  if (options.context > most) {
    base::fail_invalid("serve", "the model has max_position_embeddings = " + std::to_string(most),
                       std::to_string(options.context), "give a smaller -c");
  }
  scheduler.context = options.context > 0 ? options.context : std::min<int64_t>(most, 4096);
  const int64_t one = engine::KvCache::bytes_for(engine.config(), engine.cache_type(), scheduler.context);
  const auto free = static_cast<int64_t>(base::available_memory());
  scheduler.cache_bytes = options.cache_gigabytes > 0 ? static_cast<int64_t>(options.cache_gigabytes * 1e9)
                                                      : std::min(2 * options.slots * one, free / 4 * 3);
  if (scheduler.cache_bytes < one || scheduler.cache_bytes > free) {
    base::fail_invalid("memory",
                       "the caches must have room for one context of " + std::to_string(one) +
                           " bytes and fit into the " + std::to_string(free) + " that are free",
                       std::to_string(scheduler.cache_bytes),
                       "a shorter -c, --cache-type q8_0 or another --cache-memory");
  }
  return scheduler;
}

serve::ServiceOptions service_options(const Options& options) {
  serve::ServiceOptions service;
  service.gate.keys = read_keys(options);
  service.gate.hosts = options.hosts;
  for (std::string& host : service.gate.hosts) {
    std::transform(host.begin(), host.end(), host.begin(), [](unsigned char c) { return std::tolower(c); });
  }
  service.admission.requests = options.slots + options.queue;
  service.admission.slots = options.slots;
  service.admission.tokens = 16384 * (options.slots + 4);
  service.longest_work = std::chrono::seconds(options.timeout);
  service.version = version_text();
  if (options.log_file == "-") {
    service.log = [](const std::string& line) { std::cout << line + "\n" << std::flush; };
  } else if (!options.log_file.empty()) {
    auto log = std::make_shared<base::AppendLog>(options.log_file);
    service.log = [log](const std::string& line) { log->append(line + "\n"); };  // on the engine's thread alone
  }
  return service;
}

void warn_if_open_to_all(const Options& options, bool has_keys) {
  const bool loopback =
      options.http.host == "localhost" || options.http.host.starts_with("127.") || options.http.host == "::1";
  if (loopback || has_keys) return;
  std::cerr << "warning: anybody who reaches " << options.http.host
            << " may use this server: there is no key (--api-key-file, or DSMOE_API_KEY)\n";
}

void act(Options options) {
  if (options.cache_gigabytes < 0) {
    base::fail(base::ErrorKind::kUsage, "serve", "--cache-memory must be 0 or more",
               std::to_string(options.cache_gigabytes));
  }
  options.http.port = static_cast<uint16_t>(options.port);
  if (!options.chat_format.empty()) tokenizer::chat_format_named(options.chat_format);  // before the model is opened
  serve::ServiceOptions described = service_options(options);
  Stop stop;
  warn_if_open_to_all(options, !described.gate.keys.empty());
  serve::Service service(std::move(described));
  serve::HttpServer http(options.http,
                         [&](const serve::HttpRequest& request, std::shared_ptr<serve::ResponseWriter> writer) {
                           service.handle(request, std::move(writer));
                         });
  loading::Model model = open_model(options.model);
  serve::BackendOptions backend{model_name(options), options.chat_format, scheduler_options(options, model.engine())};
  service.open(std::make_shared<serve::Backend>(std::move(model), backend));
  stop.ready();
  const std::string shown =
      options.http.host.find(':') == std::string::npos ? options.http.host : "[" + options.http.host + "]";
  std::cerr << "serving " << base::in_quotes(backend.name) << " at http://" << shown << ":" << http.port() << "/v1, "
            << backend.scheduler.slots << " slots of " << backend.scheduler.context << " tokens; Ctrl-C stops\n";
  stop.wait();
  std::cerr << "answering what has been asked (" << options.drain << " s at most); once more to stop now\n";
  service.drain(std::chrono::seconds(options.drain));
  http.drain(std::chrono::seconds(2));
}

}  // namespace

void add_serve(CLI::App& program) {
  auto options = std::make_shared<Options>();
  options->model.cache_type = "f16";
  CLI::App* command = program.add_subcommand("serve", "Answer OpenAI's clients over HTTP (docs/serving.md)");
  options->model.add_to(*command);
  command
      ->add_option("--host", options->http.host,
                   "the address to listen at; others than this machine's own are open to its network")
      ->capture_default_str();
  add_whole_number(*command, "--port", options->port, "0: any that is free", {0, 65535});
  add_whole_number(*command, "-c,--ctx-size", options->context,
                   "tokens of a prompt and its answer; 0: what the model has, at most 4096", {0, int64_t{1} << 30});
  add_whole_number(*command, "--np,--parallel", options->slots, "texts that are computed at a time (-np)", {1, 256});
  add_whole_number(*command, "--queue", options->queue, "requests that may wait for one; more are refused", {0, 4096});
  add_real_number(*command, "--cache-memory", options->cache_gigabytes,
                  "gigabytes for keys and values, known beginnings included; 0: twice what the slots can take");
  command->add_option("--alias", options->alias, "the model's name for clients; else its file's or folder's");
  command->add_option("--chat-format", options->chat_format,
                      "how a conversation is written, instead of as the model's own chat template says: " +
                          tokenizer::chat_format_names());
  command->add_option("--api-key-file", options->key_file,
                      "keys, one a line, in a file that only its owner may read; DSMOE_API_KEY gives one too");
  command->add_option("--allow-host", options->hosts, "a name that the server goes by, beside localhost and addresses")
      ->allow_extra_args(false);
  command->add_option("--request-log", options->log_file,
                      "a line of JSON for each generation, without its text; -: standard output");
  command->add_flag("--expert-metrics", options->count_experts, "/metrics tells how many tokens each expert has read");
  add_whole_number(*command, "--timeout", options->timeout, "seconds that a request may take", {1, 86400});
  add_whole_number(*command, "--drain", options->drain, "seconds that answers may still take after Ctrl-C or SIGTERM",
                   {0, 86400});
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
