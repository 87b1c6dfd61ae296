// The commands that README.md shows, with what it shows of their output.
#pragma once

#include <string>
#include <vector>

namespace quantized::testing {

struct DocumentedCommand {
  int line = 0;                     // in the text
  std::string command;              // as a shell runs it
  std::vector<std::string> output;  // may be cut
};

// Of Markdown: what follows "$ " in blocks of ```console; lines of blocks of ```sh that begin with
// "llm-quantize "; and such commands between backquotes in the text, where they are of small
// letters only, since large ones stand for something. In the order of the text.
std::vector<DocumentedCommand> DocumentedCommands(const std::string& markdown);

// What names the lines of an output that have a name: "Peak Memory:" of "Peak Memory: 30.7 MB".
std::vector<std::string> LabelsOf(const std::vector<std::string>& output);

}  // namespace quantized::testing
