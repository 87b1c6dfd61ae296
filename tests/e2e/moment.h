// Where the workers of tests are killed: in front of an operation that the fault shim sees.
#pragma once

#include <cctype>
#include <string>

namespace quantized::testing {

// Of a job that makes `format`.
struct Moment {
  const char* format;
  const char* call;
  const char* path;
  int nth;
  int least_reused;  // units that must come from the checkpoint in the last attempt
};

// GoogleTest takes letters, digits and underscores.
inline std::string AsTestName(std::string text) {
  for (char& c : text) c = isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return text;
}

inline std::string TestNameOf(const Moment& moment) {
  return AsTestName(std::string(moment.format) + "_" + moment.call + "_" +
                    std::to_string(moment.nth) + "_" + moment.path);
}

}  // namespace quantized::testing
