// make-man-pages DIR DATE: writes the manual pages to DIR, which is there.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "client/commands/man_page.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s DIR DATE\n", argv[0]);
    return 2;
  }
  for (const quantized::ManPage& page : quantized::ManPages(argv[2])) {
    std::ofstream file(std::filesystem::path(argv[1]) / (page.name + ".1"));
    file << page.text;
    file.close();
    if (!file) {
      std::fprintf(stderr, "%s: cannot write %s.1\n", argv[0], page.name.c_str());
      return 1;
    }
  }
  return 0;
}
