#include "tests/contract/include_rules.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(IncludeRulesTest, TheTreeKeepsThem) {
  EXPECT_GT(SourceFiles(SourceDir()).size(), 100u);
  EXPECT_THAT(ForbiddenIncludes(SourceDir()), IsEmpty());
}

// A tree of one file with one include.
std::vector<std::string> Plant(std::string_view file, std::string_view include) {
  const TempDir root;
  const std::filesystem::path path = root.path() / file;
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << "// A file.\n#pragma once\n\n" << include << "\n";
  return ForbiddenIncludes(root.path());
}

TEST(IncludeRulesTest, ForbiddenEdgesAreFound) {
  struct Case {
    std::string_view file, include;
  };
  for (const auto& [file, include] : {
           // Between top folders.
           Case{"kernels/q4_k/q4_k.cc", "#include \"core/base/error.h\""},
           Case{"core/pipeline/a.cc", "#include \"daemon/worker/frames.h\""},
           Case{"core/base/a.h", "#include \"quantized/v1/job.pb.h\""},
           Case{"client/commands/a.cc", "#include \"core/gguf/reader.h\""},
           Case{"client/rpc/a.cc", "#include \"daemon/queue/store.h\""},
           Case{"daemon/queue/a.cc", "#include \"kernels/types/quant_type.h\""},
           Case{"daemon/service/a.cc", "#include \"core/pipeline/quantize.h\""},
           Case{"core/gguf/a.cc", "#include \"tests/support/paths.h\""},
           // Between rows of one.
           Case{"kernels/types/a.h", "#include \"kernels/search/search.h\""},
           Case{"kernels/q4_k/a.cc", "#include \"kernels/q5_k/q5_k.h\""},
           Case{"core/base/a.h", "#include \"core/tensor/dtype.h\""},
           Case{"core/gguf/a.h", "#include \"core/safetensors/header.h\""},
           Case{"core/arch/a.h", "#include \"core/pipeline/quantize.h\""},
           Case{"core/forward/a.h", "#include \"core/calibrate/a.h\""},
           Case{"daemon/worker/a.cc", "#include \"daemon/executors/executor.h\""},
           Case{"daemon/queue/a.cc", "#include \"daemon/service/jobs.h\""},
           Case{"client/rpc/a.cc", "#include \"client/render/text.h\""},
           // Packages.
           Case{"daemon/queue/a.cc", "#include <grpcpp/grpcpp.h>"},
           Case{"daemon/queue/a.cc", "#include \"quantized/v1/service.grpc.pb.h\""},
           Case{"daemon/service/a.cc", "#include <sqlite3.h>"},
           Case{"core/pipeline/a.cc", "#include <sqlite3.h>"},
           Case{"core/base/a.cc", "#  include <spdlog/spdlog.h>"},
           Case{"kernels/types/a.h", "#include <nlohmann/json.hpp>"},
           Case{"daemon/worker/a.cc", "#include <unheard/of.h>"},
           Case{"core/gguf/a.cc", "#include \"gtest/gtest.h\""},
           // Others.
           Case{"core/gguf/a.cc", "#include \"a.cc\""},
           Case{"core/unheard_of/a.cc", "#include \"core/base/error.h\""},
       }) {
    EXPECT_THAT(Plant(file, include), SizeIs(1)) << file << ": " << include;
  }
}

TEST(IncludeRulesTest, AllowedEdgesAreNot) {
  struct Case {
    std::string_view file, include;
  };
  for (const auto& [file, include] : {
           Case{"core/gguf/a.cc", "#include \"kernels/types/quant_type.h\""},
           Case{"core/hf/tokenizer/a.cc", "#include \"core/hf/config.h\""},
           Case{"core/hf/a.cc", "#include \"core/hf/tokenizer/bpe.h\""},
           Case{"kernels/q4_k/a.cc", "#include \"kernels/q4_k/q4_k.h\""},
           Case{"kernels/codecs/a.cc", "#include \"kernels/q4_k/q4_k.h\""},
           Case{"daemon/executors/a.cc", "#include \"daemon/worker/frames.h\""},
           Case{"daemon/worker/a.cc", "#include \"core/pipeline/quantize.h\""},
           Case{"client/commands/a.cc", "#include \"core/base/error.h\""},
           Case{"daemon/service/a.cc", "#include <grpcpp/grpcpp.h>"},
           Case{"core/gguf/a_test.cc", "#include \"gtest/gtest.h\""},
           Case{"core/gguf/a_test.cc", "#include \"tests/support/paths.h\""},
           Case{"daemon/executors/executor_suite.cc", "#include \"gmock/gmock.h\""},
           Case{"core/base/a.cc", "#include <unistd.h>"},
           Case{"core/base/a.cc", "#include <vector>"},
           Case{"tests/e2e/a.cc", "#include \"core/pipeline/quantize.h\""},
       }) {
    EXPECT_THAT(Plant(file, include), IsEmpty()) << file << ": " << include;
  }
}

TEST(IncludeRulesTest, AFindingNamesFileHeaderAndRule) {
  EXPECT_THAT(Plant("core/base/a.h", "#include \"core/tensor/dtype.h\""),
              ElementsAre("core/base/a.h includes core/tensor/dtype.h: its row is not above "
                          "core/base"));
}

}  // namespace
}  // namespace quantized::testing
