// The records that a program leaves, a JSON object a line: metrics.jsonl of a run.
#pragma once

#include <functional>
#include <string>

#include "base/file.h"
#include "base/json.h"

namespace dsmoe::corpus {

/// Calls `action` with each object of the file as it is now and with its place, "FILE:LINE". Lines are RecordReader's:
/// blank ones and a byte order mark are passed over. So is a last line without its end, which a power loss tore or
/// somebody is still writing. Throws base::Error(kInvalid) with the place of a line that is no object.
void for_each_logged_object(const base::fs::path& file,
                            const std::function<void(const base::Json& object, const std::string& where)>& action);

}  // namespace dsmoe::corpus
