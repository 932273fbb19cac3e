// A decode step makes nothing: operator new is counted while a warm engine goes on by one token.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "engine/engine.h"
#include "engine/testing.h"

namespace {

std::atomic<int64_t> allocations{0};

}  // namespace

// Every form the library uses, so that what one hands out another may take back.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size ? size : 1);
}
void* operator new(std::size_t size) {
  if (void* memory = operator new(size, std::nothrow)) return memory;
  throw std::bad_alloc();
}
void* operator new[](std::size_t size) { return operator new(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return operator new(size, std::nothrow); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace dsmoe::engine {
namespace {

TEST(Allocations, AStepOfAWarmEngineMakesNone) {
  for (const auto& [name, config] : testing::odd_configs()) {
    for (const int threads : {1, 2}) {
      Engine engine(testing::random_weights(config), {.threads = threads, .cache = CacheType::kF16});
      const auto ids = testing::random_ids(config, 40);
      std::vector<KvCache> caches;
      std::vector<std::vector<float>> logits(3, std::vector<float>(static_cast<size_t>(config.vocab_size)));
      for (size_t i = 0; i < logits.size(); ++i) caches.emplace_back(config, engine.cache_type());
      std::vector<BatchItem> items(logits.size());
      const auto step = [&](std::span<const int32_t> tokens) {
        for (size_t i = 0; i < items.size(); ++i) items[i] = {&caches[i], tokens, logits[i]};
        engine.pass(items);
      };
      step(ids);
      for (int i = 0; i < 8; ++i) step(std::span(ids).first(1));  // what routing may ask for has been asked for
      const int64_t before = allocations;
      ASSERT_GT(before, 0) << "the counter counts";
      for (size_t i = 0; i < 10; ++i) step(std::span(ids).subspan(i, 1));
      EXPECT_EQ(allocations, before) << name << ", " << threads << " threads";
    }
  }
}

}  // namespace
}  // namespace dsmoe::engine
