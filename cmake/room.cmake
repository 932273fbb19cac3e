# dsmoe_room(NAME FLOOR n [TORCH] [CARRIES] [USES room...] [LIBS target...] [PRIVATE_LIBS target...])
#
# One call per room: a static library dsmoe_NAME of the folder's .cpp files, and its tests by glob:
# *_test.cpp become NAME_test (label fast), *_slow_test.cpp become NAME_slow_test (label slow).
# CARRIES: the room moves bytes and computes nothing with LibTorch, so its tests need no second run on its operations.
# USES is what the room may include; tools/check_floors reads these calls and holds the sources to them.
# A file NAME.avx2.cpp, .avx512.cpp or .avx512bf16.cpp is built for that instruction set alone.
set(DSMOE_ISA_avx2 -mavx2 -mfma -mf16c)
set(DSMOE_ISA_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c)
set(DSMOE_ISA_avx512bf16 ${DSMOE_ISA_avx512} -mavx512bf16 -mavx512vnni)

function(dsmoe_room name)
  cmake_parse_arguments(ROOM "TORCH;CARRIES" "FLOOR" "USES;LIBS;PRIVATE_LIBS" ${ARGN})
  if(ROOM_TORCH AND NOT DSMOE_TRAIN)
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS *.cpp)
  set(slow_tests ${sources})
  list(FILTER slow_tests INCLUDE REGEX "_slow_test\\.cpp$")
  set(fast_tests ${sources})
  list(FILTER fast_tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER fast_tests EXCLUDE REGEX "_slow_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$|_main\\.cpp$")

  set(target dsmoe_${name})
  set(kind STATIC)
  set(scope PUBLIC)
  if(NOT sources)
    set(kind INTERFACE)
    set(scope INTERFACE)
  endif()
  add_library(${target} ${kind} ${sources})
  target_include_directories(${target} ${scope} ${PROJECT_SOURCE_DIR}/src)
  # What includes a room's headers needs their dialect, in another project too.
  target_compile_features(${target} ${scope} cxx_std_20)
  list(TRANSFORM ROOM_USES PREPEND dsmoe_ OUTPUT_VARIABLE uses)
  target_link_libraries(${target} ${scope} ${uses} ${ROOM_LIBS})
  if(sources)
    target_link_libraries(${target} PRIVATE ${ROOM_PRIVATE_LIBS})
  endif()
  # The bodies are the same for every set: the scalar unit is searched for undefined behaviour and both it and AVX2's for
  # bad addresses. Unrolled for wider registers, each check would take minutes of compile time a unit.
  foreach(isa avx2 avx512 avx512bf16)
    set(units ${sources})
    list(FILTER units INCLUDE REGEX "\\.${isa}\\.cpp$")
    if(units)
      set(unit_sanitizers "")
      if(DSMOE_SANITIZE AND isa STREQUAL "avx2")
        set(unit_sanitizers -fno-sanitize=undefined)
      elseif(DSMOE_SANITIZE)
        set(unit_sanitizers -fno-sanitize=all)
      endif()
      set_source_files_properties(${units} PROPERTIES COMPILE_OPTIONS "${DSMOE_ISA_${isa}};${unit_sanitizers}")
    endif()
  endforeach()
  if(ROOM_TORCH AND sources)
    dsmoe_use_torch(${target})
  endif()

  if(DSMOE_TESTS)
    dsmoe_test(${name}_test LABEL fast ROOM ${name} SOURCES ${fast_tests})
    dsmoe_test(${name}_slow_test LABEL slow ROOM ${name} SOURCES ${slow_tests})
    foreach(test ${name}_test ${name}_slow_test)
      if(ROOM_TORCH AND TARGET ${test})
        dsmoe_use_torch(${test})
      elseif(TARGET ${test})
        dsmoe_precompile(${test} tests GTest::gmock rapidcheck rapidcheck_gtest nlohmann_json::nlohmann_json HEADERS
          <gmock/gmock.h> <gtest/gtest.h> <rapidcheck/gtest.h> <nlohmann/json.hpp> <filesystem> <functional> <optional>)
      endif()
    endforeach()
    if(ROOM_TORCH AND NOT ROOM_CARRIES AND TARGET ${name}_test)
      dsmoe_composed_test(${name})
    endif()
  endif()
endfunction()

# dsmoe_composed_test(NAME): the tests of NAME_test once more on LibTorch's own operations, the path of devices that have no
# kernels of ours.
function(dsmoe_composed_test name)
  add_test(NAME ${name}_composed_test COMMAND ${name}_test WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name}_composed_test PROPERTIES LABELS fast TIMEOUT 900 ENVIRONMENT DSMOE_COMPOSED=1)
endfunction()

# dsmoe_test(NAME LABEL fast|slow ROOM room... SOURCES file...): one executable, one ctest entry.
function(dsmoe_test name)
  cmake_parse_arguments(TEST "" "LABEL" "ROOM;SOURCES" ${ARGN})
  if(NOT TEST_SOURCES)
    return()
  endif()
  add_executable(${name} ${TEST_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  list(TRANSFORM TEST_ROOM PREPEND dsmoe_ OUTPUT_VARIABLE rooms)
  target_link_libraries(${name} PRIVATE ${rooms} GTest::gmock GTest::gtest_main rapidcheck rapidcheck_gtest)
  # Only units that name the macro get the path, so that the compiler cache serves all others to every checkout.
  foreach(source ${TEST_SOURCES})
    file(STRINGS ${source} found REGEX DSMOE_SOURCE_DIR LIMIT_COUNT 1)
    if(found)
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_DEFINITIONS DSMOE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    endif()
  endforeach()
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS ${TEST_LABEL} TIMEOUT 900)
endfunction()

# dsmoe_precompile(TARGET KIND library... HEADERS header...): large headers of libraries are parsed once for all targets of
# a kind: gtest and its companions cost a test 5 s a unit, CLI11 a command 6 s. The headers are still included where they
# are used, so units also compile without this.
function(dsmoe_precompile target kind)
  cmake_parse_arguments(PCH "" "" "HEADERS" ${ARGN})
  set(anchor dsmoe_${kind}_pch)
  if(NOT TARGET ${anchor})
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/${anchor}.cpp CONTENT "// anchors the precompiled header\n")
    add_library(${anchor} OBJECT ${PROJECT_BINARY_DIR}/${anchor}.cpp)
    target_link_libraries(${anchor} PRIVATE ${PCH_UNPARSED_ARGUMENTS})
    target_compile_options(${anchor} PRIVATE -fpch-preprocess)
    target_precompile_headers(${anchor} PRIVATE ${PCH_HEADERS})
  endif()
  target_compile_options(${target} PRIVATE -fpch-preprocess)
  target_precompile_headers(${target} REUSE_FROM ${anchor})
endfunction()

# LibTorch with one precompiled header for all units that see it (6 s a unit becomes 2.6 s). at::parallel_for is inline
# OpenMP code: a unit built without -fopenmp would silently run it on one thread.
function(dsmoe_use_torch target)
  target_link_libraries(${target} PRIVATE ${TORCH_LIBRARIES} OpenMP::OpenMP_CXX)
  set_target_properties(${target} PROPERTIES JOB_POOL_COMPILE torch_units)
  target_include_directories(${target} SYSTEM PRIVATE ${TORCH_INCLUDE_DIRS})
  if(NOT TARGET dsmoe_torch_pch)
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/torch_pch.cpp CONTENT "// anchors the precompiled header\n")
    add_library(dsmoe_torch_pch OBJECT ${PROJECT_BINARY_DIR}/torch_pch.cpp)
    target_link_libraries(dsmoe_torch_pch PRIVATE ${TORCH_LIBRARIES} OpenMP::OpenMP_CXX)
    target_include_directories(dsmoe_torch_pch SYSTEM PRIVATE ${TORCH_INCLUDE_DIRS})
    target_compile_options(dsmoe_torch_pch PRIVATE -fpch-preprocess)
    target_precompile_headers(dsmoe_torch_pch PRIVATE
      <torch/types.h> <torch/csrc/autograd/custom_function.h> <torch/csrc/autograd/autograd.h>)
  endif()
  target_compile_options(${target} PRIVATE -fpch-preprocess)
  target_precompile_headers(${target} REUSE_FROM dsmoe_torch_pch)
  # The OpenMP flavour of OpenBLAS shares LibTorch's threads; the pthread flavour, which Debian's alternatives may
  # prefer, fights them. An rpath (not a runpath) is also searched for libraries of libraries, such as LibTorch's BLAS.
  get_target_property(kind ${target} TYPE)
  if(kind STREQUAL "EXECUTABLE" AND DSMOE_BLAS_DIR)
    target_link_options(${target} PRIVATE "LINKER:--disable-new-dtags,-rpath,${DSMOE_BLAS_DIR}")
  endif()
endfunction()
