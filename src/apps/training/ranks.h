// The processes that were started together with this one, as the environment tells (dsmoe launch sets it).
#pragma once

#include "comm/group.h"

namespace dsmoe::apps {

/// Alone, without RANK and WORLD_SIZE. Otherwise waits for the others in the folder DSMOE_MEETING. Throws Error(kUsage)
/// for variables that make no sense, comm::kRankLost where the others do not come.
comm::Group ranks_of_environment();

/// Whether a launcher has started the job again after a process was lost (TORCHELASTIC_RESTART_COUNT).
bool was_restarted();

}  // namespace dsmoe::apps
