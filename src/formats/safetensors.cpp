#include "formats/safetensors.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/hash.h"

namespace dsmoe::formats {

SafetensorsFile::SafetensorsFile(const base::fs::path& path)
    : file_(path), header_(read_header(base::as_text(file_.bytes()), path.string())) {
  by_name_.resize(header_.tensors.size());
  std::iota(by_name_.begin(), by_name_.end(), 0u);
  std::sort(by_name_.begin(), by_name_.end(),
            [&](uint32_t a, uint32_t b) { return header_.tensors[a].name < header_.tensors[b].name; });
}

const TensorEntry* SafetensorsFile::find(std::string_view name) const {
  const auto at =
      std::lower_bound(by_name_.begin(), by_name_.end(), name,
                       [&](uint32_t index, std::string_view wanted) { return header_.tensors[index].name < wanted; });
  return at != by_name_.end() && header_.tensors[*at].name == name ? &header_.tensors[*at] : nullptr;
}

TensorView SafetensorsFile::view(const TensorEntry& entry) const {
  return {entry.dtype, entry.shape, file_.bytes().subspan(header_.data_start + entry.begin, entry.end - entry.begin)};
}

TensorView SafetensorsFile::tensor(std::string_view name) const {
  if (const TensorEntry* entry = find(name)) return view(*entry);
  std::vector<std::string> names;
  for (const TensorEntry& entry : entries()) names.push_back(entry.name);
  const std::string near = base::nearest(name, names);
  base::fail_invalid("safetensors", "no such tensor", path().string() + ", " + base::in_quotes(name),
                     near.empty() ? "" : "the nearest name is " + near);
}

bool SafetensorsFile::has_checksums() const {
  const auto first = metadata().lower_bound(std::string(kChecksumPrefix));
  return first != metadata().end() && first->first.compare(0, kChecksumPrefix.size(), kChecksumPrefix) == 0;
}

bool SafetensorsFile::verify(const base::ParallelFor& parallel) const {
  if (!has_checksums()) return false;
  for (const auto& [key, checksum] : metadata()) {
    if (key.compare(0, kChecksumPrefix.size(), kChecksumPrefix) == 0 && !contains(key.substr(kChecksumPrefix.size()))) {
      base::fail_invalid("safetensors", "a checksum belongs to no tensor",
                         path().string() + ", " + base::in_quotes(key), "the header is damaged");
    }
  }
  const auto check = [&](const TensorEntry& entry) {
    const auto found = metadata().find(std::string(kChecksumPrefix) + entry.name);
    if (found == metadata().end()) {
      base::fail_invalid("safetensors", "a tensor has no checksum though others do",
                         path().string() + ", " + base::in_quotes(entry.name), "the header is damaged");
    }
    if (base::xxh3_128_hex(base::as_text(view(entry).bytes)) != found->second) {
      base::fail_invalid("safetensors", "a tensor differs from its checksum",
                         path().string() + ", " + base::in_quotes(entry.name), "the file is damaged");
    }
  };
  parallel(static_cast<int64_t>(entries().size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) check(entries()[static_cast<size_t>(i)]);
  });
  return true;
}

}  // namespace dsmoe::formats
