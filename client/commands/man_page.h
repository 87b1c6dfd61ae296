// Manual pages from the command table, in the macros of man(7).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quantized {

struct ManPage {
  std::string name;  // "llm-quantize-jobs", of section 1
  std::string text;
};

// llm-quantize(1), and a page for each word that commands begin with; that of a group, such as
// "jobs", has all its commands. `date` is when the pages were made: "2026-11-30".
std::vector<ManPage> ManPages(std::string_view date);

}  // namespace quantized
