// The answer to a request that generates: hears what the scheduler makes of it and writes it, whole or as a stream.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "serve/admission.h"
#include "serve/backend.h"
#include "serve/exchange.h"
#include "serve/metrics.h"
#include "serve/reply.h"
#include "serve/request.h"
#include "serve/scheduler.h"

namespace dsmoe::serve {

/// What an answer needs of the server around it.
struct AnswerParts {
  Backend* backend = nullptr;  ///< outlives the answer: its worker ends all of them
  std::shared_ptr<ResponseWriter> writer;
  std::shared_ptr<Admission::Ticket> ticket;  ///< given back with the answer
  std::shared_ptr<Metrics> metrics;
  std::function<void(const std::string& line)> log;  ///< one line of JSON when it has ended
};

class Answer : public Listener {
 public:
  /// `prompts`: of the request, in order.
  Answer(AnswerParts parts, GenerationRequest request, std::vector<Backend::Prompt> prompts);
  ~Answer() override;

  /// A sequence for each choice: n for the first prompt, n for the second ...
  std::vector<SequenceWork> sequences() const;

  void on_start(size_t sequence) override;
  void on_prompt(size_t sequence, int64_t cached, std::vector<engine::TokenScore> scores) override;
  void on_routing(size_t sequence, RoutedTokens routed) override;
  void on_step(size_t sequence, const engine::Step& step) override;
  void on_finish(size_t sequence, engine::Finish finish) override;
  void on_end() override;
  void on_failure(const ApiError& error) override;

 private:
  struct Choice;
  const Backend::Prompt& prompt_of(size_t choice) const { return prompts_[choice / static_cast<size_t>(request_.n)]; }
  void begin_stream();
  void echo(size_t index, std::vector<engine::TokenScore> scores);
  void add_score(Choice& choice, int32_t token, const std::optional<engine::TokenScore>& score);
  base::Json take_scores(Choice& choice);
  bool is_end(int32_t token) const;
  void send(size_t index, const std::string& text, base::Json finish);
  void send_event(base::Json choices, bool last);
  base::Json whole_choice(size_t index);
  Usage usage() const;
  void ended(int status);

  AnswerParts parts_;
  GenerationRequest request_;
  std::vector<Backend::Prompt> prompts_;
  ReplyHead head_;
  TokenText token_text_;
  std::vector<Choice> choices_;
  bool begun_ = false, ended_ = false;
  int64_t cached_ = 0;
  Clock::time_point came_;
  std::optional<Clock::time_point> started_, first_token_;
};

}  // namespace dsmoe::serve
