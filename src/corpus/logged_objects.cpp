#include "corpus/logged_objects.h"

#include <sstream>

#include "base/error.h"
#include "corpus/sources.h"

namespace dsmoe::corpus {

void for_each_logged_object(const base::fs::path& file,
                            const std::function<void(const base::Json& object, const std::string& where)>& action) {
  std::istringstream text(base::read_file(file));  // at once, since the file may be growing
  RecordReader reader(ByteStream(text, file.string()), SourceFormat::kJsonLines);
  for (Record record; reader.next(record);) {
    if (record.bytes.back() != '\n') return;
    const std::string where = reader.name() + ":" + std::to_string(record.line);
    const base::Json object = base::parse_json(record.bytes, where);
    if (!object.is_object()) base::fail_invalid(where, "a record must be an object", base::in_quotes(record.bytes));
    action(object, where);
  }
}

}  // namespace dsmoe::corpus
