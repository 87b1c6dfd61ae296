#include "daemon/queue/spec_check.h"

#include <functional>

#include "core/base/error.h"
#include "daemon/queue/queue_test.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;
using Spec = v1::QuantizeSpec;

TEST(CheckSubmit, AcceptsWhatIsWhole) {
  EXPECT_TRUE(CheckSubmit(testing::NoopRequest()).ok());
  v1::SubmitJobRequest request = testing::QuantizeRequest();
  EXPECT_TRUE(CheckSubmit(request).ok());
  v1::CheckpointPolicy& policy = *request.mutable_spec()->mutable_quantize()->mutable_checkpoint();
  policy.set_enabled(true);
  policy.set_directory("/checkpoints");
  policy.set_resume_from("/checkpoints/abc");
  EXPECT_TRUE(CheckSubmit(request).ok());
  EXPECT_THAT(AcceptedFormats(), ElementsAre("gguf"));
}

struct BadRow {
  const char* message;  // how it begins
  Error error;
  std::function<void(Spec&)> spoil;
};

TEST(CheckSubmit, NamesTheFieldThatIsWrong) {
  const Error invalid = Error::kInvalidArgument;
  const BadRow kRows[] = {
      {"format: found 'onnx', needed gguf", invalid, [](Spec& s) { s.set_format("onnx"); }},
      {"format 'awq' is not implemented", Error::kNotImplemented,
       [](Spec& s) { s.set_format("awq"); }},
      {"format 'gptq' is not implemented", Error::kNotImplemented,
       [](Spec& s) { s.set_format("gptq"); }},
      {"model_path: found 'model'", invalid, [](Spec& s) { s.set_model_path("model"); }},
      {"model_path: contains a zero byte", invalid,
       [](Spec& s) { s.set_model_path(std::string("/a\0b", 4)); }},
      {"model_path: found 4097 bytes", invalid,
       [](Spec& s) { s.set_model_path("/" + std::string(4096, 'x')); }},
      {"output_path: found ''", invalid, [](Spec& s) { s.clear_output_path(); }},
      {"output_path: found '/out/', needed the name", invalid,
       [](Spec& s) { s.set_output_path("/out/"); }},
      {"levels: found 0", invalid, [](Spec& s) { s.clear_levels(); }},
      {"levels: found 2", invalid, [](Spec& s) { s.add_levels("Q8_0"); }},
      {"levels: the level is empty", invalid, [](Spec& s) { s.set_levels(0, ""); }},
      {"threads: found 5000", invalid, [](Spec& s) { s.set_threads(5000); }},
      {"checkpoint.directory: found ''", invalid,
       [](Spec& s) { s.mutable_checkpoint()->set_enabled(true); }},
      {"checkpoint.resume_from: needs checkpoints", invalid,
       [](Spec& s) { s.mutable_checkpoint()->set_resume_from("/c"); }},
      {"spec: found ", invalid, [](Spec& s) { s.set_pre_tokenizer(std::string(100'000, 'x')); }},
  };
  for (const BadRow& row : kRows) {
    SCOPED_TRACE(row.message);
    v1::SubmitJobRequest request = testing::QuantizeRequest();
    row.spoil(*request.mutable_spec()->mutable_quantize());
    const absl::Status status = CheckSubmit(request);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(ErrorOf(status), row.error);
    EXPECT_THAT(std::string(status.message()), StartsWith(row.message));
  }
}

TEST(CheckSubmit, NeedsARequestIdAndAnOperation) {
  v1::SubmitJobRequest request = testing::NoopRequest();
  request.set_request_id("7");
  EXPECT_THAT(std::string(CheckSubmit(request).message()), StartsWith("request_id: found '7'"));
  request = testing::NoopRequest();
  request.clear_spec();
  EXPECT_THAT(std::string(CheckSubmit(request).message()), StartsWith("spec.operation"));
}

}  // namespace
}  // namespace quantized
