# Compiler settings as two interface targets that every target of ours links privately:
# quantized_settings (language, floating point, sanitizers) and quantized_warnings.

option(QUANTIZED_SERVICE "Build the daemon, the worker and the client" ON)
option(QUANTIZED_WERROR "Treat warnings as errors" OFF)
option(QUANTIZED_TIDY "Run clang-tidy while compiling" OFF)
option(QUANTIZED_FUZZ "Build fuzz targets with libFuzzer (needs clang)" OFF)
set(QUANTIZED_SANITIZE "" CACHE STRING "Sanitizers, as in -fsanitize=: address,undefined or thread")
set(QUANTIZED_CUDA "AUTO" CACHE STRING "Build the CUDA module: AUTO (where nvcc is found), ON, OFF")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # The two freedoms that ccache needs to take objects that use precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()

add_library(quantized_settings INTERFACE)
target_include_directories(quantized_settings INTERFACE ${CMAKE_SOURCE_DIR})
# Exactness: a product and a sum are rounded apart, on every target (docs/architecture.md, "Exactness").
target_compile_options(quantized_settings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)
target_link_options(quantized_settings INTERFACE -Wl,--as-needed)
if(QUANTIZED_SANITIZE)
  # -O1 and line tables are what the sanitizers need to work; they halve the time of the build. So does
  # leaving out the SIMD targets between the narrowest and AVX2, which are the same source at other widths.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1 -DNDEBUG")
  target_compile_options(quantized_settings INTERFACE
    -fsanitize=${QUANTIZED_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_compile_definitions(quantized_settings INTERFACE
    "HWY_DISABLED_TARGETS=(HWY_SSSE3|HWY_SSE4|HWY_AVX3)")
  target_link_options(quantized_settings INTERFACE -fsanitize=${QUANTIZED_SANITIZE})
endif()
if(QUANTIZED_FUZZ)
  target_compile_options(quantized_settings INTERFACE -fsanitize=fuzzer-no-link)
endif()

add_library(quantized_warnings INTERFACE)
target_compile_options(quantized_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers>
  # g++ 12 sees an overlap in std::string's operator+ at -O3 that is not there (GCC bug 105651).
  $<$<AND:$<COMPILE_LANG_AND_ID:CXX,GNU>,$<CONFIG:Release>>:-Wno-restrict>
  $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wthread-safety -Wno-unused-command-line-argument>)
if(QUANTIZED_WERROR)
  target_compile_options(quantized_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()

if(QUANTIZED_TIDY)
  find_program(CLANG_TIDY_PROGRAM NAMES clang-tidy-14 clang-tidy REQUIRED)
endif()

# CUDA is a variant: without nvcc there is no module to open at run time, and the programs say so.
# The module is code for compute capability 8.0 and 9.0, and PTX of 9.0 for what comes after.
set(QUANTIZED_HAS_CUDA OFF)
if(QUANTIZED_CUDA STREQUAL "AUTO" OR QUANTIZED_CUDA)
  include(CheckLanguage)
  find_program(NVCC_PROGRAM nvcc HINTS /usr/local/cuda/bin)
  if(NVCC_PROGRAM AND NOT DEFINED CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${NVCC_PROGRAM})
  endif()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER AND NOT QUANTIZED_SANITIZE AND NOT QUANTIZED_FUZZ)
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
    endif()
    enable_language(CUDA)
    # CMake 3.25 knows nvcc's dialects up to C++17 only.
    foreach(variant STANDARD EXTENSION)
      if(NOT CMAKE_CUDA20_${variant}_COMPILE_OPTION)
        set(CMAKE_CUDA20_${variant}_COMPILE_OPTION -std=c++20)
      endif()
    endforeach()
    set(CMAKE_CUDA_STANDARD 20)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
    set(QUANTIZED_HAS_CUDA ON)
    message(STATUS "CUDA: ${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION}, for ${CMAKE_CUDA_ARCHITECTURES}")
  elseif(CMAKE_CUDA_COMPILER)
    message(STATUS "CUDA: off, the module is not built with sanitizers")
  elseif(QUANTIZED_CUDA STREQUAL "AUTO")
    message(STATUS "CUDA: off, no nvcc found")
  else()
    message(FATAL_ERROR "QUANTIZED_CUDA is ON but no nvcc was found")
  endif()
else()
  message(STATUS "CUDA: off, as asked")
endif()
