# The functions that make every target of the project.
include(GoogleTest)

# Settings that all targets of ours share.
function(quantized_target name)
  target_link_libraries(${name} PRIVATE quantized_settings quantized_warnings)
  if(QUANTIZED_TIDY)
    set_target_properties(${name} PROPERTIES CXX_CLANG_TIDY "${CLANG_TIDY_PROGRAM};--quiet")
  endif()
endfunction()

# Targets that share precompiled headers are compiled alike; and what ccache needs to take their objects
# (with its sloppiness in settings.cmake).
function(quantized_precompiled_options name)
  target_compile_options(${name} PRIVATE -pthread
    # g++ 12 loses sight of what is a system header, and warns of std::string's constructor.
    "$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fpch-preprocess;-Wno-array-bounds;-Wno-stringop-overflow;-Wno-stringop-overread>"
    "$<$<COMPILE_LANG_AND_ID:CXX,Clang>:SHELL:-Xclang -fno-pch-timestamp>")
endfunction()

# The headers that most sources of libraries read, compiled once. The tidy preset goes without, so that
# each source is seen to include what it uses.
set(QUANTIZED_PRECOMPILE_LIBRARIES OFF)
if(NOT CMAKE_DISABLE_PRECOMPILE_HEADERS)
  set(QUANTIZED_PRECOMPILE_LIBRARIES ON)
  add_library(library_headers STATIC EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/library_headers.cc)
  quantized_target(library_headers)
  quantized_precompiled_options(library_headers)
  target_link_libraries(library_headers
    PRIVATE absl::statusor absl::strings nlohmann_json::nlohmann_json)
  target_precompile_headers(library_headers PRIVATE <algorithm> <array> <cmath> <cstdint> <cstring>
    <filesystem> <functional> <map> <memory> <optional> <span> <string> <string_view> <utility> <vector>
    <absl/status/statusor.h> <absl/strings/str_cat.h> <nlohmann/json.hpp>)
endif()

# Compiles a test's own sources: quick to build.
function(quantized_test_options name)
  target_compile_options(${name} PRIVATE -O1)
  quantized_precompiled_options(${name})
endfunction()

if(BUILD_TESTING)
  add_executable(test_headers EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/test_headers.cc)
  quantized_target(test_headers)
  quantized_test_options(test_headers)
  target_link_libraries(test_headers PRIVATE GTest::gmock GTest::gtest_main)
  target_precompile_headers(test_headers PRIVATE <array> <chrono> <filesystem> <fstream> <functional>
    <map> <memory> <optional> <set> <span> <string> <string_view> <vector> <absl/status/statusor.h>
    <absl/strings/str_cat.h> <gmock/gmock.h> <gtest/gtest.h> <nlohmann/json.hpp>)
endif()

# quantized_test(NAME SOURCES … [DEPS …] [LABELS …]): one GoogleTest program. Tests are named
# after it in ctest: NAME.Suite.Case. Its own sources are compiled for a quick build, with the headers
# that all tests read compiled once.
function(quantized_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  quantized_target(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} tests_support GTest::gmock GTest::gtest_main)
  quantized_test_options(${name})
  target_precompile_headers(${name} REUSE_FROM test_headers)
  set(properties TIMEOUT 600)
  if(ARG_LABELS)  # an empty one would swallow the next name
    list(APPEND properties LABELS "${ARG_LABELS}")
  endif()
  gtest_discover_tests(${name} TEST_PREFIX ${name}. DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    PROPERTIES ${properties})
endfunction()

# quantized_library(NAME SOURCES … [DEPS …] [TESTS …] [TEST_DEPS …]): the static library of one
# folder, named by its path (core_gguf), and NAME_test from the test files beside it.
function(quantized_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;TESTS;TEST_DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  quantized_target(${name})
  if(QUANTIZED_PRECOMPILE_LIBRARIES)
    quantized_precompiled_options(${name})
    target_precompile_headers(${name} REUSE_FROM library_headers)
  endif()
  # Of UndefinedBehaviorSanitizer the checks of each access triple the time that SIMD code takes to
  # compile; AddressSanitizer sees what they would find there, but for alignment.
  set(simd_sources ${ARG_SOURCES})
  list(FILTER simd_sources INCLUDE REGEX "_simd\\.cc$")
  if(QUANTIZED_SANITIZE MATCHES "undefined" AND simd_sources)
    set_source_files_properties(${simd_sources} PROPERTIES
      COMPILE_OPTIONS "-fno-sanitize=null,alignment,object-size,pointer-overflow")
  endif()
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS})
  if(BUILD_TESTING AND ARG_TESTS)
    quantized_test(${name}_test SOURCES ${ARG_TESTS} DEPS ${name} ${ARG_TEST_DEPS})
  endif()
endfunction()

# quantized_program(NAME SOURCES … DEPS …): an installed program.
function(quantized_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  quantized_target(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# quantized_fuzz_target(NAME SOURCE … CORPUS folder DEPS …): in the asan preset a libFuzzer program;
# elsewhere a test that runs the seed corpus once through the same entry point.
function(quantized_fuzz_target name)
  cmake_parse_arguments(ARG "" "SOURCE;CORPUS" "DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCE})
  quantized_target(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  if(QUANTIZED_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME ${name}.Seeds COMMAND ${name} -runs=0 ${ARG_CORPUS})
  else()
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
    add_test(NAME ${name}.Seeds COMMAND ${name} ${ARG_CORPUS})
  endif()
endfunction()
