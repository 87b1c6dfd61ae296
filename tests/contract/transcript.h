// Transcripts: commands of a user with what they must print, as data files in transcripts/.
//
//   # A comment.
//   need: test -x /usr/bin/script        without it the rest of the file is skipped
//   $ llm-quantize --version             a command line, run by sh in the user's work folder
//   ? 0                                  its exit code, or "? signal 2"
//   > llm-quantize {{[0-9.]+}}           the lines of stdout, in order
//   ! [llm-quantize] Error: …            the lines of stderr, in order
//
// A line stands for itself; {{…}} holds an ECMAScript regular expression and {WORK} the path of the
// work folder. `> ...` and `! ...` stand for any number of lines. A stream of which no line is
// given must be empty.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/support/process.h"

namespace quantized::testing {

struct TranscriptStep {
  int line = 0;  // in the file
  std::string command;
  bool need = false;  // only decides whether the rest is run
  int exit_code = 0;
  int signal = 0;  // expected instead of an exit code when not 0
  std::vector<std::string> out, err;
};

absl::StatusOr<std::vector<TranscriptStep>> ParseTranscript(const std::string& text);

// What is wrong with `text` when the lines of `pattern` are expected; nullopt when they fit.
std::optional<std::string> Mismatch(const std::vector<std::string>& pattern,
                                    const std::string& text, const std::string& work);

// What is wrong with how a step went, for a person to read; nullopt when all fits.
std::optional<std::string> Mismatch(const TranscriptStep& step, const ProcessResult& result,
                                    const std::string& work);

}  // namespace quantized::testing
