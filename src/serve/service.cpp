#include "serve/service.h"

#include <algorithm>
#include <ctime>
#include <numeric>
#include <utility>

#include "serve/answer.h"
#include "serve/fields.h"
#include "serve/web_files.h"
#include "tokenizer/utf8_stream.h"

namespace dsmoe::serve {
namespace {

using base::Json;
using Writer = std::shared_ptr<ResponseWriter>;

void reply(ResponseWriter& writer, const Json& body) {
  writer.respond({200, "application/json", {}, base::dump_json(body)});
}

HttpResponse response_of(const ApiError& error) {
  HttpResponse response{error.status(), "application/json", {}, base::dump_json(error.body())};
  if (error.retry_after()) response.headers.emplace_back("Retry-After", std::to_string(*error.retry_after()));
  if (error.status() == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

// Counts the statuses of what goes through.
class CountingWriter : public ResponseWriter {
 public:
  CountingWriter(Writer writer, std::shared_ptr<Metrics> metrics)
      : writer_(std::move(writer)), metrics_(std::move(metrics)) {}
  void respond(HttpResponse response) override {
    metrics_->answered(response.status);
    writer_->respond(std::move(response));
  }
  void begin(HttpResponse head) override {
    metrics_->answered(head.status);
    writer_->begin(std::move(head));
  }
  void write(std::string piece) override { writer_->write(std::move(piece)); }
  void end(bool whole) override { writer_->end(whole); }
  void on_gone(std::function<void()> gone) override { writer_->on_gone(std::move(gone)); }

 private:
  Writer writer_;
  std::shared_ptr<Metrics> metrics_;
};

// A body must say that it is JSON: what a page from elsewhere can send without being asked for leave never does.
void require_json(const HttpRequest& request) {
  if (const std::string* encoding = request.header("content-encoding"); encoding && *encoding != "identity") {
    throw ApiError(415, "a body must come as it is, without Content-Encoding").code("unsupported_encoding");
  }
  const std::string* type = request.header("content-type");
  if (type != nullptr && !type->starts_with("application/json")) {
    throw ApiError(415, "the body must be JSON: send the header Content-Type: application/json")
        .code("unsupported_media_type");
  }
}

}  // namespace

const std::vector<Service::Route>& Service::routes() {
  static const std::vector<Route> all = {
      {"GET", "/health", true, &Service::health},
      {"GET", "/version", false, &Service::version},
      {"GET", "/metrics", false, &Service::metrics},
      {"GET", "/v1/models", false, &Service::models},
      {"GET", "/v1/models/*", false, &Service::model},
      {"POST", "/v1/completions", false, &Service::completions},
      {"POST", "/v1/chat/completions", false, &Service::chat_completions},
      {"POST", "/tokenize", false, &Service::tokenize},
      {"POST", "/detokenize", false, &Service::detokenize},
      {"GET", "/tokenizer_info", false, &Service::tokenizer_info},
      {"GET", "/", true, &Service::file},
  };
  static const std::vector<Route> with_files = [] {
    std::vector<Route> routes = all;
    for (const WebFile& file : web_files())
      routes.push_back({"GET", "/" + std::string(file.name), true, &Service::file});
    return routes;
  }();
  return with_files;
}

Service::Service(ServiceOptions options)
    : options_(std::move(options)), gate_(options_.gate), admission_(std::make_shared<Admission>(options_.admission)) {}

void Service::open(std::shared_ptr<Backend> backend) {
  const std::lock_guard lock(mutex_);
  backend_ = std::move(backend);
  opened_ = std::time(nullptr);
}

std::shared_ptr<Backend> Service::backend() const {
  const std::lock_guard lock(mutex_);
  if (!backend_) throw still_loading();
  return backend_;
}

void Service::drain(std::chrono::milliseconds longest) {
  admission_->close();
  std::shared_ptr<Backend> backend;
  {
    const std::lock_guard lock(mutex_);
    draining_ = true;
    backend = backend_;
  }
  if (backend) backend->worker().drain(longest);
}

namespace {

// Routes of OpenAI's that clients try and that are left out here, with what to do instead.
struct Absent {
  std::string_view path, what;
};
constexpr Absent kAbsent[] = {
    {"/v1/responses", "no responses API; /v1/chat/completions answers conversations"},
    {"/v1/embeddings", "no embeddings"},
    {"/v1/images", "no images"},
    {"/v1/audio", "no audio"},
    {"/v1/moderations", "no moderations"},
    {"/v1/fine_tuning", "no fine-tuning; `dsmoe sft` does it"},
    {"/v1/files", "no files"},
    {"/v1/batches", "no batches"},
};

[[noreturn]] void refuse_path(const std::string& path) {
  for (const Absent& absent : kAbsent) {
    const bool is_below =
        path.starts_with(absent.path) && (path.size() == absent.path.size() || path[absent.path.size()] == '/');
    if (is_below) throw ApiError(404, "this server has " + std::string(absent.what)).code("unsupported_path");
  }
  throw ApiError(404, "there is nothing at this path").code("unknown_path");
}

}  // namespace

const Service::Route& Service::route_of(const HttpRequest& request) const {
  const Route* with_other_method = nullptr;
  for (const Route& route : routes()) {
    const bool whole_family = route.path.ends_with('*');
    const std::string_view stem = std::string_view(route.path).substr(0, route.path.size() - (whole_family ? 1 : 0));
    if (whole_family ? !request.path.starts_with(stem) : request.path != stem) continue;
    if (route.method == request.method) return route;
    with_other_method = &route;
  }
  if (with_other_method) throw ApiError(405, request.path + " takes " + with_other_method->method);
  refuse_path(request.path);
}

void Service::handle(const HttpRequest& request, std::shared_ptr<ResponseWriter> network) {
  const Writer writer = std::make_shared<CountingWriter>(std::move(network), metrics_);
  try {
    gate_.check_way(request);
    const bool is_open = std::any_of(routes().begin(), routes().end(),
                                     [&](const Route& route) { return route.open && route.path == request.path; });
    if (!is_open) gate_.check_key(request);
    const Route& route = route_of(request);
    if (route.method == "POST") require_json(request);
    (this->*route.answer)(request, writer);
  } catch (const std::exception& error) {
    writer->respond(response_of(as_api_error(error)));
  }
}

void Service::health(const HttpRequest&, const Writer& writer) {
  backend();
  const std::lock_guard lock(mutex_);
  if (draining_) throw shutting_down();
  reply(*writer, {{"status", "ok"}});
}

// The page holds no secret and asks for the key itself. Nothing in it comes from elsewhere, and nothing that a model
// says can run.
void Service::file(const HttpRequest& request, const Writer& writer) {
  const std::string name = request.path == "/" ? "index.html" : request.path.substr(1);
  for (const WebFile& file : web_files()) {
    if (file.name != name) continue;
    return writer->respond(
        {200,
         std::string(file.type),
         {{"Content-Security-Policy",
           "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
           "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
          {"Referrer-Policy", "no-referrer"},
          {"Cache-Control", "no-cache"}},
         std::string(file.text)});
  }
}

void Service::version(const HttpRequest&, const Writer& writer) { reply(*writer, {{"version", options_.version}}); }

void Service::metrics(const HttpRequest&, const Writer& writer) {
  const auto served = backend();
  writer->respond({200,
                   "text/plain; version=0.0.4; charset=utf-8",
                   {},
                   metrics_->text(served->worker().load(), served->config().n_routed_experts)});
}

Json Service::model_object(Backend& backend) const {
  return {{"id", backend.name()},
          {"object", "model"},
          {"created", opened_},
          {"owned_by", "dsmoe"},
          {"max_model_len", backend.context()},
          {"mixture", backend.mixture()}};
}

void Service::models(const HttpRequest&, const Writer& writer) {
  reply(*writer, {{"object", "list"}, {"data", Json::array({model_object(*backend())})}});
}

void Service::model(const HttpRequest& request, const Writer& writer) {
  const auto served = backend();
  const std::string name = request.path.substr(std::string_view("/v1/models/").size());
  if (name != served->name())
    throw ApiError(404, "no model of this name is here").param("model").code("model_not_found");
  reply(*writer, model_object(*served));
}

RequestContext Service::context_of(const Backend& backend) const {
  return {backend.name(), backend.config().vocab_size, options_.limits, &backend.config()};
}

// A place in the house comes before anything is parsed, so that what is too much costs next to nothing.
void Service::completions(const HttpRequest& request, const Writer& writer) {
  const auto served = backend();
  auto ticket = admission_->enter();
  generate(read_completion(parse_body(request.body), context_of(*served)), served, std::move(ticket), writer);
}

void Service::chat_completions(const HttpRequest& request, const Writer& writer) {
  const auto served = backend();
  auto ticket = admission_->enter();
  generate(read_chat(parse_body(request.body), context_of(*served)), served, std::move(ticket), writer);
}

namespace {

std::vector<Backend::Prompt> prompts_of(const GenerationRequest& request, Backend& backend) {
  std::vector<Backend::Prompt> prompts;
  if (request.chat) {
    prompts.push_back(backend.chat_prompt(request.messages, request.answers));
  } else {
    for (const TextOrIds& given : request.prompts) prompts.push_back(backend.prompt(given, request.add_special));
  }
  return prompts;
}

// Answers have as much room as the longest prompt leaves, where nothing else is said.
void fit_into_context(GenerationRequest& request, const std::vector<Backend::Prompt>& prompts, int64_t context) {
  const char* param = request.chat ? "messages" : "prompt";
  int64_t longest = 0;
  for (const Backend::Prompt& prompt : prompts) {
    if (prompt.ids.empty()) throw bad_request(param, std::string(param) + " must not be empty");
    longest = std::max(longest, std::ssize(prompt.ids));
  }
  if (request.generate.max_tokens < 0 && longest < context) request.generate.max_tokens = context - longest;
  const int64_t answer = std::max<int64_t>(request.generate.max_tokens, 0);
  if (longest > context - answer || request.generate.max_tokens < 0) {
    throw bad_request(param, "this server's context has " + std::to_string(context) +
                                 " tokens: " + std::to_string(longest) + " of the prompt and " +
                                 std::to_string(answer) + " of the answer do not fit")
        .code("context_length_exceeded");
  }
}

}  // namespace

void Service::generate(GenerationRequest request, const std::shared_ptr<Backend>& backend,
                       std::shared_ptr<Admission::Ticket> ticket, const Writer& writer) {
  std::vector<Backend::Prompt> prompts = prompts_of(request, *backend);
  fit_into_context(request, prompts, backend->context());
  std::vector<int64_t> lengths;
  for (const Backend::Prompt& prompt : prompts) lengths.push_back(std::ssize(prompt.ids));
  require_share(request, lengths, context_of(*backend));
  ticket->add_tokens(request.readings() * std::accumulate(lengths.begin(), lengths.end(), int64_t{0}));
  const std::vector<int32_t> ends = backend->ends(request.chat);
  request.generate.ends.insert(request.generate.ends.end(), ends.begin(), ends.end());
  if (request.form) request.generate.rule = backend->rule_of(request.form);
  const auto answer =
      std::make_shared<Answer>(AnswerParts{backend.get(), writer, std::move(ticket), metrics_, options_.log},
                               std::move(request), std::move(prompts));
  Work work;
  work.id = next_id_++;
  work.sequences = answer->sequences();
  work.listener = answer;
  const auto now = Clock::now();
  work.start_by = now + options_.longest_wait;
  work.finish_by = now + options_.longest_work;
  const uint64_t id = work.id;
  backend->worker().add(std::move(work));
  writer->on_gone([id, weak = std::weak_ptr(backend)] {
    if (const auto still = weak.lock()) still->worker().cancel(id);
  });
}

void Service::tokenize(const HttpRequest& request, const Writer& writer) {
  const auto served = backend();
  const Json body = parse_body(request.body);
  const Fields fields(body);
  std::vector<int32_t> ids;
  if (fields.find("messages") != nullptr) {
    const auto messages = read_messages(fields.require("messages"));
    ids = served->chat_prompt(messages, fields.boolean("add_generation_prompt", true)).ids;
  } else {
    const auto content = fields.text("content");  // the name that llama.cpp has for it
    const auto prompt = content ? content : fields.text("prompt");
    if (!prompt) throw bad_request("prompt", "prompt is required");
    const bool special = content ? fields.boolean("add_special", false) : fields.boolean("add_special_tokens", true);
    ids = served->tokenizer().encode(*prompt, special);
  }
  reply(*writer, {{"count", ids.size()}, {"max_model_len", served->context()}, {"tokens", ids}});
}

void Service::detokenize(const HttpRequest& request, const Writer& writer) {
  const auto served = backend();
  const Json body = parse_body(request.body);
  const Fields fields(body);
  const Json& list = fields.require("tokens");
  if (!list.is_array()) fields.refuse("tokens", "must be a list of token ids");
  const std::string text = tokenizer::replace_invalid_utf8(
      served->tokenizer().decode(token_ids(list, served->config().vocab_size, "tokens")));
  reply(*writer, {{"prompt", text}, {"content", text}});
}

void Service::tokenizer_info(const HttpRequest&, const Writer& writer) { reply(*writer, backend()->tokenizer_info()); }

}  // namespace dsmoe::serve
