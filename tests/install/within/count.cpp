#include <cstdio>

#include "spec/counts.h"
#include "spec/settings.h"

int main() {
  const dsmoe::spec::RunConfig config = dsmoe::spec::resolve("deepseekmoe-16b").config;
  std::printf("%lld\n", static_cast<long long>(dsmoe::spec::count_parameters(config.model).total()));
}
