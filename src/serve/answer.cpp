#include "serve/answer.h"

#include <algorithm>
#include <ctime>
#include <random>
#include <utility>

namespace dsmoe::serve {
namespace {

using base::Json;

std::string new_id(bool chat) {
  std::random_device device;
  std::string id = chat ? "chatcmpl-" : "cmpl-";
  for (int i = 0; i < 4; ++i) {
    char part[9];
    std::snprintf(part, sizeof part, "%08x", device());
    id += part;
  }
  return id;
}

double seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

// What has been made of one choice.
struct Answer::Choice {
  explicit Choice(TokenText text) : completion_scores(text) {}
  std::string text;  // of an answer that goes out whole
  CompletionScores completion_scores;
  Json chat_scores = Json::array();
  RoutedTokens routed;  // that have not been sent
  int64_t offset = 0;   // of the next token's text, in code points
  int64_t tokens = 0;   // chosen
  bool may_begin_with_space = false;
  std::optional<engine::Finish> finish;
  std::optional<Clock::time_point> last_token;
};

Answer::Answer(AnswerParts parts, GenerationRequest request, std::vector<Backend::Prompt> prompts)
    : parts_(std::move(parts)),
      request_(std::move(request)),
      prompts_(std::move(prompts)),
      head_{new_id(request_.chat), parts_.backend->name(), std::time(nullptr), request_.chat, request_.stream},
      token_text_(parts_.backend->tokenizer(), request_.tokens_as_ids),
      came_(parts_.ticket ? parts_.ticket->since() : Clock::now()) {
  for (size_t i = 0; i < prompts_.size() * static_cast<size_t>(request_.n); ++i) {
    choices_.emplace_back(token_text_);
    choices_.back().may_begin_with_space = request_.chat && parts_.backend->answers_begin_with_space();
  }
}

Answer::~Answer() {
  if (!ended_) ended(499);  // the client has left: nobody will hear of it
}

std::vector<SequenceWork> Answer::sequences() const {
  std::vector<SequenceWork> all;
  for (const Backend::Prompt& prompt : prompts_) {
    for (int64_t k = 0; k < request_.n; ++k) {
      SequenceWork work{prompt.ids, request_.generate, request_.echo && request_.scores, request_.intervention,
                        request_.routed_experts};
      work.generate.sampling.seed += static_cast<uint64_t>(k);
      all.push_back(std::move(work));
    }
  }
  return all;
}

void Answer::on_start(size_t) {
  if (!started_) started_ = Clock::now();
}

void Answer::on_prompt(size_t sequence, int64_t cached, std::vector<engine::TokenScore> scores) {
  if (sequence % static_cast<size_t>(request_.n) == 0) cached_ += cached;
  if (request_.stream) begin_stream();
  if (request_.chat) {
    Json delta = {{"role", "assistant"}, {"content", ""}};
    if (request_.stream) {
      send_event(
          Json::array(
              {{{"index", sequence}, {"delta", std::move(delta)}, {"logprobs", nullptr}, {"finish_reason", nullptr}}}),
          false);
    }
  } else {
    echo(sequence, std::move(scores));
  }
}

void Answer::begin_stream() {
  if (std::exchange(begun_, true)) return;
  parts_.writer->begin({200, "text/event-stream", {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}}});
}

// The prompt as a part of the answer, where that is asked for; where not, its length still counts for offsets.
void Answer::echo(size_t index, std::vector<engine::TokenScore> scores) {
  const Backend::Prompt& prompt = prompt_of(index);
  const tokenizer::Tokenizer& tokenizer = parts_.backend->tokenizer();
  Choice& choice = choices_[index];
  for (size_t i = 0; i < prompt.ids.size(); ++i) {
    const int32_t token = prompt.ids[i];
    if (request_.echo && request_.scores) {
      const std::optional<engine::TokenScore> score = i > 0 ? std::optional(scores[i - 1]) : std::nullopt;
      choice.completion_scores.add(token, score, choice.offset);
    }
    if (static_cast<int64_t>(i) >= prompt.before) choice.offset += code_points(tokenizer.token_bytes(token));
  }
  if (!request_.echo) return;
  const std::string text = tokenizer::replace_invalid_utf8(
      tokenizer.decode(std::span(prompt.ids).subspan(static_cast<size_t>(prompt.before))));
  if (request_.stream) {
    send(index, text, nullptr);
  } else {
    choice.text = text;
  }
}

void Answer::add_score(Choice& choice, int32_t token, const std::optional<engine::TokenScore>& score) {
  if (request_.chat) {
    choice.chat_scores.push_back(chat_score(token_text_, *score));
  } else {
    choice.completion_scores.add(token, score, choice.offset);
    choice.offset += code_points(parts_.backend->tokenizer().token_bytes(token));
  }
}

void Answer::on_routing(size_t sequence, RoutedTokens routed) {
  RoutedTokens& waiting = choices_[sequence].routed;
  if (waiting.experts.empty()) {
    waiting = std::move(routed);
    return;
  }
  waiting.experts.insert(waiting.experts.end(), routed.experts.begin(), routed.experts.end());
  waiting.affinities.insert(waiting.affinities.end(), routed.affinities.begin(), routed.affinities.end());
}

// In a chat the token that ends an answer is no part of it; a completion's lists have it, as scores are summed by
// place.
bool Answer::is_end(int32_t token) const {
  const std::vector<int32_t>& ends = request_.generate.ends;
  return std::find(ends.begin(), ends.end(), token) != ends.end();
}

void Answer::on_step(size_t sequence, const engine::Step& step) {
  Choice& choice = choices_[sequence];
  const auto now = Clock::now();
  ++choice.tokens;
  if (choice.last_token) parts_.metrics->next_token(seconds(*choice.last_token, now));
  choice.last_token = now;
  if (!first_token_) {
    first_token_ = now;
    parts_.metrics->first_token(seconds(came_, now));
  }
  const bool scored = step.score && !(request_.chat && is_end(step.token));
  if (scored) add_score(choice, step.token, step.score);
  std::string text = step.text;
  if (choice.may_begin_with_space && !text.empty()) {
    if (text.front() == ' ') text.erase(0, 1);
    choice.may_begin_with_space = false;
  }
  if (!request_.stream) {
    choice.text += text;
  } else if (!text.empty() || scored || !choice.routed.experts.empty()) {
    send(sequence, text, nullptr);
  }
}

void Answer::on_finish(size_t sequence, engine::Finish finish) {
  choices_[sequence].finish = finish;
  parts_.metrics->finished(std::string(finish_reason(finish)));
  if (request_.stream) send(sequence, "", finish_reason(finish));
}

void Answer::on_end() {
  if (request_.stream) {
    begin_stream();
    if (request_.include_usage) send_event(Json::array(), true);
    parts_.writer->write(std::string(kLastEvent));
    parts_.writer->end();
  } else {
    Json choices = Json::array();
    for (size_t i = 0; i < choices_.size(); ++i) choices.push_back(whole_choice(i));
    Json body = head_.object(std::move(choices));
    body["usage"] = usage().json();
    parts_.writer->respond({200, "application/json", {}, base::dump_json(body)});
  }
  ended(200);
}

void Answer::on_failure(const ApiError& error) {
  if (begun_) {
    parts_.writer->write(event(error.body()));
    parts_.writer->end();
  } else {
    HttpResponse response{error.status(), "application/json", {}, base::dump_json(error.body())};
    if (error.retry_after()) response.headers.emplace_back("Retry-After", std::to_string(*error.retry_after()));
    parts_.writer->respond(std::move(response));
  }
  ended(error.status());
}

Json Answer::take_scores(Choice& choice) {
  if (!request_.scores) return nullptr;
  if (!request_.chat) return choice.completion_scores.take();
  return {{"content", std::exchange(choice.chat_scores, Json::array())}, {"refusal", nullptr}};
}

// A piece of a stream: text with what is known of its tokens, or the reason why there is no more.
void Answer::send(size_t index, const std::string& text, Json finish) {
  Json choice = {{"index", index}};
  if (request_.chat) {
    choice["delta"] = finish.is_null() ? Json{{"content", text}} : Json::object();
  } else {
    choice["text"] = text;
  }
  choice["logprobs"] = finish.is_null() ? take_scores(choices_[index]) : Json();
  if (RoutedTokens& routed = choices_[index].routed; !routed.experts.empty()) {
    choice["routed_experts"] = std::exchange(routed, {}).json();
  }
  choice["finish_reason"] = std::move(finish);
  send_event(Json::array({std::move(choice)}), false);
}

void Answer::send_event(Json choices, bool last) {
  Json body = head_.object(std::move(choices));
  if (request_.include_usage) body["usage"] = last ? usage().json() : Json();
  parts_.writer->write(event(body));
}

Json Answer::whole_choice(size_t index) {
  Choice& choice = choices_[index];
  Json json = {{"index", index}};
  if (request_.chat) {
    json["message"] = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
  } else {
    json["text"] = choice.text;
  }
  json["logprobs"] = take_scores(choice);
  if (request_.routed_experts) {
    json["routed_experts"] = choice.routed.experts_npy(parts_.backend->config().n_routed_experts);
    json["routed_affinities"] = choice.routed.affinities_npy();
  }
  json["finish_reason"] = choice.finish ? Json(finish_reason(*choice.finish)) : Json();
  return json;
}

Usage Answer::usage() const {
  Usage usage;
  for (const Backend::Prompt& prompt : prompts_) usage.prompt_tokens += std::ssize(prompt.ids);
  for (const Choice& choice : choices_) usage.completion_tokens += choice.tokens;
  usage.cached_tokens = cached_;
  return usage;
}

void Answer::ended(int status) {
  ended_ = true;
  const auto now = Clock::now();
  parts_.metrics->request_ended(seconds(came_, now));
  if (!parts_.log) return;
  const auto milliseconds = [&](const std::optional<Clock::time_point>& at) {
    return at ? Json(static_cast<int64_t>(seconds(came_, *at) * 1e3)) : Json();
  };
  const Usage used = usage();
  Json line = {{"time", head_.created},
               {"id", head_.id},
               {"model", head_.model},
               {"status", status},
               {"stream", request_.stream},
               {"prompt_tokens", used.prompt_tokens},
               {"cached_tokens", used.cached_tokens},
               {"completion_tokens", used.completion_tokens},
               {"queue_ms", milliseconds(started_)},
               {"ttft_ms", milliseconds(first_token_)},
               {"total_ms", milliseconds(now)}};
  Json reasons = Json::array();
  for (const Choice& choice : choices_) {
    reasons.push_back(choice.finish ? Json(finish_reason(*choice.finish)) : Json());
  }
  line["finish_reason"] = std::move(reasons);
  parts_.log(base::dump_json(line));
}

}  // namespace dsmoe::serve
