// Files that are recognisably no plain text: compressed in a way that is not read here, or another format altogether.
#pragma once

#include <span>
#include <string>

namespace dsmoe::corpus {

/// Throws base::Error(kInvalid) naming the format and what to do when `head`, the first bytes of the file `name`, is
/// the signature of an xz, bzip2, zip, 7z, PDF, Parquet or Arrow file, or of a gzip or zstd file whose name does not
/// end in .gz or .zst. Eight bytes of `head` suffice; fewer are compared as far as they go and never match a longer
/// signature.
void require_plain_text(std::span<const char> head, const std::string& name);

}  // namespace dsmoe::corpus
