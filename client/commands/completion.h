// What may stand at the cursor of a command line, from the command table. The scripts in
// deploy/completions ask for it with `llm-quantize __complete WORD…`, whose words are those after
// the program's name up to the cursor; the last one is what is there of the word at the cursor,
// perhaps nothing. No daemon is asked.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quantized {

inline constexpr std::string_view kCompleteWord = "__complete";

// The levels of a format. Asked for only where one may stand.
using LevelsOf = std::function<std::vector<std::string>(std::string_view format)>;

// A line for each word that may stand there, and a tab and its help after it; or one line ":files"
// or ":directories" where the shell is to complete such. Empty where nothing is known.
std::string CompletionLines(std::span<const std::string> words, const LevelsOf& levels_of);

}  // namespace quantized
