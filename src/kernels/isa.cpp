#include "kernels/isa.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <string>

#include "base/error.h"

namespace dsmoe::kernels {
namespace {

struct Offer {
  Isa isa;
  std::string_view name;
  const KernelTable& (*table)();
  bool (*runs_here)();
};

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && has_avx2();
}

// __builtin_cpu_supports asks the operating system too: registers that it does not save count as absent.
constexpr std::array<Offer, 4> kOffers = {{
    {Isa::kScalar, "scalar", scalar_table, [] { return true; }},
    {Isa::kAvx2, "avx2", avx2_table, has_avx2},
    {Isa::kAvx512, "avx512", avx512_table, has_avx512},
    {Isa::kAvx512Bf16, "avx512bf16", avx512bf16_table,
     [] { return has_avx512() && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni"); }},
}};

const Offer& offer_of(Isa isa) { return kOffers[static_cast<size_t>(isa)]; }

std::string names_here() {
  std::string names;
  for (const Isa isa : available_isas()) names += (names.empty() ? "" : ", ") + std::string(isa_name(isa));
  return names;
}

const Offer& checked(const Offer& offer) {
  if (!offer.runs_here()) {
    base::fail_invalid("kernels", "this machine cannot run the instruction set", offer.name,
                       "it can run " + names_here());
  }
  return offer;
}

std::atomic<const Offer*>& active() {
  static std::atomic<const Offer*> chosen = [] {
    const char* wanted = std::getenv("DSMOE_ISA");
    return &offer_of(isa_from(wanted ? wanted : ""));
  }();
  return chosen;
}

}  // namespace

std::string_view isa_name(Isa isa) { return offer_of(isa).name; }

std::vector<Isa> available_isas() {
  std::vector<Isa> found;
  for (const Offer& offer : kOffers) {
    if (offer.runs_here()) found.push_back(offer.isa);
  }
  return found;
}

Isa isa_from(std::string_view name) {
  if (name.empty()) return available_isas().back();
  for (const Offer& offer : kOffers) {
    if (offer.name == name) return checked(offer).isa;
  }
  base::fail_invalid("kernels", "DSMOE_ISA must be scalar, avx2, avx512 or avx512bf16", base::in_quotes(name));
}

Isa active_isa() { return active().load()->isa; }
void use_isa(Isa isa) { active().store(&checked(offer_of(isa))); }
const KernelTable& kernels() { return active().load(std::memory_order_relaxed)->table(); }

}  // namespace dsmoe::kernels
