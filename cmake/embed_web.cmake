# Writes the files of FOLDER into OUTPUT as one C++ table (serve/web_files.h).
#   cmake -DFOLDER=... -DOUTPUT=... -P embed_web.cmake
set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
file(GLOB names RELATIVE ${FOLDER} ${FOLDER}/*.html ${FOLDER}/*.css ${FOLDER}/*.js)
list(SORT names)
set(rows "")
foreach(name ${names})
  file(READ ${FOLDER}/${name} text)
  string(FIND "${text}" ")web\"" clash)
  if(NOT clash EQUAL -1)
    message(FATAL_ERROR "${name} holds the end mark of a raw string")
  endif()
  string(REGEX REPLACE "^.*\\." "" ending ${name})
  string(APPEND rows "      {\"${name}\", \"${type_${ending}}\", R\"web(${text})web\"},\n")
endforeach()
file(WRITE ${OUTPUT} "// Made from src/serve/web/ by cmake/embed_web.cmake.
#include \"serve/web_files.h\"

namespace dsmoe::serve {

const std::vector<WebFile>& web_files() {
  static const std::vector<WebFile> all = {
${rows}  };
  return all;
}

}  // namespace dsmoe::serve
")
