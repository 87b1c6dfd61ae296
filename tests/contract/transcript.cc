#include "tests/contract/transcript.h"

#include <regex>
#include <sstream>
#include <string_view>

#include "absl/strings/numbers.h"
#include "core/base/error.h"

namespace quantized::testing {
namespace {

constexpr std::string_view kAnyLines = "...";

// The rest of `line` after `prefix` and one space; nullopt when it begins otherwise.
std::optional<std::string> After(std::string_view prefix, const std::string& line) {
  if (!line.starts_with(prefix)) return std::nullopt;
  std::string rest = line.substr(prefix.size());
  if (rest.starts_with(' ')) rest.erase(0, 1);
  return rest;
}

bool ReadExpectedEnd(const std::string& text, TranscriptStep& step) {
  if (const auto number = After("signal", text)) {
    return absl::SimpleAtoi(*number, &step.signal) && step.signal > 0;
  }
  return absl::SimpleAtoi(text, &step.exit_code);
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string ReplaceAll(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

std::string Quoted(std::string_view literal) {
  std::string quoted;
  for (const char c : literal) {
    if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) quoted += '\\';
    quoted += c;
  }
  return quoted;
}

// `pattern` as one regular expression.
std::string RegexOf(const std::string& pattern, const std::string& work) {
  std::string regex;
  size_t at = 0;
  while (true) {
    const size_t open = pattern.find("{{", at);
    const size_t close = open == std::string::npos ? open : pattern.find("}}", open);
    regex += Quoted(ReplaceAll(pattern.substr(at, close == std::string::npos ? close : open - at),
                               "{WORK}", work));
    if (close == std::string::npos) return regex;
    regex += "(?:" + pattern.substr(open + 2, close - open - 2) + ")";
    at = close + 2;
  }
}

bool Fits(const std::string& pattern, const std::string& line, const std::string& work) {
  if (pattern == line) return true;
  return std::regex_match(line, std::regex(RegexOf(pattern, work)));
}

// Whether pattern[i…] stands for lines[j…].
bool FitFrom(const std::vector<std::string>& pattern, size_t i,
             const std::vector<std::string>& lines, size_t j, const std::string& work) {
  for (; i < pattern.size(); ++i, ++j) {
    if (pattern[i] == kAnyLines) {
      for (size_t skip = j; skip <= lines.size(); ++skip) {
        if (FitFrom(pattern, i + 1, lines, skip, work)) return true;
      }
      return false;
    }
    if (j == lines.size() || !Fits(pattern[i], lines[j], work)) return false;
  }
  return j == lines.size();
}

std::string Joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "    " + line + "\n";
  return text;
}

}  // namespace

absl::StatusOr<std::vector<TranscriptStep>> ParseTranscript(const std::string& text) {
  std::vector<TranscriptStep> steps;
  int number = 0;
  for (const std::string& line : Lines(text)) {
    ++number;
    const auto bad = [&](std::string_view what) {
      return MakeError(Error::kInvalidArgument,
                       "line " + std::to_string(number) + ": " + std::string(what));
    };
    if (line.empty() || line.starts_with('#')) continue;
    if (const auto command = After("need:", line)) {
      steps.push_back({.line = number, .command = *command, .need = true});
    } else if (const auto command_line = After("$", line)) {
      steps.push_back({.line = number, .command = *command_line});
    } else if (steps.empty() || steps.back().need) {
      return bad("expected a command");
    } else if (const auto end = After("?", line)) {
      if (!ReadExpectedEnd(*end, steps.back())) return bad("expected an exit code or a signal");
    } else if (const auto out = After(">", line)) {
      steps.back().out.push_back(*out);
    } else if (const auto err = After("!", line)) {
      steps.back().err.push_back(*err);
    } else {
      return bad("expected one of # need: $ ? > !");
    }
  }
  return steps;
}

std::optional<std::string> Mismatch(const std::vector<std::string>& pattern,
                                    const std::string& text, const std::string& work) {
  if (!text.empty() && !text.ends_with('\n')) return "the last line has no end:\n    " + text;
  const std::vector<std::string> lines = Lines(text);
  if (FitFrom(pattern, 0, lines, 0, work)) return std::nullopt;
  return "expected\n" + Joined(pattern) + "  found\n" + Joined(lines);
}

std::optional<std::string> Mismatch(const TranscriptStep& step, const ProcessResult& result,
                                    const std::string& work) {
  std::string wrong;
  if (result.timed_out) wrong += "  it did not end\n";
  if (result.signal != step.signal) {
    wrong += "  signal " + std::to_string(result.signal) + ", expected " +
             std::to_string(step.signal) + "\n";
  } else if (step.signal == 0 && result.exit_code != step.exit_code) {
    wrong += "  exit code " + std::to_string(result.exit_code) + ", expected " +
             std::to_string(step.exit_code) + "\n";
  }
  if (const auto out = Mismatch(step.out, result.out, work)) wrong += "  stdout: " + *out;
  if (const auto err = Mismatch(step.err, result.err, work)) wrong += "  stderr: " + *err;
  if (wrong.empty()) return std::nullopt;
  return "line " + std::to_string(step.line) + ": $ " + step.command + "\n" + wrong;
}

}  // namespace quantized::testing
