// Dispatch: every set can be forced, what is forced is what runs, and what cannot run says so.
#include "kernels/isa.h"

#include <map>

#include "base/error.h"
#include "kernels/product.h"
#include "kernels/testing.h"

namespace dsmoe::kernels {
namespace {

class Dispatch : public testing::EveryIsa {};
DSMOE_ON_EVERY_ISA(Dispatch);

TEST_P(Dispatch, TheForcedSetIsTheOneThatRuns) {
  const std::map<Isa, int> bits = {{Isa::kScalar, 32}, {Isa::kAvx2, 256}, {Isa::kAvx512, 512}, {Isa::kAvx512Bf16, 512}};
  EXPECT_EQ(kernels().register_bits, bits.at(GetParam()));  // compiled into the unit itself
  EXPECT_EQ(kernels().dot_products, GetParam() == Isa::kAvx512Bf16);
  EXPECT_EQ(isa_from(isa_name(GetParam())), GetParam());
}

// (1 + e)(1 - e) - 1 = -e^2 is lost when the product is rounded before the sum, and kept by a fused one: the numbers
// themselves tell which code ran.
TEST_P(Dispatch, FusedRoundingShowsInTheNumbers) {
  const float e = 0x1p-13f;
  std::vector<float> w(32, 0.0f), x(32, 0.0f);
  w[0] = 1, x[0] = -1;
  w[16] = 1 + e, x[16] = 1 - e;  // the same lane, next round
  float out = 7;
  matmul({{WeightType::kF32, w.data(), 1, 32}, 0, 1, x.data(), 32, nullptr, 1, &out, 1});
  EXPECT_EQ(out, GetParam() == Isa::kScalar ? 0.0f : -e * e);
}

TEST(Isa, PlainCodeIsAlwaysThereAndTheBestIsTheDefault) {
  ASSERT_FALSE(available_isas().empty());
  EXPECT_EQ(available_isas().front(), Isa::kScalar);
  EXPECT_EQ(isa_from(""), available_isas().back());
}

TEST(Isa, AnUnknownNameIsRefused) {
  try {
    isa_from("avx1024");
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::kInvalid);
    EXPECT_NE(std::string(error.what()).find("DSMOE_ISA must be scalar, avx2, avx512 or avx512bf16: \"avx1024\""),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace dsmoe::kernels
