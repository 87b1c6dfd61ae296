// What may stand at the cursor of a command line, from the command table. The scripts in
// deploy/completions ask for it with `llm-quantize __complete WORD…`, whose words are those after
// the program's name up to the cursor; the last one is what is there of the word at the cursor,
// perhaps nothing. No file is read and no daemon is asked.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace quantized {

inline constexpr std::string_view kCompleteWord = "__complete";

// A line for each word that may stand there, and a tab and its help after it; or one line ":files"
// or ":directories" where the shell is to complete such. Empty where nothing is known.
std::string CompletionLines(std::span<const std::string> words);

}  // namespace quantized
