// What a command is: a row with its arguments and options, and the function that runs it. Parsing,
// --help, suggestions, completion, manual pages and docs/cli.md are all made from these rows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "client/render/output.h"
#include "client/rpc/connection.h"
#include "core/base/environment.h"
#include "quantized/v1/job.pb.h"

namespace quantized {

enum class ValueKind {
  kFlag,       // no value
  kText,       // not empty
  kPath,       // not empty
  kDirectory,  // not empty
  kCount,      // a whole number above 0
  kChoice,     // one of `choices`
  kLevels,     // not empty: levels of the format that an argument names, with commas between
};

struct OptionRow {
  std::string_view name;  // "--quant-level"
  char short_name = 0;    // 'q'
  ValueKind kind = ValueKind::kFlag;
  std::string_view value_name = {};  // in the help: "TEXT"
  std::string_view help;
  std::string_view default_value = {};
  std::string_view env = {};  // taken where the option is not given
  bool required = false;
  std::span<const std::string_view> choices = {};
  bool repeatable = false;    // each time adds a value; otherwise the last one counts
  bool stands_alone = false;  // with it no argument and no other option is required
};

struct ArgumentRow {
  std::string_view name;  // "MODEL"
  std::string_view help;
  ValueKind kind = ValueKind::kText;
  bool required = true;
  std::span<const std::string_view> choices = {};
};

// A command line that works where its files are there; in the manual page, and run by a test.
struct ExampleRow {
  std::string_view what;     // "Basic GGUF quantization"
  std::string_view command;  // "llm-quantize quantize …"
};

struct VariableRow {
  std::string_view name;  // "NO_COLOR"
  std::string_view help;
};

// The values of a command line, by the names in the rows. Asking for a name that is in no row of
// the command is a programming error.
class Values {
 public:
  // Given on the command line or by the environment; a default does not count.
  bool Has(std::string_view name) const;
  bool Flag(std::string_view name) const { return Has(name); }
  // Empty when not given and without a default.
  const std::string& Text(std::string_view name) const;
  // Of a repeatable option: all of them, in the order of the command line.
  const std::vector<std::string>& Texts(std::string_view name) const;
  // 0 when not given and without a default.
  uint64_t Count(std::string_view name) const;

  void Set(std::string_view name, std::string value, bool given);
  void SetAll(std::string_view name, std::vector<std::string> values);

 private:
  struct Value {
    std::string text;
    std::vector<std::string> texts;
    bool given = false;
  };
  const Value& ValueOf(std::string_view name) const;

  std::map<std::string, Value, std::less<>> values_;
};

// What a command works with.
struct CommandContext {
  const Environment& environment;
  Output& output;
  std::filesystem::path program_dir;  // holds all our programs
  std::string host;                   // --host; may be empty
};

// How a command ended.
struct CommandResult {
  absl::Status status;
  std::string job_id;                 // that it was about; may be empty
  int signal = 0;                     // the program is to end by this signal; 0 for none
  v1::QuantizeResults finished = {};  // what the job that failed made all the same
};

struct Command {
  std::string_view name;  // "quantize", "jobs list"
  std::string_view summary;
  std::span<const ArgumentRow> arguments;
  std::span<const OptionRow> options;
  CommandResult (*run)(const Values& values, CommandContext& context);
  // What else a user needs to know: whole lines, at the end of the help. May be empty.
  std::string_view notes = {};
  std::span<const ExampleRow> examples = {};
};

// How a command reaches the daemon; `may_start` as in ConnectionOptions.
ConnectionOptions ConnectionFor(const CommandContext& context, bool may_start);

}  // namespace quantized
