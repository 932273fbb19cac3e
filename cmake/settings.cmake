# How everything is compiled: the dialect, warnings, sanitizers, ccache, and parallel jobs bounded by memory.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
# -O2 and no fast-math: sums keep the order that the source gives them. -ffp-contract=off keeps a*b+c from
# becoming one rounding on one machine and two on another; kernels that want FMA say so by intrinsics.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
# -fPIC for everything alike (CMake's own property would give programs -fPIE, which a shared precompiled header refuses).
add_compile_options(-fPIC -Wall -Wextra -ffp-contract=off -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)
if(DSMOE_WARNINGS_AS_ERRORS)
  add_compile_options(-Werror)
endif()
if(DSMOE_SANITIZE)
  add_compile_options(-fsanitize=${DSMOE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${DSMOE_SANITIZE})
endif()

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # the two settings let ccache see through the precompiled header of the torch rooms
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
endif()

# A unit with LibTorch's headers takes up to 1.3 GB: no more of them at once than memory allows.
cmake_host_system_information(RESULT memory_mb QUERY AVAILABLE_PHYSICAL_MEMORY)
math(EXPR torch_jobs "${memory_mb} / 1500")
if(torch_jobs LESS 1)
  set(torch_jobs 1)
endif()
set_property(GLOBAL APPEND PROPERTY JOB_POOLS torch_units=${torch_jobs})

execute_process(COMMAND git -C ${PROJECT_SOURCE_DIR} rev-parse --short=12 HEAD OUTPUT_VARIABLE DSMOE_COMMIT
  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
# Programs say which commit they are of: configured anew, by a bare ninja too, when there is another one.
execute_process(COMMAND git -C ${PROJECT_SOURCE_DIR} rev-parse --path-format=absolute --git-path logs/HEAD
  OUTPUT_VARIABLE commits OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(commits AND EXISTS ${commits})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${commits})
endif()
