#include "train/optimizer.h"

#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/error.h"

namespace dsmoe::train {
namespace {

constexpr int64_t kChunk = 1 << 16;

// body(T{}) with T the type that parameters have.
template <class Body>
void with_type(torch::ScalarType type, const Body& body) {
  type == torch::kDouble ? body(double{}) : body(float{});
}

template <class T>
std::span<T> elements(const torch::Tensor& tensor) {
  return {tensor.data_ptr<T>(), static_cast<size_t>(tensor.numel())};
}

// The tensors that `of` gives of each parameter, end to end.
template <class T, class Of>
comm::Pieces<T> end_to_end(const std::vector<const Parameter*>& parameters, const Of& of) {
  std::vector<std::span<T>> arrays;
  for (const Parameter* parameter : parameters) arrays.push_back(elements<T>(of(*parameter)));
  return comm::Pieces<T>(arrays);
}

}  // namespace

std::vector<int64_t> Parameter::whole_sizes() const {
  std::vector<int64_t> sizes = value.sizes().vec();
  if (experts > 0) sizes.front() = experts;
  return sizes;
}

int64_t Parameter::whole_numel() const {
  const std::vector<int64_t> sizes = whole_sizes();
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
}

AdamW::AdamW(std::vector<Parameter> parameters, const AdamWOptions& options, base::ParallelFor parallel_for,
             comm::Mesh mesh)
    : parameters_(std::move(parameters)),
      type_(parameters_.empty() ? torch::kFloat : parameters_.front().value.scalar_type()),
      mesh_(std::move(mesh)),
      options_(options),
      parallel_for_(std::move(parallel_for)) {
  const torch::NoGradGuard no_grad;
  DSMOE_CHECK(type_ == torch::kFloat || type_ == torch::kDouble, "optimised tensors are float32 or float64");
  for (Parameter& parameter : parameters_) {
    torch::Tensor& value = parameter.value;
    DSMOE_CHECK(value.scalar_type() == type_ && value.is_contiguous() && value.device().is_cpu(),
                "optimised tensors are of one type, contiguous and on the CPU: " + parameter.name);
    value.mutable_grad() = torch::zeros_like(value);
  }
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const int rank = mesh_.world().rank();
    const comm::Stretch here = held(i, rank), mine = kept(i, rank);
    DSMOE_CHECK(here.size() == parameters_[i].value.numel(), "a stack's share: " + parameters_[i].name);
    own_.push_back({mine.begin - here.begin, mine.end - here.begin});
    first_.push_back(torch::zeros({own_[i].size()}, type_));
    second_.push_back(torch::zeros_like(first_[i]));
    for (int64_t at = own_[i].begin; at < own_[i].end; at += kChunk) {
      chunks_.push_back({i, at, std::min(at + kChunk, own_[i].end)});
    }
  }
}

const comm::Group& AdamW::ranks_of(size_t i) const {
  return parameters_[i].experts > 0 ? mesh_.copies() : mesh_.world();
}

comm::Stretch AdamW::held(size_t i, int rank) const {
  const Parameter& p = parameters_[i];
  if (p.experts == 0) return {0, p.value.numel()};
  const int64_t each = p.value.numel() / p.value.size(0);
  const comm::Stretch experts = mesh_.held(p.experts, rank);
  return {experts.begin * each, experts.end * each};
}

// The parameters that the same ranks have make up one vector, of which each of them keeps its share.
comm::Stretch AdamW::kept(size_t i, int rank) const {
  const bool spread = parameters_[i].experts > 0;
  int64_t all = 0, before = 0;
  for (size_t j = 0; j < parameters_.size(); ++j) {
    if ((parameters_[j].experts > 0) != spread) continue;
    if (j == i) before = all;
    all += held(j, rank).size();
  }
  const comm::Stretch share = comm::share_of(all, spread ? mesh_.copy(rank) : rank, ranks_of(i).size());
  const comm::Stretch here = held(i, rank);
  const auto place = [&](int64_t at) { return here.begin + std::clamp<int64_t>(at - before, 0, here.size()); };
  return {place(share.begin), place(share.end)};
}

template <class Body>
void AdamW::for_each_group(const Body& body) const {
  for (const bool spread : {false, true}) {
    std::vector<const Parameter*> parameters;
    for (const Parameter& p : parameters_) {
      if ((p.experts > 0) == spread) parameters.push_back(&p);
    }
    if (!parameters.empty()) body(spread ? mesh_.copies() : mesh_.world(), parameters);
  }
}

void AdamW::for_chunks(const std::function<void(size_t, const Chunk&)>& body) const {
  parallel_for_(static_cast<int64_t>(chunks_.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) body(static_cast<size_t>(c), chunks_[static_cast<size_t>(c)]);
  });
}

void AdamW::sum_gradients() {
  with_type(type_, [&](auto zero) {
    for_each_group([&](const comm::Group& group, const std::vector<const Parameter*>& parameters) {
      group.reduce_scatter(end_to_end<decltype(zero)>(parameters, [](const Parameter& p) { return p.value.grad(); }));
    });
  });
}

double AdamW::gradient_norm() const {
  std::vector<double> sums(chunks_.size());
  with_type(type_, [&](auto zero) {
    for_chunks([&](size_t c, const Chunk& chunk) {
      const auto* grad = parameters_[chunk.parameter].value.grad().template data_ptr<decltype(zero)>();
      sums[c] = sum_of_squares(grad + chunk.begin, chunk.end - chunk.begin);
    });
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  mesh_.world().all_reduce(comm::Pieces<double>({&total, 1}));
  return std::sqrt(total);
}

template <class T>
void AdamW::update_range(size_t i, int64_t begin, int64_t end, const AdamWStep& step) {
  const int64_t moment = begin - own_[i].begin;
  adamw_update(step,
               AdamWArraysOf<T>{.value = parameters_[i].value.data_ptr<T>() + begin,
                                .grad = parameters_[i].value.grad().data_ptr<T>() + begin,
                                .first_moment = first_[i].data_ptr<T>() + moment,
                                .second_moment = second_[i].data_ptr<T>() + moment},
               end - begin);
}

const moe::WeightPieces* AdamW::pieces(size_t i) const {
  const moe::WeightPtr& weight = parameters_[i].weight;
  return ranks_of(i).alone() && weight ? weight->pieces() : nullptr;
}

// Elements of plain parameters, pieces of those that are packed.
std::vector<AdamW::Chunk> AdamW::pieces_of_work() const {
  std::vector<Chunk> chunks;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Parameter& p = parameters_[i];
    const moe::WeightPieces* packed = pieces(i);
    const comm::Stretch work = packed ? comm::Stretch{0, packed->count()} : own_[i];
    const int64_t step = packed ? std::max<int64_t>(1, kChunk * work.end / p.value.numel()) : kChunk;
    for (int64_t at = work.begin; at < work.end; at += step) chunks.push_back({i, at, std::min(at + step, work.end)});
  }
  return chunks;
}

void AdamW::update(double lr, double grad_scale) {
  ++updates_;
  const AdamWStep decayed = AdamWStep::make(options_, lr, grad_scale, updates_, true);
  const AdamWStep plain = AdamWStep::make(options_, lr, grad_scale, updates_, false);
  const std::vector<Chunk> chunks = pieces_of_work();
  with_type(type_, [&](auto zero) {
    using T = decltype(zero);
    parallel_for_(static_cast<int64_t>(chunks.size()), 1, [&](int64_t first, int64_t last) {
      for (int64_t c = first; c < last; ++c) {
        const auto& [i, begin, end] = chunks[static_cast<size_t>(c)];
        const Parameter& p = parameters_[i];
        const AdamWStep& step = p.decay ? decayed : plain;
        const moe::WeightPieces* packed = pieces(i);
        if (!packed) update_range<T>(i, begin, end, step);
        for (int64_t piece = begin; packed && piece < end; ++piece) {
          for (const auto& range : packed->ranges(piece)) update_range<T>(i, range.begin, range.end, step);
          p.weight->pack_again(piece);
        }
      }
    });
    for_each_group([&](const comm::Group& group, const std::vector<const Parameter*>& parameters) {
      group.all_gather(end_to_end<T>(parameters, [](const Parameter& p) { return p.value; }));
    });
  });
  if (!mesh_.world().alone()) zero_gradients();  // those of other ranks' shares
  // Autograd has not seen this; whoever keeps a copy of the values asks the version.
  for (size_t i = 0; i < parameters_.size(); ++i) {
    torch::autograd::impl::bump_version(parameters_[i].value);
    if (pieces(i)) parameters_[i].weight->packed_again();
  }
}

void AdamW::zero_gradients() {
  for (const Parameter& parameter : parameters_) parameter.value.grad().zero_();
}

torch::Tensor AdamW::whole(const torch::Tensor& own, size_t i) const {
  const comm::Group& world = mesh_.world();
  if (world.alone()) return own.view(parameters_[i].value.sizes());
  const torch::Tensor all = torch::zeros(parameters_[i].whole_sizes(), type_);
  std::vector<comm::Stretch> shares;
  for (int rank = 0; rank < world.size(); ++rank) shares.push_back(kept(i, rank));
  all.view(-1).narrow(0, shares[static_cast<size_t>(world.rank())].begin, own.numel()).copy_(own);
  with_type(type_, [&](auto zero) {
    using T = decltype(zero);
    world.gather(comm::Pieces<T>(elements<T>(all)), shares);
  });
  return all;
}

void AdamW::set_moments(size_t i, std::span<const float> first, std::span<const float> second) {
  const auto take = [&](std::span<const float> from, const torch::Tensor& moment) {
    DSMOE_CHECK(std::ssize(from) == parameters_[i].whole_numel(), "a moment of each element");
    const comm::Stretch mine = kept(i, mesh_.world().rank());
    const std::span<const float> own = from.subspan(static_cast<size_t>(mine.begin), static_cast<size_t>(mine.size()));
    with_type(type_, [&](auto zero) { std::copy(own.begin(), own.end(), moment.template data_ptr<decltype(zero)>()); });
  };
  take(first, first_[i]);
  take(second, second_[i]);
}

int64_t AdamW::state_bytes() const {
  int64_t bytes = 0;
  for (const auto& moment : {first_, second_}) {
    for (const torch::Tensor& tensor : moment) bytes += static_cast<int64_t>(tensor.nbytes());
  }
  return bytes;
}

}  // namespace dsmoe::train
