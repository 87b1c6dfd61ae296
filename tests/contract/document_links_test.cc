// Every page that a source or a page of ours names is there.
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// "FILE names PAGE" for each page that is not there: docs/….md in any text, relative to the top;
// in Markdown the targets of links, relative to the file.
std::vector<std::string> MissingPages(const fs::path& root, const fs::path& file) {
  static const std::regex kPage(R"(\bdocs/[\w./-]+\.md\b)");
  static const std::regex kLink(R"(\]\(([^)#:]+)(#[^)]*)?\))");
  std::stringstream stream;
  stream << std::ifstream(root / file).rdbuf();
  const std::string text = stream.str();
  std::vector<std::string> missing;
  const auto check = [&](const std::regex& names, int group, const fs::path& base) {
    for (std::sregex_iterator match(text.begin(), text.end(), names), end; match != end; ++match) {
      const std::string name = (*match)[group];
      if (!fs::exists(base / name)) {
        missing.push_back(absl::StrCat(file.string(), " names ", name));
      }
    }
  };
  check(kPage, 0, root);
  if (file.extension() == ".md") check(kLink, 1, (root / file).parent_path());
  return missing;
}

// Files of ours that name pages. Data are nobody's words.
std::vector<fs::path> TextFiles(const fs::path& root) {
  static const std::set<std::string> kExtensions{".md", ".h",  ".cc",    ".cu",
                                                 ".sh", ".py", ".cmake", ".proto"};
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator entry(root), end; entry != end; ++entry) {
    const fs::path path = fs::relative(entry->path(), root);
    const std::string name = path.filename().string();
    if (entry->is_directory() &&
        (path == "build" || name == "data" || absl::StartsWith(name, "."))) {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file() && kExtensions.contains(path.extension().string())) {
      files.push_back(path);
    }
  }
  return files;
}

TEST(DocumentLinksTest, EveryPageIsThere) {
  const std::vector<fs::path> files = TextFiles(SourceDir());
  EXPECT_GT(files.size(), 500u);
  for (const fs::path& file : files) EXPECT_THAT(MissingPages(SourceDir(), file), IsEmpty());
}

TEST(DocumentLinksTest, AMissingOneIsFound) {
  const TempDir dir;
  const std::string docs = "docs";  // apart, so that this file names no page
  fs::create_directories(dir.path() / docs);
  std::ofstream(dir.path() / docs / "a.md")
      << "[b](b.md) [a](a.md#part) [site](https://host/c.md) ![plot](../plot.png)";
  std::ofstream(dir.path() / "a.h") << "// Design: " << docs << "/a.md, " << docs << "/b.md.";
  EXPECT_THAT(MissingPages(dir.path(), docs + "/a.md"),
              ElementsAre(docs + "/a.md names b.md", docs + "/a.md names ../plot.png"));
  EXPECT_THAT(MissingPages(dir.path(), "a.h"), ElementsAre("a.h names " + docs + "/b.md"));
}

}  // namespace
}  // namespace quantized::testing
