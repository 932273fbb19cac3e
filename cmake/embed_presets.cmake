# Writes the .toml files of FOLDER into OUTPUT as one C++ table (spec/presets.h).
#   cmake -DFOLDER=... -DOUTPUT=... -P embed_presets.cmake
file(GLOB names RELATIVE ${FOLDER} ${FOLDER}/*.toml)
list(TRANSFORM names REPLACE "\\.toml$" "")
list(SORT names COMPARE NATURAL)
set(rows "")
foreach(name ${names})
  file(READ ${FOLDER}/${name}.toml text)
  string(FIND "${text}" ")toml\"" clash)
  if(NOT clash EQUAL -1)
    message(FATAL_ERROR "${name} holds the end mark of a raw string")
  endif()
  string(APPEND rows "      {\"${name}\", R\"toml(${text})toml\"},\n")
endforeach()
file(WRITE ${OUTPUT} "// Made from configs/presets/ by cmake/embed_presets.cmake.
#include \"spec/presets.h\"

namespace dsmoe::spec {

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = {
${rows}  };
  return all;
}

}  // namespace dsmoe::spec
")
