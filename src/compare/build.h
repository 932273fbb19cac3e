// What made a run: which program, with which kernels. Runs are compared where one build made them all, or where a probe
// run showed that two builds give the same bits (probe.h).
#pragma once

#include <string>
#include <vector>

#include "base/file.h"

namespace dsmoe::compare {

/// What must be the same for runs to be compared: their sums must have one order and one rounding.
struct Build {
  std::string program;  ///< version, commit, compiler
  std::string isa;      ///< instruction set of the kernels
  bool operator==(const Build&) const = default;
};

/// A run that two builds trained and scored to the same bits: probes/RUN.json of a comparison's folder.
struct Probe {
  std::string run;
  Build first, second;
};

/// The probes of a comparison's folder, in the order of names. Throws Error(kInvalid) where one is damaged.
std::vector<Probe> read_probes(const base::fs::path& folder);

/// Keeps a probe in a comparison's folder; `nats_per_token` is what the run came to, for a reader.
void write_probe(const base::fs::path& folder, const Probe& probe, double nats_per_token);

/// True where the builds are the same, or probes lead from one to the other.
bool builds_agree(const Build& one, const Build& other, const std::vector<Probe>& probes);

/// Where probes are kept, and where they are trained.
base::fs::path probes_folder(const base::fs::path& folder);

}  // namespace dsmoe::compare
