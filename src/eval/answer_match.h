// When what a model wrote counts as a right answer.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "eval/task.h"

namespace dsmoe::eval {

/// An answer in the form that is compared: lower case, without ASCII punctuation, without the words a, an and the, its
/// words separated by one space each. Natural Questions' rule takes punctuation out ("U.S." is "us"); TriviaQA's puts a
/// space in its place, and counts four quotation marks beyond ASCII to it. kNone only takes white space off both ends.
std::string normalised_answer(std::string_view text, Normalisation rule);

/// Whether `written` is one of the right answers, both normalised.
bool matches_any(std::string_view written, std::span<const std::string> answers, Normalisation rule);

}  // namespace dsmoe::eval
