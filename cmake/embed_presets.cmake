# Writes the .toml files of FOLDER into OUTPUT as one C++ table (spec/presets.h).
#   cmake -DFOLDER=... -DOUTPUT=... -P embed_presets.cmake
file(GLOB files ${FOLDER}/*.toml)
list(SORT files)
set(rows "")
foreach(file ${files})
  # NAME_WE would stop at the first dot, and dense-0.2b has one
  get_filename_component(name ${file} NAME)
  string(REGEX REPLACE "\\.toml$" "" name "${name}")
  file(READ ${file} text)
  string(FIND "${text}" ")toml\"" clash)
  if(NOT clash EQUAL -1)
    message(FATAL_ERROR "${file} holds the end mark of a raw string")
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
