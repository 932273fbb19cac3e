#include "moe/trip.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <string>

#include "base/part_clock.h"
#include "moe/slot_sums.h"

namespace dsmoe::moe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int32_t kElsewhere = -1;

// Which experts of its own each rank is asked for, row by row of those it is sent: K int32, counted from its first.
std::vector<std::string> questions(const Placement& placement, const SlotPlan& going, const Tensor& experts_TK,
                                   const Tensor& kept_TK) {
  const int64_t chosen = experts_TK.size(1);
  const auto* id = experts_TK.data_ptr<int64_t>();
  const bool* kept = kept_TK.defined() ? kept_TK.data_ptr<bool>() : nullptr;
  const auto* token = going.row_N.data_ptr<int32_t>();
  std::vector<std::string> texts;
  for (int rank = 0; rank < placement.group().size(); ++rank) {
    const comm::Stretch experts = placement.of(rank);
    std::vector<int32_t> asked;
    for (int64_t p = going.offsets[static_cast<size_t>(rank)]; p < going.offsets[static_cast<size_t>(rank) + 1]; ++p) {
      for (int64_t slot = token[p] * chosen; slot < (token[p] + 1) * chosen; ++slot) {
        const bool there = (!kept || kept[slot]) && experts.begin <= id[slot] && id[slot] < experts.end;
        asked.push_back(there ? static_cast<int32_t>(id[slot] - experts.begin) : kElsewhere);
      }
    }
    texts.emplace_back(reinterpret_cast<const char*>(asked.data()), asked.size() * sizeof(int32_t));
  }
  return texts;
}

// [T, ranks]: whether a token has a choice there.
Tensor visits(const Placement& placement, const Tensor& experts_TK, const Tensor& kept_TK) {
  const int64_t tokens = experts_TK.size(0), chosen = experts_TK.size(1), ranks = placement.group().size();
  std::vector<int> rank_of;
  for (int64_t e = 0; e < placement.experts(); ++e) rank_of.push_back(placement.rank_of(e));
  const Tensor visits = torch::zeros({tokens, ranks}, torch::kBool);
  const auto* id = experts_TK.data_ptr<int64_t>();
  const bool* kept = kept_TK.defined() ? kept_TK.data_ptr<bool>() : nullptr;
  for (int64_t slot = 0; slot < tokens * chosen; ++slot) {
    if (kept && !kept[slot]) continue;
    visits.data_ptr<bool>()[slot / chosen * ranks + rank_of.at(static_cast<size_t>(id[slot]))] = true;
  }
  return visits;
}

template <class Bytes>
std::vector<Bytes> by_rank(const Tensor& rows, const std::vector<int64_t>& offsets) {
  const int64_t width = rows.size(1) * rows.element_size();
  using Byte = typename Bytes::element_type;
  auto* memory = static_cast<std::byte*>(rows.data_ptr());
  std::vector<Bytes> parts;
  for (size_t r = 0; r + 1 < offsets.size(); ++r) {
    const auto count = static_cast<size_t>((offsets[r + 1] - offsets[r]) * width);
    parts.push_back(count == 0 ? Bytes() : Bytes(static_cast<Byte*>(memory + offsets[r] * width), count));
  }
  return parts;
}

}  // namespace

Trip::Trip(const Placement& placement, const Tensor& experts, const Tensor& kept) : group_(placement.group()) {
  const base::Part part("rows between ranks");
  const Tensor experts_TK = experts.detach().to(torch::kCPU, torch::kInt64).contiguous();
  const Tensor kept_TK = kept.defined() ? kept.to(torch::kCPU).contiguous() : kept;
  const int64_t ranks = group_.size(), chosen = experts_TK.size(1);
  const Tensor all_ranks = torch::arange(ranks, torch::kInt64).expand({experts_TK.size(0), ranks});
  going_ = plan_slots(all_ranks, visits(placement, experts_TK, kept_TK), ranks);

  std::vector<int32_t> asked;
  coming_ = {0};
  for (const std::string& text : group_.all_to_all(questions(placement, going_, experts_TK, kept_TK))) {
    const size_t before = asked.size();
    asked.resize(before + text.size() / sizeof(int32_t));
    std::copy(text.begin(), text.end(), reinterpret_cast<char*>(asked.data() + before));
    coming_.push_back(std::ssize(asked) / chosen);
  }
  experts_RK_ = torch::zeros({coming_.back(), chosen}, torch::kInt64);
  here_RK_ = torch::zeros({coming_.back(), chosen}, torch::kBool);
  for (size_t slot = 0; slot < asked.size(); ++slot) {
    if (asked[slot] == kElsewhere) continue;
    experts_RK_.data_ptr<int64_t>()[slot] = asked[slot];
    here_RK_.data_ptr<bool>()[slot] = true;
  }
}

Tensor Trip::carry(const Tensor& rows, const std::vector<int64_t>& out, const std::vector<int64_t>& in) const {
  const base::Part part("rows between ranks");
  const Tensor given = rows.contiguous(), taken = torch::empty({in.back(), rows.size(1)}, rows.options());
  group_.all_to_all(by_rank<comm::ConstBytes>(given, out), by_rank<comm::Bytes>(taken, in));
  return taken;
}

Tensor Trip::there(const Tensor& values_TW) const {
  return carry(values_TW.index_select(0, going_.row_N), going_.offsets, coming_);
}

Tensor Trip::back(const Tensor& values_RW) const {
  return sums_by_row(going_, carry(values_RW, coming_, going_.offsets));
}

namespace {

struct Ticket : torch::CustomClassHolder {
  Ticket(TripPtr trip, bool there) : trip(std::move(trip)), there(there) {}
  Tensor go(const Tensor& values, bool backward) const {
    return there != backward ? trip->there(values) : trip->back(values);
  }
  TripPtr trip;
  bool there;
};

struct Travel : torch::autograd::Function<Travel> {
  static Tensor forward(AutogradContext* context, const Tensor& values, const c10::intrusive_ptr<Ticket>& ticket) {
    context->saved_data["ticket"] = c10::IValue::make_capsule(ticket);
    return ticket->go(values, false);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto ticket = c10::static_intrusive_pointer_cast<Ticket>(context->saved_data["ticket"].toCapsule());
    return {ticket->go(gradients[0], true), Tensor()};
  }
};

}  // namespace

Tensor there(const TripPtr& trip, const Tensor& values_TW) {
  return Travel::apply(values_TW, c10::make_intrusive<Ticket>(trip, true));
}

Tensor back(const TripPtr& trip, const Tensor& values_RW) {
  return Travel::apply(values_RW, c10::make_intrusive<Ticket>(trip, false));
}

}  // namespace dsmoe::moe
